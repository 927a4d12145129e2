package command

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/tower/survey"
)

// clusterOf is a cluster of so many topics; the first has a producer.
func clusterOf(topics int) *survey.Snapshot {
	now := time.Unix(1_000_000, 0)
	s := &survey.Snapshot{At: now, Towers: []node.Link{{Connected: true}}, Partitions: make([]survey.Partition, topics)}
	s.Topics = []survey.Topic{{Name: "hello", Partitions: 1, Producers: 1, Records: 30, Unacked: 23, Rate: 20}}
	for i := range topics - 1 {
		s.Topics = append(s.Topics, survey.Topic{Name: fmt.Sprintf("topic %d", i), Partitions: 1, Records: uint64(i)})
	}
	beacon := now.Add(-time.Second)
	s.Stores = []survey.StoreState{{Address: "S", Endpoint: "h:1", Partitions: 10, Records: 16, Lacks: 3, LastBeacon: beacon, Silent: true}}
	s.Peers = []survey.Peer{
		{Role: survey.Consumer, Address: "C", Endpoint: "h:3", Topics: []string{"hello"}, LastBeacon: beacon},
		{Role: survey.Producer, Address: "P", Endpoint: "h:2", Topics: []string{"hello"}, LastBeacon: beacon},
		{Role: survey.Store, Address: "S", Endpoint: "h:1", LastBeacon: beacon},
	}
	return s
}

// press gives keys to the screen, one after the other.
func press(s screen, keys ...string) screen {
	for _, key := range keys {
		m := tea.KeyPressMsg{Text: key, Code: []rune(key)[0]}
		switch key {
		case "tab":
			m = tea.KeyPressMsg{Code: tea.KeyTab}
		case "enter":
			m = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "esc":
			m = tea.KeyPressMsg{Code: tea.KeyEscape}
		case "pgdown":
			m = tea.KeyPressMsg{Code: tea.KeyPgDown}
		case "end":
			m = tea.KeyPressMsg{Code: tea.KeyEnd}
		}
		model, _ := s.Update(m)
		s = model.(screen)
	}
	return s
}

func TestScreen(t *testing.T) {
	s := screen{width: 80, height: 22}
	if got := s.text(); !strings.HasPrefix(got, "joining") {
		t.Errorf("before the first frame: %q", got)
	}
	model, _ := s.Update(frame{snapshot: clusterOf(4)})
	s = model.(screen)
	plain := func(s screen) string {
		return strings.NewReplacer("\x1b[1m", "*", "\x1b[0m", "*").Replace(s.text())
	}
	if diff := cmp.Diff(`*dafka top*  20 records/s  1 tower, 1 store, 3 nodes, 4 topics, 4 partitions

*TOPIC    PARTITIONS  LIVE  RECORDS  RECORDS/S  LAG*
hello    1           1     30       20         23
topic 0  1           0     0        0          0
topic 1  1           0     1        0          0
topic 2  1           0     2        0          0

*STORE  MADE IN  PARTITIONS  RECORDS  LACKS  LAST BEACON*
h:1    Go       10?         16?      3?     1.0 s ago

*NODE      TOPICS  ENDPOINT  MADE IN  LAST BEACON  ADDRESS*
consumer  hello   h:3       Go       1.0 s ago    C
producer  hello   h:2       Go       1.0 s ago    P
store     -       h:1       Go       1.0 s ago    S

q ends  tab: next table  up/down/page: scroll  s: sort  r: reverse  /: filter`, plain(s)); diff != "" {
		t.Errorf("a small cluster (-want +got):\n%s", diff)
	}

	// What does not fit is scrolled through, sorted and filtered; nothing is wider or longer than the screen.
	model, _ = s.Update(frame{snapshot: clusterOf(43)})
	s = model.(screen)
	for _, test := range []struct {
		keys          []string
		width, height int
		want          []string // lines
	}{
		{nil, 80, 24, []string{"topic 14  1           0     14       0          0", "1 to 16 of 43", "*STORE*  1", "*NODE*  3"}},
		{[]string{"pgdown"}, 80, 24, []string{"topic 17  1           0     17       0          0", "19 to 34 of 43"}},
		{[]string{"end", "pgdown", "k"}, 80, 24, []string{"topic 40  1           0     40       0          0", "27 to 42 of 43"}},
		{[]string{"s", "s", "s", "s"}, 80, 24, []string{
			"*TOPIC     PARTITIONS  LIVE  RECORDS*  RECORDS/S  LAG*", "topic 41  1           0     41        0          0"}},
		{[]string{"r"}, 80, 24, []string{"topic 41  1           0     41       0          0"}},
		{[]string{"/", "4", "1", "enter"}, 80, 24, []string{"1 to 1 of the 1 that have \"41\", of 43"}},
		{[]string{"/", "n", "o", "n", "e"}, 80, 24, []string{"0 to 0 of the 0 that have \"none\", of 43", "filter: none_  (enter keeps it, esc takes it away)"}},
		{[]string{"/", "4", "1", "enter", "esc"}, 80, 24, []string{"1 to 16 of 43"}},
		{[]string{"tab"}, 80, 24, []string{"h:1    Go       10?         16?      3?     1.0 s ago", "*TOPIC*  43", "*NODE*  3"}},
		{nil, 50, 12, []string{"1 to 4 of 43", "q ends  tab  up/down  s: sort  r  /: filter"}},
		{nil, 20, 8, []string{"q ends"}},
		{nil, 4, 2, nil},
		{nil, 120, 60, []string{"topic 41  1           0     41       0          0", "store     -       h:1       Go       1.0 s ago    S"}},
	} {
		s := s
		s.width, s.height = test.width, test.height
		s = press(s, test.keys...)
		lines := strings.Split(plain(s), "\n")
		for _, want := range test.want {
			found := false
			for _, line := range lines {
				found = found || line == want
			}
			if !found {
				t.Errorf("%dx%d after %q: %q is not in\n%s", test.width, test.height, test.keys, want, strings.Join(lines, "\n"))
			}
		}
		if len(lines) > test.height {
			t.Errorf("%dx%d: %d lines", test.width, test.height, len(lines))
		}
		for _, line := range strings.Split(s.text(), "\n") {
			if ansi.StringWidth(line) > test.width {
				t.Errorf("%dx%d: a line is wider: %q", test.width, test.height, line)
			}
		}
	}

	waits, _ := s.Update(frame{waiting: "tcp://127.0.0.1:1"})
	if got := waits.(screen).text(); !strings.HasPrefix(got, "waiting for tower at tcp://127.0.0.1:1") {
		t.Errorf("without a tower: %q", got)
	}
}
