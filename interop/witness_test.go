package interop

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// witness is a node of the cluster that hears every ACK, and asks the stores what they have. What it heard acked must be
// there afterwards, whatever happened.
type witness struct {
	t    testing.TB
	node *node.Node
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex
	acked map[string]uint64   // by partition: how many records a store said it has on disk
	heads map[string][]uint64 // by partition: how many records each store has, as of the last time they were asked
	topic string              // of which heads are wanted; empty when none are
	asked time.Time
}

func (c *cluster) witness() *witness {
	c.t.Helper()
	node, err := node.Join(c.node(), node.Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, prefix := range []string{string(byte(zmqwire.Ack)), string(byte(zmqwire.DirectHead)) + node.Address()} {
		if err := node.Sub[0].Subscribe(prefix); err != nil {
			c.t.Fatal(err)
		}
	}
	w := &witness{
		t: c.t, node: node, quit: make(chan struct{}), done: make(chan struct{}),
		acked: make(map[string]uint64), heads: make(map[string][]uint64),
	}
	go w.run()
	c.t.Cleanup(func() {
		close(w.quit)
		<-w.done
		w.node.Close()
	})
	return w
}

func (w *witness) run() {
	defer close(w.done)
	received, out := zsock.NewBatch(), zsock.NewBatch()
	for {
		select {
		case <-w.quit:
			return
		default:
		}
		_, err := w.node.Wait(20*time.Millisecond, func() bool { return false })
		if err == nil {
			err = w.node.Sub[0].Drain(received)
		}
		w.mu.Lock()
		for frames := received.Next(); err == nil && frames != nil; frames = received.Next() {
			var m zmqwire.Message
			if err = m.Decode(frames); err != nil {
				break
			}
			switch partition := string(m.Address); m.Kind {
			case zmqwire.Ack:
				partition = string(m.Routing)
				w.acked[partition] = max(w.acked[partition], m.Sequence+1)
			case zmqwire.DirectHead:
				w.heads[partition] = append(w.heads[partition], m.Sequence+1)
			}
		}
		out.Reset()
		if err == nil && w.topic != "" && time.Since(w.asked) > time.Second {
			w.asked = time.Now()
			clear(w.heads)
			err = out.AddMessage(&zmqwire.Message{
				Kind: zmqwire.GetHeads, Routing: []byte(w.topic), Address: []byte(w.node.Address()),
			})
		}
		w.mu.Unlock()
		if err == nil {
			_, err = w.node.Pub.Send(out)
		}
		if err != nil {
			w.t.Errorf("witness: %v", err)
			return
		}
	}
}

// ackedOf is how many records of a partition the witness heard acked.
func (w *witness) ackedOf(partition string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked[partition]
}

// awaitStores waits until so many stores have so many records, or more, of each partition.
func (w *witness) awaitStores(topic string, stores int, records map[string]uint64) {
	w.t.Helper()
	w.mu.Lock()
	w.topic, w.asked = topic, time.Time{}
	clear(w.heads)
	w.mu.Unlock()
	var missing string
	var has []uint64
	// Stores ask each other every minute for what nobody told them of.
	for end := time.Now().Add(2 * waitAtMost); ; time.Sleep(20 * time.Millisecond) {
		missing, has = "", nil
		w.mu.Lock()
		for partition, records := range records {
			whole := 0
			for _, n := range w.heads[partition] {
				if n >= records {
					whole++
				}
			}
			if whole < stores {
				missing, has = partition, w.heads[partition]
			}
		}
		w.mu.Unlock()
		if missing == "" {
			break
		}
		if time.Now().After(end) {
			w.t.Fatalf("partition %s: %d stores are to have %d records, they say %d", missing, stores, records[missing], has)
		}
	}
	w.mu.Lock()
	w.topic = ""
	w.mu.Unlock()
}

// allAcked is what ackedOf is of all partitions, now.
func (w *witness) allAcked() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}
