package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

const (
	// answerGap is, for each peer known, how long a node that has just announced itself waits before it does so again
	// for a newcomer. Without it, n nodes that come at once send each other n * n * n beacons.
	answerGap = 5 * time.Millisecond
	// Of many new peers, so many are connected to at once, and the next ones after a while: a flood of beacons then does
	// not take as many file descriptors as it tells of peers.
	connectsAtOnce = 32
	connectGap     = 20 * time.Millisecond
	// resolveTime bounds one look-up of a name, maxLookups how many are under way.
	resolveTime = 5 * time.Second
	maxLookups  = 8
	// reachTime bounds the trial of a name's addresses at one port, maxReaching how many ports are tried at once.
	reachTime   = 2 * time.Second
	headStart   = 250 * time.Millisecond // of one address before the next one is tried too
	maxReaching = 16
)

// Sockets says which sockets a node has for its own traffic.
type Sockets struct {
	Publish zsock.Type // PUB, or XPUB for a node that wants to know its subscribers
	Send    zsock.Options
	// Subscriptions of each SUB socket. What arrives on one is not held up by what waits on another.
	Subscribe []zsock.Options
	// Linger is how long Close waits until what Publish has queued is sent; default 200 ms.
	Linger time.Duration
}

// Node is a member of the cluster: its sockets, its announcements, its connections to the other members. All methods
// but Wake, Connected, WaitConnected, Peers, Faults and Limits belong to the one goroutine that owns the node.
type Node struct {
	Pub *zsock.Socket   // what the node says; bound
	Sub []*zsock.Socket // what it hears; connected to every peer

	config  tower.NodeConfig
	log     *slog.Logger
	faults  *zmqwire.Faults
	context *zsock.Context
	linger  time.Duration
	beacons *zsock.Socket // XPUB, connected to the towers: its subscriptions tell when one listens
	links   []*link
	dials   []*dial // those of links and of beacons
	poller  *zsock.Poller
	port    uint16 // where Pub is bound
	beacon  [][]byte
	batch   *zsock.Batch

	namesake    string // the endpoint of another node of the same address; empty when none was seen
	directory   *directory
	subscribers zsock.SubscriptionLimit // at Pub
	idle        zsock.IdleConnections   // at Pub, when that is an XPUB
	changes     []change
	connected   map[zmqwire.Endpoint]string // the endpoints in use, and what the sockets connected to
	heard       time.Time                   // when a tower was last heard
	lastBeacon  time.Time
	nextBeacon  time.Time
	nextExpiry  time.Time
	nextChange  time.Time // not before it are changes applied
	settled     time.Time // when every node that was there before us has been heard; zero before the first tower
	peers       atomic.Int32
	contact     contact

	// Names are looked up by goroutines of their own, because a name server may take its time.
	lookups  context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
	pending  map[string]bool // names being looked up
	mu       sync.Mutex
	foundIPs []found
}

// link is what a node hears from one tower.
type link struct {
	*dial
	heard     time.Time
	echoed    time.Time        // when it last repeated what the node said of itself
	repeats   bool             // it did so, and not too long ago
	own       zmqwire.Endpoint // where it says that the node is
	connected bool
}

// Join makes a node and begins to look for its towers; it does not wait for them.
func Join(config tower.NodeConfig, sockets Sockets) (*Node, error) {
	config, err := config.WithDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		config:      config,
		log:         config.Logger,
		faults:      zmqwire.NewFaults(config.Logger),
		batch:       zsock.NewBatch(),
		directory:   newDirectory(config.Limits.Peers, config.Timeout),
		subscribers: zsock.NewSubscriptionLimit(config.Limits.Subscriptions),
		connected:   make(map[zmqwire.Endpoint]string),
		pending:     make(map[string]bool),
		contact:     newContact(),
	}
	if n.linger = sockets.Linger; n.linger == 0 {
		n.linger = 200 * time.Millisecond
	}
	n.lookups, n.stop = context.WithCancel(context.Background())
	if err := n.open(sockets); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Node) open(sockets Sockets) error {
	var err error
	if n.context, err = zsock.NewContext(); err != nil {
		return err
	}
	// Only subscriptions arrive there.
	sockets.Send.MaxFrame, sockets.Send.ReceiveLimit, sockets.Send.Sources = zsock.MaxSubscription, zsock.SubscriptionsWaiting, true
	if n.Pub, err = n.context.Open(sockets.Publish, sockets.Send); err != nil {
		return err
	}
	bound, err := n.Pub.Bind(n.config.Bind)
	if err != nil {
		return fmt.Errorf("%w (want %s)", err, tower.WantBind)
	}
	if n.idle = zsock.NewIdleConnections(bound); sockets.Publish != zsock.XPUB {
		n.idle.Port = -1 // nothing is known of its subscribers
	}
	polled := []*zsock.Socket{n.Pub}
	for _, options := range sockets.Subscribe {
		options.MaxFrame = n.config.Limits.Frame
		s, err := n.context.Open(zsock.SUB, options)
		if err != nil {
			return err
		}
		n.Sub = append(n.Sub, s)
		polled = append(polled, s)
	}

	port, err := strconv.ParseUint(bound[strings.LastIndexByte(bound, ':')+1:], 10, 16)
	if err != nil {
		return fmt.Errorf("bound to %s, which has no port", bound)
	}
	n.port = uint16(port)
	n.beacon = zmqwire.Beacon{Address: n.config.Address, Host: n.config.Host, Port: n.port}.Frames()
	if n.beacons, err = n.context.Open(zsock.XPUB, zsock.Options{MaxFrame: zmqwire.MaxControlFrame}); err != nil {
		return err
	}
	polled = append(polled, n.beacons)
	for _, where := range n.config.Pub {
		s, err := n.context.Open(zsock.SUB, zsock.Options{MaxFrame: zmqwire.MaxControlFrame})
		if err != nil {
			return err
		}
		// An endpoint that does not parse was refused by withDefaults.
		endpoint, _ := zmqwire.ParseEndpoint(where)
		d := &dial{endpoint: endpoint, socket: s}
		n.dials = append(n.dials, d)
		n.links = append(n.links, &link{dial: d, heard: time.Now()})
		polled = append(polled, s)
		if err := errors.Join(s.Subscribe(zmqwire.WelcomeTopic), s.Subscribe(zmqwire.BeaconTopic)); err != nil {
			return err
		}
	}
	for _, where := range n.config.Sub {
		endpoint, _ := zmqwire.ParseEndpoint(where)
		n.dials = append(n.dials, &dial{endpoint: endpoint, socket: n.beacons})
	}
	if n.poller, err = zsock.NewPoller(polled...); err != nil {
		return err
	}
	// Last, because a look-up that is done wakes the poller.
	n.dialTowers()
	n.log.Info("waiting for tower", "pub", n.config.Pub, "sub", n.config.Sub, "address", n.config.Address)
	return nil
}

// Address is the node's name in the cluster.
func (n *Node) Address() string { return n.config.Address }

// Limits are those that the node goes by: its configuration's, with the defaults filled in.
func (n *Node) Limits() tower.Limits { return n.config.Limits }

// Connected is the number of towers that can be heard. It may be called from any goroutine.
func (n *Node) Connected() int { return n.contact.count() }

// Peers is the number of other nodes the node knows. It may be called from any goroutine.
func (n *Node) Peers() int { return int(n.peers.Load()) }

// Faults counts what was dropped, by reason; the node's owner adds to it. It may be used from any goroutine.
func (n *Node) Faults() *zmqwire.Faults { return n.faults }

// Member is another node, as this one knows it.
type Member struct {
	Address  string
	Endpoint zmqwire.Endpoint // where it says that it can be reached
	At       string           // what to connect to: the endpoint with an IP literal, empty until its name is resolved
	Since    time.Time        // of its first beacon
	Heard    time.Time        // and its last
}

// Members lists the other nodes, sorted by address.
func (n *Node) Members() []Member {
	members := make([]Member, 0, len(n.directory.peers))
	for address, p := range n.directory.peers {
		members = append(members, Member{
			Address: address, Endpoint: p.endpoint, At: n.connected[p.endpoint], Since: p.since, Heard: p.heard,
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Address, b.Address) })
	return members
}

// Link is what a node hears from one of its towers.
type Link struct {
	Endpoint  zmqwire.Endpoint
	Connected bool
	// Repeats says that it announces this node: it also hears it. One that does not is not the tower, or not the only
	// one, behind the endpoint at which the node announces itself.
	Repeats bool
	// Own is where the tower tells the others that this node is; the zero Endpoint until it has.
	Own zmqwire.Endpoint
}

// Config is what the node goes by: the given configuration, with the defaults filled in.
func (n *Node) Config() tower.NodeConfig { return n.config }

// Links lists the node's towers in the order of its configuration.
func (n *Node) Links() []Link {
	links := make([]Link, len(n.links))
	for i, l := range n.links {
		links[i] = Link{l.endpoint, l.connected, l.repeats, l.own}
	}
	return links
}

// Newcomer says that the peer came to the cluster after the given time, and after this node. What was there before is
// heard of within one interval of its own beacons.
func (n *Node) Newcomer(address string, after time.Time) bool {
	p := n.directory.peers[address]
	return p != nil && !n.settled.IsZero() && p.since.After(n.settled) && p.since.After(after)
}

// Namesake returns the endpoint at which another node announces this node's address, as far as it was seen at another
// port.
func (n *Node) Namesake() (endpoint string, ok bool) { return n.namesake, n.namesake != "" }

// Settled says that every node that was there before this one has been heard of.
func (n *Node) Settled(now time.Time) bool { return !n.settled.IsZero() && now.After(n.settled) }

// Wake ends the Wait the node is in; see zsock.Poller. It may be called from any goroutine, but not after Close.
func (n *Node) Wake() { n.poller.Wake() }

// Listen says whether Wait minds Sub[i]: an owner that can take no more lets its peers wait.
func (n *Node) Listen(i int, mind bool) { n.poller.Listen(1+i, mind) }

// Ready says which of a node's sockets have something to receive.
type Ready int

// Pub says that subscriptions have arrived at Pub, an XPUB.
func (r Ready) Pub() bool { return r&1 != 0 }

// Sub says that messages have arrived at Sub[i].
func (r Ready) Sub(i int) bool { return r>>(1+i)&1 != 0 }

// Wait returns when a socket of the node is ready, after Wake, or when the time is over, sometimes earlier; it does not
// sleep when work, asked at the last moment, says that there is some. Meanwhile it does what discovery needs.
func (n *Node) Wait(timeout time.Duration, work func() bool) (Ready, error) {
	now := time.Now()
	timeout = min(timeout, n.nextBeacon.Sub(now), n.nextExpiry.Sub(now))
	if len(n.changes) > 0 {
		timeout = min(timeout, max(0, n.nextChange.Sub(now)))
	}
	ready, err := n.poller.Wait(timeout, func() bool { return work() || n.anyFound() })
	if err != nil {
		return 0, err
	}
	now = time.Now()
	due := !now.Before(n.nextBeacon) || !now.Before(n.nextExpiry) || len(n.changes) > 0 && !now.Before(n.nextChange)
	if due || ready>>(1+len(n.Sub)) != 0 || n.anyFound() {
		if err := n.discover(now); err != nil {
			return 0, err
		}
	}
	return Ready(ready & (1<<(1+len(n.Sub)) - 1)), nil
}

// discover does whatever is due. It is cheap and rare, so nothing in it depends on which socket was ready.
func (n *Node) discover(now time.Time) error {
	n.applyFound()
	announce := !now.Before(n.nextBeacon)

	if err := n.beacons.Drain(n.batch); err != nil {
		return err
	}
	// A tower that subscribes has just begun to listen.
	answer := n.batch.Len() > 0

	for _, l := range n.links {
		if err := l.socket.Drain(n.batch); err != nil {
			return err
		}
		for frames := n.batch.Next(); frames != nil; frames = n.batch.Next() {
			n.hear(l, now)
			if len(frames) == 1 && string(frames[0]) == zmqwire.WelcomeTopic {
				continue
			}
			announcement, err := zmqwire.ParseAnnouncement(frames)
			if err != nil {
				n.faults.Note(err)
				continue
			}
			if announcement.Address == n.config.Address {
				l.echoed, l.repeats, l.own = now, true, announcement.Endpoint
				if announcement.Endpoint.Port != n.port {
					n.namesake = announcement.Endpoint.String()
					n.faults.Note(fmt.Errorf("%w: at %s", ErrNamesake, n.namesake))
				}
				continue
			}
			var news bool
			n.changes, news, err = n.directory.heard(announcement, now, n.changes)
			if err != nil {
				n.faults.Note(err)
			}
			answer = answer || news
		}
	}
	if !now.Before(n.nextExpiry) {
		n.expire(now)
		n.nextExpiry = now.Add(n.config.Interval)
	}
	if answer && !announce {
		// When many nodes come at once, one answer is for many of them.
		gap := min(n.config.Interval, time.Duration(1+len(n.directory.peers))*answerGap)
		if n.nextBeacon = n.lastBeacon.Add(gap); !now.Before(n.nextBeacon) {
			announce = true
		}
	}
	if announce {
		n.batch.Reset()
		n.batch.Add(n.beacon...)
		if _, err := n.beacons.Send(n.batch); err != nil {
			return err
		}
		n.lastBeacon, n.nextBeacon = now, now.Add(n.config.Interval)
	}
	n.applyChanges(now)
	n.peers.Store(int32(len(n.directory.peers)))
	return nil
}

// applyChanges connects to new peers and disconnects from those that are gone.
func (n *Node) applyChanges(now time.Time) {
	if now.Before(n.nextChange) {
		return
	}
	done, connects := 0, 0
	for _, c := range n.changes {
		if c.connect {
			if connects == connectsAtOnce {
				n.nextChange = now.Add(connectGap)
				break
			}
			connects++
			n.connect(c.endpoint)
		} else {
			n.disconnect(c.endpoint)
		}
		done++
	}
	n.changes = slices.Delete(n.changes, 0, done)
}

// hear notes a sign of life of a tower. A tower repeats the node's own beacons, so one that works is never silent.
func (n *Node) hear(l *link, now time.Time) {
	l.heard, n.heard = now, now
	if l.connected {
		return
	}
	l.connected, l.echoed = true, now
	if n.contact.gain() {
		n.directory.believe(now)
	}
	if n.settled.IsZero() {
		n.settled = now.Add(n.config.Interval + n.config.Interval/4)
	}
	n.log.Info("connected to tower", "tower", l.endpoint.String())
}

func (n *Node) expire(now time.Time) {
	n.idle.End(now, n.subscribers.ByPeer)
	for _, l := range n.links {
		if now.Sub(l.heard) <= n.config.Timeout {
			if l.connected && now.Sub(l.echoed) > n.config.Timeout {
				l.echoed, l.repeats = now, false
				n.redialBeacons()
			}
			continue
		}
		if l.connected {
			l.connected, l.repeats, l.own = false, false, zmqwire.Endpoint{}
			n.contact.lose()
			n.log.Warn("tower is silent, waiting for it", "tower", l.endpoint.String())
		}
		// Its name may belong to another machine by now. And a connection on which a frame came that was too large is
		// one that libzmq does not make again.
		l.heard, l.dead = now, true
		n.dialTowers()
	}
	// A peer's silence counts while a tower is heard, and not from then until the tower's own is noticed.
	n.changes = n.directory.expire(n.heard, n.changes)
	for e, at := range n.connected {
		if at == "" {
			n.resolve(e.Host)
		}
	}
}

// dialTowers connects to the towers whose IP addresses are known and looks the others up.
func (n *Node) dialTowers() {
	for _, d := range n.dials {
		n.resolve(d.endpoint.Host)
	}
}

// redialBeacons makes the connections anew on which the node announces itself: a tower that can be heard does not hear
// it. Like those on which it listens, they are given up by libzmq when a frame comes that is too large.
func (n *Node) redialBeacons() {
	for _, d := range n.dials {
		if d.socket == n.beacons {
			d.dead = true
		}
	}
	n.dialTowers()
}

// connect connects the SUB sockets to a peer. libzmq is only given IP literals: it would resolve a name in its only I/O
// thread, and serve nobody meanwhile.
func (n *Node) connect(e zmqwire.Endpoint) {
	n.connected[e] = ""
	n.resolve(e.Host)
}

func (n *Node) disconnect(e zmqwire.Endpoint) {
	at := n.connected[e]
	delete(n.connected, e)
	if at == "" {
		return
	}
	for _, other := range n.connected {
		if other == at {
			return // two names of one place have one connection
		}
	}
	for _, s := range n.Sub {
		if err := s.Disconnect(at); err != nil {
			n.faults.NoteEvent("peer not disconnected", fmt.Errorf("%w: disconnect: %w", ErrConnect, err))
		}
	}
	n.log.Debug("disconnected from peer", "endpoint", e.String())
}

// Close ends the node. What Pub has queued is still sent, and waited for as long as Sockets.Linger says
// (zsock.Context.Close). The owner calls it when it has stopped waiting, and nobody calls Wake any more. A second call
// does nothing.
func (n *Node) Close() error {
	n.stop()
	n.running.Wait()
	if n.poller != nil {
		n.poller.Close()
	}
	var wrong []error
	sockets := append([]*zsock.Socket{n.Pub, n.beacons}, n.Sub...)
	for _, l := range n.links {
		sockets = append(sockets, l.socket)
	}
	for _, s := range sockets {
		if s != nil {
			wrong = append(wrong, s.Close())
		}
	}
	if n.context != nil {
		n.context.Close(n.linger)
	}
	return errors.Join(wrong...)
}

// Subscriptions gives what peers have subscribed to at Pub since it was called last; received is used for it. What is no
// subscription is counted as a fault, and its peer is hung up on, as is one that has too many.
func (n *Node) Subscriptions(received *zsock.Batch) (iter.Seq[zmqwire.Subscription], error) {
	if err := n.Pub.Drain(received); err != nil {
		return nil, err
	}
	return func(yield func(zmqwire.Subscription) bool) {
		for frames := received.Next(); frames != nil; frames = received.Next() {
			s, err := n.subscribers.Take(received.Connection(), frames)
			if err != nil {
				n.faults.Note(err)
				continue
			}
			if !s.Ends && !yield(s) {
				return
			}
		}
	}, nil
}
