// Package tower has the tower, which introduces the nodes of a cluster to each other, and what every node is configured with:
// NodeConfig and Limits. What nodes are made of is in package node below it, and what a cluster looks like in package survey.
package tower

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Where towers are, when nothing else is said: the defaults of the C programs.
const (
	DefaultPub = "tcp://127.0.0.1:5557" // nodes hear of each other there
	DefaultSub = "tcp://127.0.0.1:5556" // nodes announce themselves there
)

// ErrNotSent is the reason for a beacon that libzmq did not take.
const ErrNotSent zmqwire.Fault = "announcement_not_sent"

// Config is what a tower needs. The zero value is a tower as dafka_towerd is one.
type Config struct {
	Pub    string       // where nodes listen to it: default "tcp://*:5557"
	Sub    string       // where nodes send their beacons: default "tcp://*:5556"
	Logger *slog.Logger // default: no log
}

// Tower introduces nodes to each other. It holds no state about them but how many there are, and how much they
// subscribe to: it passes each beacon on as it comes, rebuilt from its checked parts, with the address at which the node
// can be reached.
type Tower struct {
	pub, sub string // the endpoints bound
	context  *zsock.Context
	beacons  *zsock.Socket // XSUB: beacons of nodes
	mesh     *zsock.Socket // XPUB: announcements to nodes
	poller   *zsock.Poller
	batch    *zsock.Batch
	faults   *zmqwire.Faults
	census   census
	nodes    zsock.SubscriptionLimit // at mesh
	idle     zsock.IdleConnections   // at mesh
	log      *slog.Logger

	received, forwarded atomic.Uint64 // beacons
	round               flow.Moment   // when the goroutine last went round

	closing sync.Once
	ending  atomic.Bool
	done    chan struct{}
	err     error // why it ended by itself; read after done
}

// Open binds a tower's two sockets and starts it. An endpoint that zmqwire.ParseListenEndpoint refuses, that is taken, or
// that is not of this machine is an error.
func Open(config Config) (*Tower, error) {
	if config.Pub == "" {
		config.Pub = "tcp://*:5557"
	}
	if config.Sub == "" {
		config.Sub = "tcp://*:5556"
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tower{
		log: config.Logger, faults: zmqwire.NewFaults(config.Logger), done: make(chan struct{}),
		nodes: zsock.NewSubscriptionLimit(defaultSubscriptions),
	}
	t.round.Set(time.Now())
	if err := t.open(config); err != nil {
		t.release()
		return nil, err
	}
	go t.run()
	return t, nil
}

func (t *Tower) open(config Config) error {
	var err error
	if t.context, err = zsock.NewContext(); err != nil {
		return err
	}
	if t.beacons, err = t.context.Open(zsock.XSUB, zsock.Options{
		MaxFrame: zmqwire.MaxControlFrame, PeerAddresses: true,
	}); err != nil {
		return err
	}
	// A welcome greets each node that connects: C nodes know by it that they have a tower.
	if t.mesh, err = t.context.Open(zsock.XPUB, zsock.Options{
		MaxFrame: zmqwire.MaxControlFrame, ReceiveLimit: zsock.SubscriptionsWaiting, Sources: true, Welcome: zmqwire.WelcomeTopic,
	}); err != nil {
		return err
	}
	if t.sub, err = bind(t.beacons, config.Sub); err != nil {
		return err
	}
	if t.pub, err = bind(t.mesh, config.Pub); err != nil {
		return err
	}
	t.idle = zsock.NewIdleConnections(t.pub)
	// The C tower passes its nodes' subscriptions on to nodes, whatever they are. Beacons are all a tower wants.
	t.batch = zsock.NewBatch()
	t.batch.Add(zmqwire.Subscription{Prefix: []byte(zmqwire.BeaconTopic)}.Append(nil))
	if _, err := t.beacons.Send(t.batch); err != nil {
		return fmt.Errorf("subscribe to beacons: %w", err)
	}
	t.poller, err = zsock.NewPoller(t.beacons, t.mesh)
	return err
}

func bind(s *zsock.Socket, endpoint string) (string, error) {
	bound, err := s.Bind(endpoint)
	switch {
	case errors.Is(err, zsock.ErrInUse):
		return "", fmt.Errorf("tower cannot bind %s: another program, perhaps another tower, uses it", endpoint)
	case err != nil:
		return "", fmt.Errorf("tower cannot %w (want tcp://interface:port, * for all interfaces)", err)
	}
	return bound, nil
}

// Pub is the endpoint at which nodes hear of each other, with the port it got.
func (t *Tower) Pub() string { return t.pub }

// Sub is the endpoint to which nodes send their beacons, with the port it got.
func (t *Tower) Sub() string { return t.sub }

// Stats is what a tower has done since it was opened.
type Stats struct {
	Received  uint64 // beacons that came
	Forwarded uint64 // of them, those that were passed on
	Nodes     int    // from which a beacon came that was passed on, in the last 10 to 20 seconds; 16,384 at most
	Faults    map[zmqwire.Fault]uint64
	LastRound time.Time // when its goroutine last went round: it does so every second at least
}

// Stats is a snapshot.
func (t *Tower) Stats() Stats {
	return Stats{
		Received: t.received.Load(), Forwarded: t.forwarded.Load(), Nodes: t.census.count(time.Now()),
		Faults: t.faults.Counts(), LastRound: t.round.Get(),
	}
}

// Wait returns when the tower was closed (nil), when it failed (why), or when ctx ends (its error).
func (t *Tower) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// linger is how long a closed tower waits for nodes that have not yet been sent everything.
const linger = 200 * time.Millisecond

// Close ends the tower. A second call waits for the first.
func (t *Tower) Close() error {
	t.closing.Do(func() {
		t.ending.Store(true)
		t.poller.Wake()
		<-t.done
		t.release()
	})
	return t.err
}

func (t *Tower) release() {
	if t.poller != nil {
		t.poller.Close()
	}
	for _, s := range []*zsock.Socket{t.beacons, t.mesh} {
		if s != nil {
			s.Close()
		}
	}
	if t.context != nil {
		t.context.Close(linger) // the rest goes on until the peer has it or is gone
	}
}

func (t *Tower) run() {
	defer close(t.done)
	t.log.Info("tower is running", "pub", t.pub, "sub", t.sub)
	for {
		ready, err := t.poller.Wait(longWait, t.ending.Load)
		t.round.Set(time.Now())
		if err == nil && ready&1 != 0 {
			err = t.passOn()
		}
		if err == nil && ready&2 != 0 {
			err = t.takeSubscriptions()
		}
		if err != nil {
			t.err = fmt.Errorf("tower: %w", err)
			return
		}
		t.idle.End(time.Now(), t.nodes.ByPeer)
		if t.ending.Load() {
			return
		}
	}
}

// longWait is how long the tower sleeps without a message.
const longWait = time.Second

// takeSubscriptions hangs up on nodes that want too much, which libzmq would keep.
func (t *Tower) takeSubscriptions() error {
	if err := t.mesh.Drain(t.batch); err != nil {
		return err
	}
	for frames := t.batch.Next(); frames != nil; frames = t.batch.Next() {
		if _, err := t.nodes.Take(t.batch.Connection(), frames); err != nil {
			t.faults.Note(err)
		}
	}
	return nil
}

// messagesAtOnce bounds how long a flood at one of its sockets keeps the tower from the other.
const messagesAtOnce = 1000

func (t *Tower) passOn() error {
	for range messagesAtOnce {
		if err := t.beacons.Drain(t.batch); err != nil || t.batch.Len() == 0 {
			return err
		}
		t.received.Add(1)
		announcement, err := announce(t.batch.Next(), t.beacons.PeerAddress())
		if err != nil {
			t.faults.Note(err)
			continue
		}
		t.batch.Reset()
		t.batch.Add(announcement.Frames()...)
		if n, err := t.mesh.Send(t.batch); err != nil || n == 0 {
			t.faults.Note(fmt.Errorf("%w: %v", ErrNotSent, err))
			continue
		}
		t.forwarded.Add(1)
		t.census.note(announcement.Address, time.Now())
	}
	return nil
}

// announce makes of a node's beacon what other nodes are told. A node that advertises no host is reached where the
// tower sees it, and one that the tower sees on loopback is reached, from other machines too, at an address of this
// machine's.
func announce(frames [][]byte, peer netip.Addr) (zmqwire.Announcement, error) {
	beacon, err := zmqwire.ParseBeacon(frames)
	if err != nil {
		return zmqwire.Announcement{}, err
	}
	if beacon.Host == "" {
		ip := peer.Unmap().WithZone("")
		if !ip.IsValid() {
			return zmqwire.Announcement{}, fmt.Errorf("%w: no host, and no peer address", zmqwire.ErrBeacon)
		}
		if ip.IsLoopback() {
			ip = OwnAddress(ip)
		}
		beacon.Host = ip.String()
	}
	return zmqwire.Announcement{
		Address:  beacon.Address,
		Endpoint: zmqwire.Endpoint{Host: beacon.Host, Port: beacon.Port},
	}, nil
}

// OwnAddress is the first address of this machine, of loopback's family, that other machines may reach; loopback
// itself when there is none.
func OwnAddress(loopback netip.Addr) netip.Addr {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return loopback
	}
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := prefix.Addr().Unmap(); ip.IsGlobalUnicast() && ip.Is4() == loopback.Is4() {
			return ip
		}
	}
	return loopback
}
