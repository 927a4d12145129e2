package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// stays fails the test when the consumer believes the end within the time that it takes where nothing is awaited.
func stays(t *testing.T, c *Consumer, awaited string) {
	t.Helper()
	some, cancel := context.WithTimeout(t.Context(), 3*endQuiet)
	defer cancel()
	if r, err := c.Next(some); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next: %v, %v, want to wait for %s", r, err, awaited)
	}
}

// greets greets the consumer, as a store does, when it has asked for that so often.
func (p *peer) greets(t testing.TB, c *Consumer, asked int) {
	t.Helper()
	eventually(t, fmt.Sprintf("greetings asked for %d times", asked), func() bool {
		n := 0
		for _, s := range p.Subscriptions() {
			if s == "+L"+c.Address() {
				n++
			}
		}
		return n >= asked
	})
	p.Say(zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte(c.Address()), Address: []byte(p.Address())})
}

// A store that is busy greets a consumer and tells it nothing. That is not the end.
func TestUntilEndOfABusyStore(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, Node: at(tw)})
	store := join(t, tw, "STORE", answerer, "FP", "WSTORE")
	store.greets(t, c, 1)
	eventually(t, "a CONSUMER-HELLO", func() bool { return len(store.Heard(zmqwire.ConsumerHello)) > 0 })
	stays(t, c, "the store")
	store.greets(t, c, 2)
	store.Say(of(zmqwire.DirectHead, c, 2, ""))
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	// What was said anew moves the end: the store is asked once more.
	store.greets(t, c, 3)
	within, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	if _, err := c.Next(within); err != io.EOF {
		t.Errorf("Next: %v, want EOF", err)
	}
}

// Where a store's writer is, there is a reader, heard of or not.
func TestUntilEndOfHalfAStore(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	join(t, tw, "WRITER", nil, "DWRITER", "EWRITER", "H", "M")
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, Node: at(tw)})
	stays(t, c, "the reader")
	reader := join(t, tw, "READER", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.ConsumerHello {
			p.Say(of(zmqwire.DirectHead, c, 2, ""))
		}
		answerer(p, m)
	}, "F", "G", "WREADER")
	reader.greets(t, c, 1)
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	reader.greets(t, c, 2)
	within, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	if _, err := c.Next(within); err != io.EOF {
		t.Errorf("Next: %v, want EOF", err)
	}
}
