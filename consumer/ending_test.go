package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
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

// answers makes the peer greet the consumer each time that it is asked to, as a store does.
func (p *peer) answers(t *testing.T, c *Consumer) {
	t.Helper()
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for greeted := 0; ; {
			asked := 0
			for _, s := range p.Subscriptions() {
				if s == "+L"+c.Address() {
					asked++
				}
			}
			if asked > greeted {
				greeted = asked
				p.Say(zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte(c.Address()), Address: []byte(p.Address())})
			}
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		close(ended)
		running.Wait()
	})
}

// An end that is not certain is an error that says what is uncertain, and where.
func TestUntilEndIncomplete(t *testing.T) {
	t.Parallel()
	type want struct {
		records  uint64
		doubts   []string // each part of one, and as many as there are
		endpoint string
	}
	for name, given := range map[string]func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want){
		"no tower": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			config.Node = nowhere()
			return open(t, config), want{doubts: []string{"no tower answers at tcp://127.0.0.1:1"}, endpoint: "tcp://127.0.0.1:1"}
		},
		"no store": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			return open(t, config), want{doubts: []string{"no store has answered"}, endpoint: config.Node.Pub[0]}
		},
		"too few stores": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			config.MinStores = 2
			c := open(t, config)
			join(t, tw, "STORE", answerer, "", "WSTORE").answers(t, c)
			return c, want{doubts: []string{"only 1 of 2 stores"}, endpoint: config.Node.Pub[0]}
		},
		"a store that stops": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			c := open(t, config)
			join(t, tw, "STORE", answerer, "", "WSTORE").answers(t, c)
			stopped := join(t, tw, "STOPPED", answerer, "", "WSTOPPED")
			stopped.greets(t, c, 1)
			return c, want{doubts: []string{"1 node is announced and does not answer: tcp://127.0.0.1:"}}
		},
		"a head without records, repeated": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			c := open(t, config)
			store := join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
				switch {
				case m.Kind == zmqwire.ConsumerHello:
					p.Say(of(zmqwire.DirectHead, c, 1, ""))
				case string(m.Routing) == "P":
					answerer(p, m)
				}
			}, "", "WSTORE")
			store.answers(t, c)
			claims(t, c, join(t, tw, "LIAR", nil, "", "FLIAR"), func(i uint64) (string, uint64) { return "NONE", i })
			return c, want{records: 2, doubts: []string{`of topic "hello", partition "NONE", which were announced`}}
		},
		"heads of ever more partitions": func(t *testing.T, tw *tower.Tower, config Config) (*Consumer, want) {
			c := open(t, config)
			join(t, tw, "STORE", nil, "", "WSTORE").answers(t, c)
			claims(t, c, join(t, tw, "LIAR", nil, "", "FLIAR"), func(i uint64) (string, uint64) { return fmt.Sprint("NONE", i), 7 })
			return c, want{doubts: slices.Concat(slices.Repeat([]string{`no node sends records 0 to 7 of topic "hello", partition "NONE`}, maxNamed),
				[]string{"more partitions lack announced records"})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			c, want := given(t, tw, Config{
				Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, EndTimeout: 2500 * time.Millisecond, Node: at(tw),
			})
			within, cancel := context.WithTimeout(t.Context(), waitAtMost)
			defer cancel()
			if want.records > 0 {
				read(t, c, int(want.records))
			}
			_, err := c.Next(within)
			var incomplete *IncompleteError
			if !errors.Is(err, ErrIncomplete) || !errors.As(err, &incomplete) {
				t.Fatalf("Next: %v, want %v", err, ErrIncomplete)
			}
			for _, doubt := range want.doubts {
				if !strings.Contains(err.Error(), doubt) {
					t.Errorf("Next: %v, want %q in it", err, doubt)
				}
			}
			if len(incomplete.Doubts) != len(want.doubts) {
				t.Errorf("Next: %v, want %d doubts", err, len(want.doubts))
			}
			if want.endpoint != "" && !slices.Contains(incomplete.Endpoints, want.endpoint) {
				t.Errorf("endpoints: %q, want %q among them", incomplete.Endpoints, want.endpoint)
			}
			if _, again := c.Next(within); again != err {
				t.Errorf("Next, again: %v, want the same error", again)
			}
		})
	}
}

// claims makes a peer announce a partition, another one or more of it each time.
func claims(t *testing.T, c *Consumer, liar *peer, claim func(i uint64) (partition string, head uint64)) {
	t.Helper()
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for i := uint64(0); ; i++ {
			m := of(zmqwire.Head, c, 0, "")
			address, head := claim(i)
			m.Address, m.Sequence = []byte(address), head
			liar.Say(m)
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		close(ended)
		running.Wait()
	})
}
