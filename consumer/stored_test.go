package consumer

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// ack is a store's ACK of partition "P".
func ack(sequence uint64) zmqwire.Message {
	return zmqwire.Message{Kind: zmqwire.Ack, Routing: []byte("P"), Subject: []byte("hello"), Sequence: sequence}
}

// marks sends a record of partition name with an ACK: when the consumer delivers it, it has seen what was sent before.
func (p *peer) marks(t *testing.T, c *Consumer, name string) (line string) {
	t.Helper()
	m := of(zmqwire.Record, c, 0, "mark")
	m.Address = []byte(name)
	p.Say(m)
	eventually(t, "a subscription to ACKs", func() bool { return p.Subscribed("K" + name) })
	a := ack(0)
	a.Routing = []byte(name)
	p.Say(a)
	return "hello " + name + " 0 mark"
}

func wantRead(t *testing.T, c *Consumer, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, read(t, c, len(want))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestStoredOnly(t *testing.T) {
	t.Parallel()
	// A live record waits for an ACK, and an ACK covers all before it.
	t.Run("ack", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, Node: at(tw)})
		p := visit(t, tw, c, "S", nil)
		for sequence := range uint64(3) {
			p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
		}
		wantRead(t, c, p.marks(t, c, "A"))
		eventually(t, "a subscription to ACKs", func() bool { return p.Subscribed("KP") })
		p.Say(ack(0))
		wantRead(t, c, append(lines(0, 1), p.marks(t, c, "B"))...)
		p.Say(ack(2))
		wantRead(t, c, lines(1, 3)...)
		// An ACK ahead of the record delivers it on arrival.
		p.Say(ack(3))
		p.Say(of(zmqwire.Record, c, 3, content(3)))
		wantRead(t, c, lines(3, 4)...)
	})
	// A store that sent its ACK too early is asked for its head, also by a consumer from Latest.
	for name, reset := range map[string]Reset{"head, earliest": Earliest, "head, latest": Latest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			c := open(t, Config{Topics: []string{"hello"}, Reset: reset, StoredOnly: true, Node: at(tw)})
			p := visit(t, tw, c, "S", nil)
			p.Forget()
			p.Say(of(zmqwire.Record, c, 0, content(0)))
			eventually(t, "a request for heads", func() bool { return len(p.Heard(zmqwire.GetHeads)) > 0 })
			p.Say(of(zmqwire.DirectHead, c, 0, ""))
			wantRead(t, c, lines(0, 1)...)
		})
	}
	// What a producer sends as an answer is not stored for that.
	t.Run("fetched", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, Node: at(tw)})
		p := visit(t, tw, c, "S", answerer)
		p.Say(of(zmqwire.Head, c, 4, ""))
		eventually(t, "a subscription to ACKs", func() bool { return p.Subscribed("KP") })
		wantRead(t, c, p.marks(t, c, "A"))
		p.Say(of(zmqwire.DirectHead, c, 1, ""))
		wantRead(t, c, append(lines(0, 2), p.marks(t, c, "B"))...)
		p.Say(ack(4))
		wantRead(t, c, lines(2, 5)...)
	})
	// Two stores are two endpoints, and neither the halves of one nor two messages of one.
	t.Run("two stores", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, MinStores: 2, Node: at(tw)})
		a, b := visit(t, tw, c, "A", nil), visit(t, tw, c, "B", nil)
		a.Say(of(zmqwire.Record, c, 0, content(0)))
		a.Say(of(zmqwire.Record, c, 1, content(1)))
		eventually(t, "a subscription to ACKs", func() bool { return a.Subscribed("KP") && b.Subscribed("KP") })
		a.Say(ack(0))
		a.Say(ack(1))
		b.Say(of(zmqwire.DirectHead, c, 1, ""))
		b.Say(ack(0))
		wantRead(t, c, lines(0, 1)...)
		b.Say(ack(1))
		wantRead(t, c, lines(1, 2)...)
	})
	// What does not fit while it waits is fetched when it is stored.
	t.Run("bounded", func(t *testing.T) {
		t.Parallel()
		const records = 500
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, MaxBufferedBytes: 10_000, Node: at(tw)})
		p := visit(t, tw, c, "S", answerer)
		for sequence := range uint64(records) {
			p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
		}
		eventually(t, "a subscription to ACKs", func() bool { return p.Subscribed("KP") })
		p.Say(ack(records - 1))
		wantRead(t, c, lines(0, records)...)
	})
	// The end is that of what is stored.
	t.Run("until the end", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
		defer cancel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, UntilEnd: true, Node: at(tw)})
		p := join(t, tw, "S", func(p *peer, m *zmqwire.Message) {
			if m.Kind == zmqwire.ConsumerHello {
				p.Say(of(zmqwire.DirectHead, c, 1, ""))
				for sequence := range uint64(4) {
					p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
				}
				// Nobody sends these.
				p.Say(of(zmqwire.Head, c, 9, ""))
			}
		}, "", "WS")
		p.answers(t, c)
		wantRead(t, c, lines(0, 2)...)
		if r, err := c.Next(ctx); err != io.EOF {
			t.Errorf("Next: %v, %v, want EOF", r, err)
		}
	})
	// A record that is stored and that nobody sends is skipped; the record before it that is not stored is not.
	t.Run("skip", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, StoredOnly: true, SkipAfter: time.Second, Node: at(tw)})
		p := visit(t, tw, c, "S", lacking(t, c, 5, func(sequence uint64) bool { return sequence == 3 }))
		p.Say(of(zmqwire.Record, c, 0, content(0)))
		wantRead(t, c, append(lines(0, 3), lines(4, 6)...)...)
		if n := c.Stats().Skipped; n != 1 {
			t.Errorf("Stats: %d skipped, want 1", n)
		}
	})
}

// Of more partitions than a few the consumer subscribes to all ACKs at once, and what waits for too long makes room.
func TestStoredOnlyIsBounded(t *testing.T) {
	c := still(t, Config{Reset: Earliest, MaxBufferedBytes: 1 << 30, StoredOnly: true})
	c.since["hello"] = time.Unix(0, 0)
	now := time.Now()
	for i := range maxAckTopics + 10 {
		m := of(zmqwire.Record, c, 0, "content")
		m.Address = fmt.Append(nil, "P", i)
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.hear([][]byte{frame, m.Content}, now); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.storage.acks); n != maxAckTopics+1 || !c.storage.allAcks || len(c.fresh) != 0 || c.early == 0 {
		t.Errorf("%d subscriptions, all: %v, %d delivered, %d bytes wait", n, c.storage.allAcks, len(c.fresh), c.early)
	}
	c.lookAtHeld(now.Add(heldAtMost + time.Second))
	if c.early != 0 || len(c.storage.held) != 0 {
		t.Errorf("%d bytes of %d partitions still wait", c.early, len(c.storage.held))
	}
	delete(c.since, "hello")
	c.forget("hello")
	if n := len(c.storage.acks); n != 0 {
		t.Errorf("%d subscriptions to ACKs are left", n)
	}
}

func TestHolders(t *testing.T) {
	store := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Loopback(), uint16(i)) }
	var h holders
	for i, step := range []struct {
		store         int
		records, want uint64
	}{{1, 5, 0}, {1, 7, 0}, {2, 3, 3}, {2, 9, 7}, {3, 8, 8}, {2, 1, 8}, {1, 10, 9}} {
		if got := h.note(store(step.store), step.records, 2); got != step.want {
			t.Errorf("step %d: two stores have %d, want %d", i, got, step.want)
		}
	}
	for i := range 10 * maxHolders {
		h.note(store(100+i), 1, 2)
	}
	if got := h.note(store(4), 20, 2); len(h) != maxHolders || got != 10 {
		t.Errorf("%d stores are told apart, two have %d; want %d and 10", len(h), got, maxHolders)
	}
}
