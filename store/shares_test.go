package store

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// A store that is new has caught up when it has all that another one has, however many partitions that is: more than it
// looks into at a time here.
func TestCaughtUpWithMorePartitionsThanClaims(t *testing.T) {
	t.Parallel()
	const partitions, claims = 150, 32
	tw := openTower(t)
	dir := t.TempDir()
	db := storetest.DatabaseIn(t, dir)
	commits := db.NewCommits()
	var all []*partdb.Appended
	for i := range partitions {
		all = append(all, storetest.Grow("hello", fmt.Sprint("P", i), 0, fmt.Sprint("first of ", i), fmt.Sprint("second of ", i)))
	}
	if err := commits.Commit(all); err != nil {
		t.Fatal(err)
	}
	commits.Close()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, tw, dir)

	db = storetest.DatabaseIn(t, t.TempDir())
	config := at(tw)
	config.Logger = db.Log
	s, err := build(db, config, config)
	if err != nil {
		t.Fatal(err)
	}
	s.writer.claims = flow.NewShares(claims)
	s.start()
	t.Cleanup(func() { s.Close() })
	eventually(t, "the new store has caught up", func() bool { return s.Stats().CaughtUp })
	for i := range partitions {
		got := storetest.Stored(t, db, "hello", fmt.Sprint("P", i))
		if len(got) != 2 || got[0] != fmt.Sprint("first of ", i) || got[1] != fmt.Sprint("second of ", i) {
			t.Fatalf("it is said to have caught up, and has %q of partition %d of %d", got, i, partitions)
		}
	}
	if s.Stats().Faults[ErrClaims] == 0 {
		t.Error("all had room at once: nothing was tested")
	}
}

// What one peer makes up, in any number, costs the others no more than a moment: the first record of a new partition is
// acked, a gap is asked for, heads are told and records are sent within it.
func TestFloodsCostThoseWhoMakeThem(t *testing.T) {
	t.Parallel()
	const moment = 2 * time.Second
	messages := 30_000
	if os.Getenv("DAFKA_TORTURE") != "" {
		messages = 300_000
	}
	for _, test := range []struct {
		name  string
		flood func(i int) zmqwire.Message
	}{
		{"HEADs", func(i int) zmqwire.Message {
			return zmqwire.Message{
				Kind: zmqwire.Head, Routing: []byte("hello"), Subject: []byte("hello"), Address: fmt.Append(nil, "made up ", i), Sequence: 7,
			}
		}},
		{"GET-HEADS", func(i int) zmqwire.Message {
			return zmqwire.Message{Kind: zmqwire.GetHeads, Routing: fmt.Append(nil, "topic ", i), Address: []byte("FLOOD")}
		}},
		{"FETCHes", func(i int) zmqwire.Message {
			return zmqwire.Message{
				Kind: zmqwire.Fetch, Routing: []byte("PEER"), Subject: []byte("meeting"), Address: fmt.Append(nil, "requester ", i), Count: 1 << 31,
			}
		}},
		{"FETCHes of many partitions", func(i int) zmqwire.Message {
			return zmqwire.Message{
				Kind: zmqwire.Fetch, Routing: fmt.Append(nil, i), Subject: []byte("meeting"), Address: []byte("FLOOD"), Count: 1 << 31,
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tw := openTower(t)
			s := openStore(t, tw, t.TempDir())
			p, flood := visit(t, tw, s, "PEER", nil), visit(t, tw, s, "FLOOD", nil)
			fill(t, p, s, 0, 10)
			for i := range messages {
				flood.Say(test.flood(i))
			}
			faults := func() (n uint64) {
				for _, count := range s.Stats().Faults {
					n += count
				}
				return n
			}
			eventually(t, "the flood is beyond its share", func() bool { return faults() > uint64(messages/10) })
			var slowest time.Duration
			for turn := range 20 {
				begin := time.Now()
				address := fmt.Sprint("Q", turn)
				m := recordMessage(zmqwire.Record, s, 0, "new")
				m.Address = []byte(address)
				p.Say(m)
				m.Sequence = 5
				p.Say(m)
				requester := fmt.Sprint("R", turn)
				p.getHeads(requester, "hello")
				p.fetch(requester, "hello", "P", 0, 10)
				eventually(t, "an ACK of a new partition", func() bool { return p.lastAck(address) == 0 })
				eventually(t, "a FETCH of what it lacks", func() bool { return len(p.fetches(address)) > 0 })
				eventually(t, "heads", func() bool { return len(p.given(requester).Heads) > 0 })
				eventually(t, "records", func() bool { return len(p.given(requester).Records) == 10 })
				slowest = max(slowest, time.Since(begin))
			}
			if slowest > moment {
				t.Errorf("the slowest answer took %v", slowest)
			}
			t.Logf("slowest %v, %d messages dropped", slowest, faults())
		})
	}
}
