package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRates(t *testing.T) {
	var r rates
	at := time.Unix(0, 0)
	for i, test := range []struct{ a, b uint64 }{{100, 0}, {200, 0}, {300, 1000}, {300, 1010}, {300, 1010}, {300, 1010}, {300, 1010}, {300, 1010}, {300, 1010}} {
		records := map[string]uint64{"a": test.a}
		if test.b > 0 {
			records["b"] = test.b
		}
		got := r.add(at.Add(time.Duration(i)*time.Second), records)
		want := []map[string]float64{
			{}, {"a": 100}, {"a": 100}, {"a": 200. / 3, "b": 10}, {"a": 50, "b": 5}, {"a": 40, "b": 10. / 3}, {"a": 20, "b": 2.5},
			{"a": 0, "b": 2}, {"a": 0, "b": 0},
		}[i]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %d s (-want +got):\n%s", i, diff)
		}
	}
}

func TestShare(t *testing.T) {
	for _, test := range []struct {
		rows          int
		lengths, want []int
	}{
		{10, []int{1, 2, 3}, []int{1, 2, 3}},
		{5, []int{9, 9, 9}, []int{2, 2, 1}},
		{10, []int{1, 9, 9}, []int{1, 5, 4}},
		{0, []int{1, 1, 1}, []int{0, 0, 0}},
		{-3, []int{1, 1, 1}, []int{0, 0, 0}},
	} {
		if diff := cmp.Diff(test.want, share(test.rows, test.lengths)); diff != "" {
			t.Errorf("%d rows for %v (-want +got):\n%s", test.rows, test.lengths, diff)
		}
	}
}

func TestScreen(t *testing.T) {
	d := draws(t, "S1", "P", "Q")
	d.hears("P", head, "hello", "P", 10)
	d.hears("S1", directHead, "hello", "P", 7)
	for i := range 9 {
		d.hears("S1", directHead, fmt.Sprintf("topic %d", i), "GONE", 1)
	}
	d.expect()
	var history rates
	s := screen{width: 80, height: 16}
	if got := s.text(); !strings.HasPrefix(got, "joining") {
		t.Errorf("before the first frame: %q", got)
	}
	newFrame(d.picture, 1, &history, d.now)
	d.passes(time.Second)
	d.hears("P", head, "hello", "P", 30)
	shown, _ := s.Update(newFrame(d.picture, 1, &history, d.now))
	want := `*dafka top*  1 tower, 1 store, 3 nodes, 10 topics, 10 partitions  20 records/s  q ends

*TOPIC    PARTITIONS  LIVE  RECORDS  RECORDS/S  LAG*
hello    1           1     30       20         23
topic 0  1           0     1        0          0
topic 1  1           0     1        0          0
... 7 more

*STORE          MADE IN  PARTITIONS  RECORDS  LACKS  LAST BEACON*
$S1  Go       10          16       3      1.0 s ago

*NODE      ENDPOINT       ADDRESS  MADE IN  LAST BEACON*
producer  $P  P        Go       1.0 s ago
producer  $Q  Q        Go       1.0 s ago
... 1 more`
	for _, address := range []string{"S1", "P", "Q"} {
		want = strings.ReplaceAll(want, "$"+address, endpoint(d, address))
	}
	got := strings.NewReplacer("\x1b[1m", "*", "\x1b[0m", "*").Replace(shown.(screen).text())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
	waits, _ := s.Update(frame{waiting: "tcp://127.0.0.1:1"})
	if got := waits.(screen).text(); !strings.HasPrefix(got, "waiting for tower at tcp://127.0.0.1:1") {
		t.Errorf("without a tower: %q", got)
	}
}
