// Package towertest is for tests of nodes: a cluster on loopback, and a peer that follows no rules.
package towertest

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// WaitAtMost bounds each wait of these tests. What they wait for takes milliseconds, unless the machine is busy.
const WaitAtMost = 60 * time.Second

// Eventually waits until the condition holds.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(WaitAtMost); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", WaitAtMost, what)
		}
	}
}

// Open starts a tower, which the end of the test closes.
func Open(t testing.TB) *tower.Tower {
	t.Helper()
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tw.Close() })
	return tw
}

// At is the configuration of a node of the tower's cluster, on loopback only.
func At(tw *tower.Tower) tower.NodeConfig {
	return tower.NodeConfig{
		Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*",
		Interval: 100 * time.Millisecond,
	}
}

// Peer is a node that says and hears whatever a test wants, without any of the rules that real nodes follow.
type Peer struct {
	t       testing.TB
	node    *node.Node
	respond func(*zmqwire.Message) // runs on the peer's goroutine; the message is its own to keep
	done    chan struct{}

	mu            sync.Mutex
	posted        *zsock.Batch
	messages      []*zmqwire.Message
	subscriptions []string
	deaf, ended   bool
}

// Join adds a peer to the cluster. respond, if any, is told of each message. The peer subscribes to the prefixes, or to
// everything at once when there are none: then to hear anything of a node means to miss nothing that it says later.
func Join(t testing.TB, tw *tower.Tower, address string, respond func(p *Peer, m *zmqwire.Message), prefixes ...string) *Peer {
	t.Helper()
	return JoinReading(t, tw, address, zsock.Options{}, respond, prefixes...)
}

// JoinReading is Join with the options of the socket that the peer reads from.
func JoinReading(
	t testing.TB, tw *tower.Tower, address string, options zsock.Options, respond func(p *Peer, m *zmqwire.Message), prefixes ...string,
) *Peer {
	t.Helper()
	config := At(tw)
	config.Address = address
	node, err := node.Join(config, node.Sockets{
		Publish: zsock.XPUB, Send: zsock.Options{SendLimit: 1 << 20},
		Subscribe: []zsock.Options{options}, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &Peer{t: t, node: node, done: make(chan struct{}), posted: zsock.NewBatch()}
	if respond != nil {
		p.respond = func(m *zmqwire.Message) { respond(p, m) }
	}
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	for _, prefix := range prefixes {
		if err := node.Sub[0].Subscribe(prefix); err != nil {
			t.Fatal(err)
		}
	}
	go p.run()
	t.Cleanup(p.End)
	return p
}

// Address is what the peer is called.
func (p *Peer) Address() string { return p.node.Address() }

// End takes the peer out of the cluster. What it said is sent first.
func (p *Peer) End() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.node.Wake()
	<-p.done
	p.node.Close()
}

func (p *Peer) run() {
	defer close(p.done)
	received, out := zsock.NewBatch(), zsock.NewBatch()
	for ended := false; !ended; {
		_, err := p.node.Wait(time.Second, p.work)
		p.mu.Lock()
		deaf := p.deaf
		out, p.posted = p.posted, out
		ended = p.ended
		p.mu.Unlock()
		p.node.Listen(0, !deaf)
		if err == nil {
			_, err = p.node.Pub.Send(out)
		}
		out.Reset()
		if err == nil {
			err = p.hearSubscriptions(received)
		}
		if err == nil && !deaf {
			err = p.hearMessages(received)
		}
		if err != nil {
			p.t.Errorf("peer %s: %v", p.node.Address(), err)
			return
		}
	}
}

func (p *Peer) work() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.posted.Len() > 0 || p.ended
}

func (p *Peer) hearSubscriptions(received *zsock.Batch) error {
	if err := p.node.Pub.Drain(received); err != nil {
		return err
	}
	for frames := received.Next(); frames != nil; frames = received.Next() {
		s, err := zmqwire.ParseSubscription(frames)
		if err != nil {
			return err
		}
		sign := "+"
		if s.Ends {
			sign = "-"
		}
		p.mu.Lock()
		p.subscriptions = append(p.subscriptions, sign+string(s.Prefix))
		p.mu.Unlock()
	}
	return nil
}

func (p *Peer) hearMessages(received *zsock.Batch) error {
	if err := p.node.Sub[0].Drain(received); err != nil {
		return err
	}
	for frames := received.Next(); frames != nil; frames = received.Next() {
		m := &zmqwire.Message{}
		owned := make([][]byte, len(frames))
		for i := range frames {
			owned[i] = bytes.Clone(frames[i])
		}
		if err := m.Decode(owned); err != nil {
			return err
		}
		p.mu.Lock()
		p.messages = append(p.messages, m)
		p.mu.Unlock()
		if p.respond != nil {
			p.respond(m)
		}
	}
	return nil
}

// Say publishes a message.
func (p *Peer) Say(m zmqwire.Message) {
	p.mu.Lock()
	err := p.posted.AddMessage(&m)
	p.mu.Unlock()
	if err != nil {
		p.t.Errorf("peer %s: %v", p.node.Address(), err)
	}
	p.node.Wake()
}

// SayFrames publishes frames as they are.
func (p *Peer) SayFrames(frames ...[]byte) {
	p.mu.Lock()
	p.posted.Add(frames...)
	p.mu.Unlock()
	p.node.Wake()
}

// Listen says whether the peer reads what comes to it.
func (p *Peer) Listen(reads bool) {
	p.mu.Lock()
	p.deaf = !reads
	p.mu.Unlock()
	p.node.Wake()
}

// Heard gives the messages of these kinds that have come, in order.
func (p *Peer) Heard(kinds ...zmqwire.Kind) []*zmqwire.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	var heard []*zmqwire.Message
	for _, m := range p.messages {
		if slices.Contains(kinds, m.Kind) {
			heard = append(heard, m)
		}
	}
	return heard
}

// Forget empties what Heard gives.
func (p *Peer) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = nil
}

// Subscriptions gives what nodes have subscribed to at the peer, as it came: the prefix behind a + or, when it ended, a -.
func (p *Peer) Subscriptions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.subscriptions)
}

// Subscribed says that a node has subscribed at the peer to exactly this prefix.
func (p *Peer) Subscribed(prefix string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.subscriptions, "+"+prefix)
}
