// Package tower is where nodes meet: the tower itself, and the half of discovery that each node has (Node), which
// announces the node, learns of others, connects to them and gives up those that fell silent.
package tower

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/zmqwire"
)

// Where towers are, when nothing else is said: the defaults of the C programs.
const (
	DefaultPub = "tcp://127.0.0.1:5557" // nodes hear of each other there
	DefaultSub = "tcp://127.0.0.1:5556" // nodes announce themselves there
)

// maxControlFrame bounds the frames of discovery. A beacon's largest part is an address of 255 bytes, and a
// subscription of 130,000 bytes was enough to crash libzmq.
const maxControlFrame = 1024

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
	context  *zmq4.Context
	beacons  *zmq4.Socket // XSUB: beacons of nodes
	mesh     *zmq4.Socket // XPUB: announcements to nodes
	stop     *zmq4.Socket // PAIR: Close's end of an inproc pair
	stopped  *zmq4.Socket // PAIR: the tower's end
	faults   *zmqwire.Faults
	census   census
	nodes    subscriptions // at mesh
	log      *slog.Logger

	received, forwarded atomic.Uint64  // beacons
	round               zmqwire.Moment // when the goroutine last went round

	closing sync.Once
	done    chan struct{}
	err     error // why it ended by itself; read after done
}

// Open binds a tower's two sockets and starts it. An address that is taken or not of this machine is an error.
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
		nodes: newSubscriptions(defaultSubscriptions),
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
	if t.context, err = zmq4.NewContext(); err != nil {
		return fmt.Errorf("new ZeroMQ context: %w", err)
	}
	for _, s := range []struct {
		socket **zmq4.Socket
		kind   zmq4.Type
	}{{&t.beacons, zmq4.XSUB}, {&t.mesh, zmq4.XPUB}, {&t.stop, zmq4.PAIR}, {&t.stopped, zmq4.PAIR}} {
		if *s.socket, err = t.context.NewSocket(s.kind); err != nil {
			return fmt.Errorf("new ZeroMQ socket: %w", err)
		}
		if err := (*s.socket).SetLinger(zmqwire.Lingering); err != nil {
			return err
		}
	}
	// A welcome greets each node that connects: C nodes know by it that they have a tower.
	if err := t.mesh.SetXpubWelcomeMsg(zmqwire.WelcomeTopic); err != nil {
		return fmt.Errorf("welcome message: %w", err)
	}
	for _, s := range []*zmq4.Socket{t.beacons, t.mesh} {
		if err := s.SetMaxmsgsize(maxControlFrame); err != nil {
			return err
		}
	}
	if err := errors.Join(t.mesh.SetXpubVerboser(1), t.mesh.SetRcvhwm(subscriptionsWaiting)); err != nil {
		return err
	}
	if t.sub, err = bind(t.beacons, config.Sub); err != nil {
		return err
	}
	if t.pub, err = bind(t.mesh, config.Pub); err != nil {
		return err
	}
	// The C tower passes its nodes' subscriptions on to nodes, whatever they are. Beacons are all a tower wants.
	subscription := zmqwire.Subscription{Prefix: []byte(zmqwire.BeaconTopic)}.Append(nil)
	if _, err := t.beacons.SendBytes(subscription, 0); err != nil {
		return fmt.Errorf("subscribe to beacons: %w", err)
	}
	const stop = "inproc://stop"
	if err := t.stopped.Bind(stop); err != nil {
		return err
	}
	return t.stop.Connect(stop)
}

func bind(s *zmq4.Socket, endpoint string) (string, error) {
	if err := s.SetIpv6(strings.Contains(endpoint, "[")); err != nil {
		return "", err
	}
	if err := s.Bind(endpoint); err != nil {
		if errors.Is(err, zmq4.Errno(syscall.EADDRINUSE)) {
			return "", fmt.Errorf("tower cannot bind %s: another program, perhaps another tower, uses it", endpoint)
		}
		return "", fmt.Errorf("tower cannot bind %s: %w (want tcp://interface:port, * for all interfaces)", endpoint, err)
	}
	return s.GetLastEndpoint()
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
		t.stop.SendBytes(nil, zmq4.DONTWAIT)
		<-t.done
		t.stop.Close()
		t.stop = nil
		t.release()
	})
	return t.err
}

func (t *Tower) release() {
	for _, s := range []*zmq4.Socket{t.beacons, t.mesh, t.stop, t.stopped} {
		if s != nil {
			s.Close()
		}
	}
	if t.context != nil {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			t.context.Term()
		}()
		select {
		case <-ended:
		case <-time.After(linger): // the rest goes on until the peer has it or is gone
		}
	}
}

func (t *Tower) run() {
	defer close(t.done)
	t.log.Info("tower is running", "pub", t.pub, "sub", t.sub)
	poller := zmq4.NewPoller()
	for _, s := range []*zmq4.Socket{t.beacons, t.mesh, t.stopped} {
		poller.Add(s, zmq4.POLLIN)
	}
	for {
		ready, err := poller.Poll(longWait)
		t.round.Set(time.Now())
		if err != nil {
			t.err = fmt.Errorf("tower: poll: %w", err)
			return
		}
		for _, r := range ready {
			switch r.Socket {
			case t.stopped:
				return
			case t.mesh:
				t.takeSubscriptions()
			case t.beacons:
				t.passOn()
			}
		}
	}
}

// longWait is how long the tower sleeps without a message.
const longWait = time.Second

// takeSubscriptions hangs up on nodes that want too much, which libzmq would keep.
func (t *Tower) takeSubscriptions() {
	const connection = "__fd" // of all that libzmq tells of a message, what its deprecated ZMQ_SRCFD is
	for range messagesAtOnce {
		frames, metadata, err := t.mesh.RecvMessageBytesWithMetadata(zmq4.DONTWAIT, connection)
		if err != nil {
			return
		}
		from, err := strconv.Atoi(metadata[connection])
		if err != nil {
			from = -1
		}
		if _, err := t.nodes.take(from, frames); err != nil {
			t.faults.Note(err)
		}
	}
}

// messagesAtOnce bounds how long a flood at one of its sockets keeps the tower from the other.
const messagesAtOnce = 1000

func (t *Tower) passOn() {
	for range messagesAtOnce {
		frames, metadata, err := t.beacons.RecvMessageBytesWithMetadata(zmq4.DONTWAIT, "Peer-Address")
		if err != nil {
			return
		}
		t.received.Add(1)
		announcement, err := announce(frames, metadata["Peer-Address"])
		if err != nil {
			t.faults.Note(err)
			continue
		}
		if _, err := t.mesh.SendMessage(announcement.Frames()); err != nil {
			t.faults.Note(fmt.Errorf("%w: %w", ErrNotSent, err))
			continue
		}
		t.forwarded.Add(1)
		t.census.note(announcement.Address, time.Now())
	}
}

// announce makes of a node's beacon what other nodes are told. A node that advertises no host is reached where the
// tower sees it, and one that the tower sees on loopback is reached, from other machines too, at an address of this
// machine's.
func announce(frames [][]byte, peer string) (zmqwire.Announcement, error) {
	beacon, err := zmqwire.ParseBeacon(frames)
	if err != nil {
		return zmqwire.Announcement{}, err
	}
	if beacon.Host == "" {
		ip, err := netip.ParseAddr(peer)
		if err != nil {
			return zmqwire.Announcement{}, fmt.Errorf("%w: no host, and peer address %q", zmqwire.ErrBeacon, peer)
		}
		if ip = ip.Unmap().WithZone(""); ip.IsLoopback() {
			ip = ownAddress(ip)
		}
		beacon.Host = ip.String()
	}
	return zmqwire.Announcement{
		Address:  beacon.Address,
		Endpoint: zmqwire.Endpoint{Host: beacon.Host, Port: beacon.Port},
	}, nil
}

// ownAddress is the first address of this machine, of loopback's family, that other machines may reach; loopback
// itself when there is none.
func ownAddress(loopback netip.Addr) netip.Addr {
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
