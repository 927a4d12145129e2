package survey

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
)

// store is a peer with the subscriptions of the half of a store that answers. It sends the heads that it is asked for,
// and greets, unless it stands still.
type store struct {
	*towertest.Peer
	still     atomic.Bool
	greetings atomic.Int32 // that it has sent
}

func headFor(own, topic, partition string, records uint64) zmqwire.Message {
	return zmqwire.Message{
		Kind: zmqwire.DirectHead, Routing: []byte(own), Address: []byte(partition), Subject: []byte(topic), Sequence: records - 1,
	}
}

func joinStore(t *testing.T, tw *tower.Tower, name string, answer, greet func(s *store, own string)) *store {
	t.Helper()
	s := &store{}
	joined := make(chan struct{})
	s.Peer = towertest.Join(t, tw, name, func(_ *towertest.Peer, m *zmqwire.Message) {
		<-joined
		if m.Kind == zmqwire.GetHeads && !s.still.Load() {
			answer(s, string(m.Address))
		}
	}, "F", "G", "W"+name)
	close(joined)
	ctx, done := t.Context(), make(chan struct{})
	go func() {
		defer close(done)
		for seen := 0; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			all := s.Subscriptions()
			for _, subscription := range all[seen:] {
				own, ok := strings.CutPrefix(subscription, "+L")
				if !ok || s.still.Load() {
					continue
				}
				s.greetings.Add(1)
				greet(s, own)
			}
			seen = len(all)
		}
	}()
	t.Cleanup(func() { <-done })
	return s
}

func greets(s *store, own string) {
	s.Say(zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte(own), Address: []byte(s.Address())})
}

func holdsNothing(*store, string) {}

// The answer is whole when every store has confirmed that it has sent all; what may be missing is named.
func TestTake(t *testing.T) {
	t.Parallel()
	holds := func(topics ...string) func(*store, string) {
		return func(s *store, own string) {
			for _, topic := range topics {
				s.Say(headFor(own, topic, "P", 3))
			}
		}
	}
	tests := []struct {
		name    string
		join    func(t *testing.T, tw *tower.Tower)
		stores  int
		topics  []string
		missing []Reason
	}{
		{"no store", func(*testing.T, *tower.Tower) {}, 1, nil, []Reason{FewStores}},
		{"none is needed", func(*testing.T, *tower.Tower) {}, -1, nil, nil},
		{"an empty store", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holdsNothing, greets)
		}, 1, nil, nil},
		{"fewer than wanted", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a"), greets)
		}, 2, []string{"a"}, []Reason{FewStores}},
		{"two stores", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a", "b"), greets)
			joinStore(t, tw, "S2", holds("b", "c"), greets)
		}, 2, []string{"a", "b", "c"}, nil},
		{"a store that stands still", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a"), greets)
			joinStore(t, tw, "S2", holds("b"), greets).still.Store(true)
		}, 1, []string{"a"}, []Reason{Silent}},
		{"a busy store, which greets before it has sent all", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a"), func(s *store, own string) {
				greets(s, own)
				if n := s.greetings.Load(); n < 3 {
					s.Say(headFor(own, "late", "P", uint64(n)))
				}
			})
		}, 1, []string{"a", "late"}, nil},
		{"half a store", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a"), greets)
			towertest.Join(t, tw, "W", nil, "DW", "M", "H")
			towertest.Join(t, tw, "W2", nil, "DW2", "M", "H")
		}, 1, []string{"a"}, []Reason{HalfAStore}},
		{"a node that does not connect", func(t *testing.T, tw *tower.Tower) {
			joinStore(t, tw, "S", holds("a"), greets)
			towertest.Join(t, tw, "U", nil, "M")
		}, 1, []string{"a"}, []Reason{Unconnected}},
	}
	// Each takes seconds, of which it waits.
	type result struct {
		*Snapshot
		error
	}
	results := make([]chan result, len(tests))
	for i, test := range tests {
		tw := towertest.Open(t)
		test.join(t, tw)
		timeout := 20 * time.Second // of those that end before it
		if len(test.missing) > 0 {
			timeout = 2 * time.Second
		}
		results[i] = make(chan result, 1)
		go func() {
			got, err := Take(t.Context(), Config{Node: towertest.At(tw), MinStores: test.stores, Timeout: timeout})
			results[i] <- result{got, err}
		}()
	}
	for i, test := range tests {
		got := <-results[i]
		if got.error != nil {
			t.Errorf("%s: %v", test.name, got.error)
			continue
		}
		var topics []string
		for _, topic := range got.Topics {
			topics = append(topics, topic.Name)
		}
		var missing []Reason
		for _, m := range got.Missing {
			missing = append(missing, m.Reason)
		}
		if diff := cmp.Diff(test.topics, topics); diff != "" {
			t.Errorf("%s: topics (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(test.missing, missing); diff != "" || got.Complete() != (len(test.missing) == 0) {
			t.Errorf("%s: missing (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTakeEnds(t *testing.T) {
	t.Parallel()
	nowhere := tower.NodeConfig{Pub: []string{"tcp://127.0.0.1:1"}, Sub: []string{"tcp://127.0.0.1:1"}, Bind: "tcp://127.0.0.1:*"}
	if _, err := Take(t.Context(), Config{Node: nowhere, Timeout: 100 * time.Millisecond}); !errors.Is(err, ErrNoTower) {
		t.Errorf("without a tower: %v, want ErrNoTower", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Take(ctx, Config{Node: nowhere}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ends: %v", err)
	}
}

// A store that stops answering while it is watched is silent, then gone; what it had remains known.
func TestWatch(t *testing.T) {
	t.Parallel()
	tw := towertest.Open(t)
	s := joinStore(t, tw, "S", func(s *store, own string) { s.Say(headFor(own, "a", "P", 3)) }, greets)
	watching, err := Open(Config{Node: towertest.At(tw)})
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Close()
	done := errors.New("done")
	step := 0
	err = watching.Watch(t.Context(), 50*time.Millisecond, func(got *Snapshot) error {
		if len(got.Topics) == 1 && got.Topics[0].Records != 3 {
			t.Errorf("%+v, want 3 records, always", got.Topics)
		}
		silent := len(got.Stores) == 1 && got.Stores[0].Silent && len(got.Missing) == 1 && got.Missing[0].Reason == Silent
		switch {
		case step == 0 && got.Complete() && len(got.Topics) == 1:
			step++
			s.still.Store(true)
		case step == 1 && silent:
			step++
			s.still.Store(false)
		case step == 2 && got.Complete():
			return done
		}
		return nil
	})
	if err != done {
		t.Errorf("%v after step %d", err, step)
	}
}

// A probe finds out what listens at a place, and does not wait for who says nothing.
func TestProbe(t *testing.T) {
	t.Parallel()
	tw := towertest.Open(t)
	pub, sub := strings.TrimPrefix(tw.Pub(), "tcp://"), strings.TrimPrefix(tw.Sub(), "tcp://")
	got := probeAll(t.Context(), []string{pub, sub, "127.0.0.1:1", "nowhere.invalid:1"})
	if got[pub] != (probed{socket: "XPUB"}) || got[sub] != (probed{socket: "XSUB"}) {
		t.Errorf("a tower: %+v", got)
	}
	if err := got["127.0.0.1:1"].err; err == nil || err.Error() != "connection refused" {
		t.Errorf("nothing: %v", err)
	}
	if err := got["nowhere.invalid:1"].err; err == nil || !strings.HasPrefix(err.Error(), "the name nowhere.invalid does not resolve: ") {
		t.Errorf("no name: %v", err)
	}
	for _, body := range []string{"", "\x05READY", "\x05READY\x0bSocket-Type\x00\x00\x00\x09XPUB", "\x05READY\xff", "\x05ERROR\x00",
		"\x05READY\x0bSocket-Type\xff\xff\xff\xffXPUB"} {
		if socket, err := socketType([]byte(body)); err != errNotZeroMQ {
			t.Errorf("%q: %q, %v", body, socket, err)
		}
	}
}
