package survey

import (
	"errors"
	"log/slog"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Listener is a node that only receives. It has one socket for each member, because messages do not name their sender.
// All methods but Connected belong to one goroutine.
type Listener struct {
	node     *node.Node
	log      *slog.Logger
	options  zsock.Options
	prefixes []string // what it subscribes to at each member
	context  *zsock.Context
	ears     map[string]*ear // by what they are connected to
	received *zsock.Batch
	full     bool // there are more members than sockets, and the log has it

	// subscribed is called with each subscription that arrives, and receive with each message. Their arguments are valid
	// until they return.
	subscribed func(prefix []byte, connection int)
	receive    func(from node.Member, frames [][]byte)
}

// ear is the connection to one member.
type ear struct {
	socket *zsock.Socket
	member node.Member
}

// turnInterval is how often a listener looks for messages: often enough for people, and for publishers, which slow down
// for those who read slowly.
const turnInterval = 10 * time.Millisecond

// Listen joins the cluster and subscribes to the prefixes at every member. Turn then calls receive with each message;
// the frames are valid until receive returns. It does not wait for a tower.
func Listen(
	node tower.NodeConfig, prefixes []string, receive func(from node.Member, frames [][]byte),
) (*Listener, error) {
	l, err := listen(node, zsock.Options{}, func(string) []string { return prefixes })
	if err != nil {
		return nil, err
	}
	l.receive = receive
	return l, nil
}

// listen is Listen. prefixes returns the subscriptions, given the listener's address, besides the heads that are sent
// to it: from these others see that a node has connected.
func listen(config tower.NodeConfig, options zsock.Options, prefixes func(own string) []string) (*Listener, error) {
	l := &Listener{log: config.Logger, options: options, ears: make(map[string]*ear), received: zsock.NewBatch()}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if l.context, err = zsock.NewContext(); err != nil {
		return nil, err
	}
	if l.node, err = node.Join(config, node.Sockets{Publish: zsock.XPUB}); err != nil {
		l.context.Close(0)
		return nil, err
	}
	if l.options.MaxFrame == 0 {
		l.options.MaxFrame = l.node.Limits().Frame
	}
	own := l.node.Address()
	l.prefixes = append([]string{string(byte(zmqwire.DirectHead)) + own}, prefixes(own)...)
	return l, nil
}

// Connected is the number of towers that can be heard. It may be called from any goroutine.
func (l *Listener) Connected() int { return l.node.Connected() }

// Close leaves the cluster.
func (l *Listener) Close() error {
	var wrong []error
	for _, e := range l.ears {
		wrong = append(wrong, e.socket.Close())
	}
	l.ears = nil
	l.context.Close(0)
	return errors.Join(append(wrong, l.node.Close())...)
}

// Turn waits for at most 10 ms and passes on what has arrived. A member of the cluster must not stop calling it: others
// take a node that is silent for some seconds to be gone.
func (l *Listener) Turn() error {
	ready, err := l.node.Wait(turnInterval, func() bool { return false })
	if err != nil {
		return err
	}
	if ready.Pub() {
		subscriptions, err := l.node.Subscriptions(l.received)
		if err != nil {
			return err
		}
		for s := range subscriptions {
			if l.subscribed != nil {
				l.subscribed(s.Prefix, l.received.Connection())
			}
		}
	}
	if err := l.follow(); err != nil {
		return err
	}
	for _, e := range l.ears {
		// Not more than a few batches of one member, so that all get their turn.
		for range 8 {
			if err := e.socket.Drain(l.received); err != nil {
				return err
			}
			if l.received.Len() == 0 {
				break
			}
			for frames := l.received.Next(); frames != nil; frames = l.received.Next() {
				l.receive(e.member, frames)
			}
		}
	}
	return nil
}

// follow opens ears for new members and closes those of members that have gone. Where two members have one endpoint,
// the newer is there, and the older is not known to be gone yet.
func (l *Listener) follow() error {
	at := make(map[string]node.Member)
	for _, m := range l.node.Members() {
		if known, ok := at[m.At]; m.At != "" && (!ok || m.Since.After(known.Since)) {
			at[m.At] = m
		}
	}
	for where, e := range l.ears {
		if _, ok := at[where]; !ok {
			e.socket.Close()
			delete(l.ears, where)
		}
	}
	for where, m := range at {
		if e := l.ears[where]; e != nil {
			e.member = m
			continue
		}
		socket, err := l.context.Open(zsock.SUB, l.options)
		if err != nil {
			// libzmq has a limit; to receive from most of a cluster is better than to receive nothing.
			if !l.full {
				l.full = true
				l.log.Warn("not connected to all nodes", "connected", len(l.ears), "known", len(at), "error", err)
			}
			return nil
		}
		l.ears[where] = &ear{socket, m}
		for _, prefix := range l.prefixes {
			if err := socket.Subscribe(prefix); err != nil {
				return err
			}
		}
		if err := socket.Connect(where); err != nil {
			l.log.Warn("peer not connected", "error", err)
		}
	}
	return nil
}

// askForGreeting makes the store at the other end send a STORE-HELLO: it does so for each subscription to them.
func (e *ear) askForGreeting(own string) error {
	greetings := string(byte(zmqwire.StoreHello)) + own
	return errors.Join(e.socket.Unsubscribe(greetings), e.socket.Subscribe(greetings))
}
