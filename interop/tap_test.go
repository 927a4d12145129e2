package interop

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// A tap is a node that only listens. It holds all that it hears, which is all but hellos, and all subscriptions that
// arrive at it, against the wire: each message must decode strictly, and be encoded to the same bytes again.

type tap struct {
	mu            sync.Mutex
	heard         map[zmqwire.Kind]int
	subscriptions map[string]int
	wrong         []string
	kept          transcript
}

// transcript is what came first, in its order: subscriptions, each once, and the frames of messages.
type transcript struct {
	subscriptions []string
	messages      [][]string
}

// transcribed is how many messages a tap keeps.
const transcribed = 1000

// tap starts one.
func (c *cluster) tap() *tap {
	c.t.Helper()
	node, err := node.Join(c.node(), node.Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, kind := range zmqwire.Kinds() {
		// C nodes answer subscriptions to hellos, and complain about one to everything.
		if kind == zmqwire.ConsumerHello || kind == zmqwire.StoreHello {
			continue
		}
		if err := node.Sub[0].Subscribe(string(kind)); err != nil {
			c.t.Fatal(err)
		}
	}
	tap := &tap{heard: make(map[zmqwire.Kind]int), subscriptions: make(map[string]int)}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer node.Close()
		batch := zsock.NewBatch()
		for {
			select {
			case <-end:
				return
			default:
			}
			_, err := node.Wait(20*time.Millisecond, func() bool { return false })
			if err == nil {
				err = tap.listen(node, batch)
			}
			if err != nil {
				c.t.Errorf("the tap heard no more: %v", err)
				return
			}
		}
	}()
	c.t.Cleanup(func() {
		close(end)
		<-ended
		for i, what := range tap.wrong {
			if i == 5 {
				c.t.Errorf("tap: and %d more", len(tap.wrong)-i)
				break
			}
			c.t.Errorf("tap: %s", what)
		}
	})
	return tap
}

func (tap *tap) listen(node *node.Node, batch *zsock.Batch) error {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	if err := node.Pub.Drain(batch); err != nil {
		return err
	}
	for frames := batch.Next(); frames != nil; frames = batch.Next() {
		s, err := zmqwire.ParseSubscription(frames)
		if err != nil {
			tap.fault("subscription %x: %v", frames, err)
		} else if len(s.Prefix) > 0 && !slices.Contains(zmqwire.Kinds(), zmqwire.Kind(s.Prefix[0])) {
			tap.fault("subscription %q matches no message", s.Prefix)
		} else if !s.Ends {
			if tap.subscriptions[string(s.Prefix)]++; tap.subscriptions[string(s.Prefix)] == 1 {
				tap.kept.subscriptions = append(tap.kept.subscriptions, string(s.Prefix))
			}
		}
	}
	if err := node.Sub[0].Drain(batch); err != nil {
		return err
	}
	for frames := batch.Next(); frames != nil; frames = batch.Next() {
		var m zmqwire.Message
		if err := m.Decode(frames); err != nil {
			tap.fault("%d frames, the first %.100x: %v", len(frames), frames[0], err)
			continue
		}
		if again, err := m.Append(nil); err != nil || !bytes.Equal(again, frames[0]) {
			tap.fault("%v %.100x is encoded again as %.100x (%v)", m.Kind, frames[0], again, err)
		}
		tap.heard[m.Kind]++
		if len(tap.kept.messages) < transcribed {
			var kept []string
			for _, frame := range frames {
				kept = append(kept, string(frame))
			}
			tap.kept.messages = append(tap.kept.messages, kept)
		}
	}
	return nil
}

func (tap *tap) fault(format string, a ...any) {
	tap.wrong = append(tap.wrong, fmt.Sprintf(format, a...))
}

// count is how many messages of a kind came by.
func (tap *tap) count(kind zmqwire.Kind) int {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return tap.heard[kind]
}

// subscribed is how many subscriptions of these bytes came.
func (tap *tap) subscribed(prefix string) int {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return tap.subscriptions[prefix]
}

// subscribers are the addresses of those that subscribed to what is for them, by the kind of it.
func (tap *tap) subscribers(kind string) (addresses []string) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, prefix := range tap.kept.subscriptions {
		if address, ok := strings.CutPrefix(prefix, kind); ok && len(address) > 1 {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// transcript is what it has kept so far.
func (tap *tap) transcript() transcript {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return transcript{slices.Clone(tap.kept.subscriptions), slices.Clone(tap.kept.messages)}
}

// counts is all that came by, by the names of the messages.
func (tap *tap) counts() map[string]int {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	counts := make(map[string]int)
	for kind, n := range tap.heard {
		counts[kind.String()] = n
	}
	return counts
}
