package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// held is what a store's closed database holds of some partitions.
func held(t *testing.T, dir string, partitions map[string][]string) map[string][]string {
	t.Helper()
	db := storetest.DatabaseIn(t, dir)
	defer db.Close()
	got := make(map[string][]string)
	for name := range partitions {
		topic, address, _ := strings.Cut(name, "/")
		if contents := storetest.Stored(t, db, topic, address); contents != nil {
			got[name] = contents
		}
	}
	return got
}

// publish has a visitor publish partitions to one store, which acks them. Then it leaves: nobody but that store can
// give the records any more.
func publish(t *testing.T, tw *tower.Tower, s *Store, visitor string, partitions map[string][]string) {
	t.Helper()
	p := visit(t, tw, s, visitor, nil)
	for name, contents := range partitions {
		topic, address, _ := strings.Cut(name, "/")
		for sequence, content := range contents {
			p.Say(zmqwire.Message{
				Kind: zmqwire.Record, Routing: []byte(topic), Address: []byte(address), Subject: []byte(topic),
				Sequence: uint64(sequence), Content: []byte(content),
			})
		}
	}
	for name, contents := range partitions {
		_, address, _ := strings.Cut(name, "/")
		eventually(t, "ACK of all of "+name, func() bool { return p.lastAck(address) == uint64(len(contents)-1) })
	}
	p.End()
}

// shelves makes partitions that differ in length and in the size of their records.
func shelves(prefix string, n int) map[string][]string {
	partitions := make(map[string][]string)
	for i := range n {
		name := fmt.Sprintf("topic%d/%s%d", i%7, prefix, i)
		for j := range 1 + i*i%300 {
			partitions[name] = append(partitions[name], fmt.Sprintf("%s: %d %s", name, j, strings.Repeat("x", j*i%2000)))
		}
	}
	return partitions
}

// A store has, after a while, what any other store has, also of producers that are gone: one that is new, one that was
// away, and two that each have what the other lacks.
func TestStoresCopyFromEachOther(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	want := make(map[string][]string)
	add := func(partitions map[string][]string) (records int) {
		for name, contents := range partitions {
			want[name] = contents
			records += len(contents)
		}
		return records
	}
	check := func(what string) {
		t.Helper()
		for i, dir := range dirs {
			if diff := cmp.Diff(want, held(t, dir, want)); diff != "" {
				t.Errorf("%s: store %d holds (-want +got):\n%.3000s", what, i, diff)
			}
		}
	}

	first := openStore(t, tw, dirs[0])
	early := shelves("early", 100)
	publish(t, tw, first, "EARLY", early)
	records := uint64(add(early))
	second := openStore(t, tw, dirs[1])
	// Besides what was published, each visitor leaves a record of its own.
	eventually(t, "all in the new store", func() bool { return second.Stats().Records == records+1 })
	first.Close()
	second.Close()
	check("a new store")

	second = openStore(t, tw, dirs[1])
	late := shelves("late", 30)
	publish(t, tw, second, "LATE", late)
	lateRecords := uint64(add(late))
	second.Close()
	first = openStore(t, tw, dirs[0])
	other := shelves("other", 30)
	publish(t, tw, first, "OTHER", other)
	otherRecords := uint64(add(other))
	second = openStore(t, tw, dirs[1])
	eventually(t, "each in the other store", func() bool {
		return second.Stats().Records == otherRecords+1 && first.Stats().Records == otherRecords+1+lateRecords+1
	})
	first.Close()
	second.Close()
	check("two that lack what the other has")
}

// Anyone can tell of partitions that do not exist. They are bounded, and forgotten when no record of theirs comes.
func TestClaimsAreBoundedAndForgotten(t *testing.T) {
	w := writerAlone(t)
	hear := func(kind zmqwire.Kind, routing, address string, sequence uint64, content string) error {
		t.Helper()
		m := zmqwire.Message{
			Kind: kind, Routing: []byte(routing), Address: []byte(address), Subject: []byte("hello"), Sequence: sequence,
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		frames := [][]byte{frame}
		if kind.HasContent() {
			frames = append(frames, []byte(content))
		}
		return w.hear(frames)
	}
	own := w.node.Address()
	for i := range 3 * maxClaims {
		kind, routing := zmqwire.Head, "hello"
		if i%2 == 1 {
			kind, routing = zmqwire.DirectHead, own
		}
		if err := hear(kind, routing, fmt.Sprint("made up ", i), 1<<63, ""); errors.Is(err, ErrClaims) != (i >= maxClaims) {
			t.Fatalf("claim %d: %v", i, err)
		}
	}
	if err := hear(zmqwire.Record, "hello", "P", 0, "content"); !errors.Is(err, ErrClaims) {
		t.Errorf("a partition beyond the bound: %v", err)
	}
	now := time.Now()
	ask := func() {
		for range maxClaims {
			now = now.Add(w.fetch(now))
			w.out.Reset()
		}
	}
	w.forgetIdle() // they were heard of
	w.forgetIdle() // and those that wait for their turn are kept
	if len(w.partitions) < maxClaims/2 {
		t.Errorf("%d partitions are left of %d that were never asked for", len(w.partitions), maxClaims)
	}
	ask()
	w.forgetIdle()
	if len(w.partitions) != 0 || w.claims.Total() != 0 {
		t.Errorf("%d partitions, %d claims are left", len(w.partitions), w.claims.Total())
	}
	ask()
	if n := w.backlog.Len() + w.copies.Len(); n != 0 {
		t.Errorf("%d forgotten partitions are still to be fetched", n)
	}

	if err := hear(zmqwire.Record, "hello", "P", 0, "content"); err != nil {
		t.Error(err)
	}
	w.forgetIdle()
	w.forgetIdle()
	if len(w.partitions) != 1 || len(w.sources) != 1 {
		t.Errorf("%d partitions with %d headers are left: want the one that is not committed", len(w.partitions), len(w.sources))
	}
	w.pending[0].runs = nil
	for _, p := range w.partitions {
		p.stored = p.Next()
	}
	w.forgetIdle()
	if len(w.partitions) != 0 || len(w.sources) != 0 || w.claims.Total() != 0 {
		t.Errorf("%d partitions with %d headers, %d claims are left", len(w.partitions), len(w.sources), w.claims.Total())
	}
}
