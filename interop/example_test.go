package interop_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// Example_cluster is what README.md shows of the library.
func Example_cluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "dafka-")
	check(err)
	defer os.RemoveAll(dir)
	smallCluster(ctx, filepath.Join(dir, "db"))
	// Output:
	// hello 0: record number 0
	// hello 1: record number 1
	// hello 2: record number 2
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Example_start reads the last two records of each partition. Start runs on the consumer's own goroutine: while it works,
// the consumer receives nothing, and a call of the consumer's methods in it never returns. So it only computes, from its
// arguments and from what was prepared before Open, here the positions that an earlier run may have kept. What it
// shares with other goroutines needs a lock, as with any goroutine.
func Example_start() {
	kept := map[string]uint64{"ANOTHER PARTITION": 17} // read before Open, not within Start
	start := func(topic, partition string, head uint64) uint64 {
		if next, ok := kept[partition]; ok {
			return next
		}
		return max(head, 1) - 1 // head is the last record known
	}
	_ = consumer.Config{Topics: []string{"hello"}, Start: start}
	fmt.Println(start("hello", "ANOTHER PARTITION", 100), start("hello", "A PARTITION", 4), start("hello", "A PARTITION", 0))

	// Output:
	// 17 3 0
}

// smallCluster has the body that README.md shows.
func smallCluster(ctx context.Context, dir string) {
	t, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"}) // any free ports
	check(err)
	defer t.Close()
	node := tower.NodeConfig{Pub: []string{t.Pub()}, Sub: []string{t.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}

	s, err := store.Open(store.Config{Dir: dir, Node: node})
	check(err)
	defer s.Close()

	p, err := producer.Open(producer.Config{Topic: "hello", Node: node})
	check(err)
	for i := range 3 {
		_, err := p.Send(ctx, fmt.Appendf(nil, "record number %d", i))
		check(err)
	}
	check(p.Close(ctx)) // waits until the store has all records on disk

	c, err := consumer.Open(consumer.Config{Topics: []string{"hello"}, Reset: consumer.Earliest, UntilEnd: true, Node: node})
	check(err)
	defer c.Close()
	for record, err := range c.Records(ctx) {
		check(err)
		fmt.Printf("%s %d: %s\n", record.Topic, record.Sequence, record.Content)
	}
}
