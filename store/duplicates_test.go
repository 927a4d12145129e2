package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// A producer with the address of an earlier one publishes other records under the same numbers: fewer, as many or more.
// The store acks nothing to it and stores nothing of it. A C producer never has another's address, so its records are
// acked.
func TestDuplicatesOfAnotherProducer(t *testing.T) {
	t.Parallel()
	const inC = "8A8ADDD669C44428A3620000000000FF"
	for _, test := range []struct {
		what      string
		partition string
		records   uint64
		acked     bool
	}{
		{"fewer", "P", 3, false},
		{"as many", "P", 5, false},
		{"more", "P", 8, false},
		{"C", inC, 3, true},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			tw, dir := openTower(t), t.TempDir()
			s := openStore(t, tw, dir)
			say := func(p *peer, kind zmqwire.Kind, partition string, sequence uint64, content string) {
				m := recordMessage(kind, s, sequence, content)
				m.Address = []byte(partition)
				p.Say(m)
			}
			first := visit(t, tw, s, "FIRST", nil)
			for sequence := range uint64(5) {
				say(first, zmqwire.Record, test.partition, sequence, content(sequence))
			}
			eventually(t, "ACKs of the first producer", func() bool { return first.lastAck(test.partition) == 4 })
			first.End()

			second := visit(t, tw, s, "SECOND", nil)
			// What it says later is looked at when this is acked.
			mark := func(sequence uint64) {
				t.Helper()
				say(second, zmqwire.Record, "MARK", sequence, "")
				eventually(t, "an ACK of the mark", func() bool { return second.lastAck("MARK") == sequence })
			}
			mark(0)
			second.Forget()
			for sequence := range test.records {
				say(second, zmqwire.Record, test.partition, sequence, fmt.Sprint("another ", sequence))
			}
			say(second, zmqwire.Head, test.partition, test.records-1, "")
			mark(1)
			want := uint64(1<<64 - 1)
			if test.acked {
				want = 4
			}
			if got := second.lastAck(test.partition); got != want {
				t.Errorf("second producer: ACK %d, want %d", int64(got), int64(want))
			}
			if got := second.fetches(test.partition); len(got) > 0 {
				t.Errorf("second producer: %v", got)
			}
			if n := s.writer.node.Faults().Counts()[ErrContent]; n == 0 {
				t.Errorf("no fault %q counted", ErrContent)
			}
			second.End()

			// The refusal ends with the connection.
			third := visit(t, tw, s, "THIRD", nil)
			say(third, zmqwire.Record, test.partition, 4, content(4))
			eventually(t, "an ACK of what is stored", func() bool { return third.lastAck(test.partition) == 4 })
			s.Close()
			db := storetest.DatabaseIn(t, dir)
			defer db.Close()
			if diff := cmp.Diff(contentsUpTo(5), storetest.Stored(t, db, "hello", test.partition)); diff != "" {
				t.Errorf("stored records (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever repeats records makes the store read little.
func TestComparisonIsBounded(t *testing.T) {
	db := storetest.DatabaseOver(t, vfs.NewMem())
	defer db.Close()
	var partitions []*partition
	var appends []*partdb.Appended
	for i := range 20 {
		p := &partition{Order: flow.NewOrder("hello", fmt.Sprint("P", i), 0)}
		run := &zmqwire.Run{}
		run.Reset(0)
		run.Append([]byte(content(0)))
		partitions = append(partitions, p)
		appends = append(appends, &partdb.Appended{Topic: p.Topic, Address: p.Partition, Runs: []*zmqwire.Run{run}, Records: 1})
	}
	commits := db.NewCommits()
	defer commits.Close()
	if err := commits.Commit(appends); err != nil {
		t.Fatal(err)
	}
	c := comparison{runs: partdb.Finder{DB: db}}
	defer c.runs.Close()
	now := time.Now()
	if c.differs(partitions[0], 0, []byte(content(0)), now) || !c.differs(partitions[0], 0, []byte("another"), now) {
		t.Error("equal contents differ, or others do not")
	}
	if c.total != 1 {
		t.Errorf("%d readings for two duplicates that follow each other, want 1", c.total)
	}
	const rounds = 1000 // of a millisecond each
	for range rounds {
		now = now.Add(time.Millisecond)
		before := c.total
		c.begin(now)
		for i := range 100 {
			c.differs(partitions[i%len(partitions)], 0, []byte("another"), now)
		}
		if n := c.total - before; n > comparesAtOnce {
			t.Fatalf("%d readings in a round, want %d at most", n, comparesAtOnce)
		}
	}
	if most := len(partitions) * (rounds/int(compareGap/time.Millisecond) + 1); c.total > most {
		t.Errorf("%d readings for %d duplicates in a second, want %d at most", c.total, rounds*100, most)
	}
}
