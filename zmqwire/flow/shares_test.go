package flow

import (
	"fmt"
	"github.com/godafka/dafka/zmqwire"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func endpoint(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// However many peers take all they can get, one that comes then gets something.
func TestShares(t *testing.T) {
	const most = 1000
	s := NewShares(most)
	takes := func(port uint16) (n int) {
		for n < 3*most && s.Take(endpoint(port)) {
			n++
		}
		return n
	}
	for i, want := range []int{1000, 500, 250, 125, 63, 31} {
		if got := takes(uint16(i)); got != want {
			t.Errorf("peer %d may have %d, want %d", i, got, want)
		}
	}
	for range 1000 {
		s.Return(endpoint(0))
	}
	if got := takes(0); got <= 250 || s.Total() > 2*most {
		t.Errorf("what was given back: %d may be taken again, %d in all", got, s.Total())
	}
	none := NewShares(0)
	for range 5000 {
		if !none.Take(endpoint(1)) {
			t.Fatal("a bound that nobody set")
		}
	}
}

func TestTurns(t *testing.T) {
	var turns Turns[string]
	push := func(port uint16, items ...string) {
		for _, item := range items {
			turns.Push(endpoint(port), item)
		}
	}
	push(1, "a1", "a2", "a3", "a4")
	push(2, "b1")
	var got []string
	pop := func(n int) {
		for range n {
			item, ok := turns.Pop()
			if !ok {
				item = "none"
			}
			got = append(got, item)
		}
	}
	pop(1)
	push(3, "c1", "c2")
	if all := slices.Collect(turns.All()); len(all) != turns.Len() || turns.Len() != 6 {
		t.Errorf("%d items, and All yields %q", turns.Len(), all)
	}
	pop(3)
	push(2, "b2")
	pop(5)
	want := []string{"a1", "b1", "a2", "c1", "a3", "c2", "b2", "a4", "none"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Partitions that one peer made up, and of which nobody has a record, do not hold up one that another peer made known.
func TestBacklogTakesTurnsAmongPeers(t *testing.T) {
	var b Backlog
	now := time.Time{}
	for i := range 10_000 {
		o := NewOrder("hello", fmt.Sprint("made up ", i), 0)
		o.From = endpoint(1)
		o.Saw(5)
		b.Add(&o)
	}
	o := NewOrder("hello", "honest", 0)
	o.From = endpoint(2)
	o.Saw(5)
	b.Add(&o)
	for asked := false; !asked; {
		if now.Sub(time.Time{}) > time.Second {
			t.Fatal("it has not been asked for within a second")
		}
		now = now.Add(b.Ask(now, 1<<20, func(o *Order, _ uint64, _ uint32) { asked = asked || o.Partition == "honest" }))
	}
}

// A peer that asks under many addresses gets one turn, and its share of the requests.
func TestAnswersTakeTurnsAmongPeers(t *testing.T) {
	const most = 100
	a := Answers{MaxRequests: most}
	taken := 0
	for i := range 10 * most {
		if a.Add(fetch(fmt.Sprint("made up ", i), "topic", "p", 0, 1<<30), endpoint(1)) == nil {
			taken++
		}
	}
	if taken != most {
		t.Errorf("%d requests of one peer were taken, want %d", taken, most)
	}
	if err := a.Add(fetch("honest", "topic", "p", 0, 40), endpoint(2)); err != nil {
		t.Fatal(err)
	}
	run := &zmqwire.Run{}
	run.Reset(0)
	for i := range 10 {
		run.Append(fmt.Append(nil, i))
	}
	turns, ended := make(map[string]int), false
	for range 4 {
		a.Serve(time.Time{},
			func(c *Cursor) *zmqwire.Run { run.First = c.Next(); return run },
			func(c *Cursor, _ *zmqwire.Run, from, to int) int { turns[c.Requester]++; return to - from },
			func(c *Cursor) { ended = ended || c.Requester == "honest" })
	}
	if turns["honest"] != 4 || len(turns) != 5 || !ended {
		t.Errorf("in four turns: %v; answered: %v", turns, ended)
	}
	// Who is answered, and has taken all, is forgotten.
	for range 100 * most {
		a.Serve(time.Time{}, func(*Cursor) *zmqwire.Run { return nil }, nil, func(*Cursor) {})
	}
	if a.Len() != 0 || len(a.requesters) != 0 || len(a.peers) != 0 || a.shares.Total() != 0 {
		t.Errorf("left: %d requests, %d requesters, %d peers, %d shares", a.Len(), len(a.requesters), len(a.peers), a.shares.Total())
	}
}
