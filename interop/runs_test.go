package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// The records of many short runs are replayed in the order in which the runs began, whichever of them published first.
func TestReplayOfShortRuns(t *testing.T) {
	t.Parallel()
	const runs, records = 50, 5
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tw.Close() })
	node := tower.NodeConfig{Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}
	s, err := store.Open(store.Config{Dir: filepath.Join(t.TempDir(), "db"), Node: node})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	var producers []*producer.Producer
	var want, got []string
	for run := range runs {
		p, err := producer.Open(producer.Config{Topic: "runs", Node: node})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(ctx)
		producers = append(producers, p)
		for i := range records {
			want = append(want, fmt.Sprintf("run %d, record %d", run, i))
		}
	}
	for run := runs - 1; run >= 0; run-- {
		for _, content := range want[run*records : (run+1)*records] {
			if _, err := producers[run].Send(ctx, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := producers[run].Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range producers {
		if err := p.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}

	c, err := consumer.Open(consumer.Config{Topics: []string{"runs"}, Reset: consumer.Earliest, UntilEnd: true, Node: node})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for record, err := range c.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(record.Content))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-in the order of the runs +got):\n%s", diff)
	}
}
