package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// listener is a node that only listens. It hears each member on a socket of its own, because messages do not say who
// sent them. All methods belong to one goroutine.
type listener struct {
	node     *tower.Node
	config   tower.NodeConfig
	options  zmqwire.Options
	prefixes []string // what it subscribes to at each member
	context  *zmqwire.Context
	ears     map[string]*ear // by what they are connected to
	received *zmqwire.Batch
	deaf     bool // there are more members than it can hear, and it said so

	// subscribed is told of each subscription that arrives, and hear of each message. What they are given lives until
	// they return.
	subscribed func(prefix []byte)
	hear       func(from tower.Member, frames [][]byte)
}

// ear is the connection to one member.
type ear struct {
	socket *zmqwire.Socket
	member tower.Member
}

// hearingInterval is how often what has arrived is looked at: often enough for people, and for publishers, which slow
// down for those who read slowly.
const hearingInterval = 10 * time.Millisecond

// newListener joins the cluster. prefixes gives what to subscribe to, given the listener's address, besides the heads that
// are told to it: others see by these that a node has connected.
func newListener(c *cli.Context, options zmqwire.Options, prefixes func(own string) []string) (*listener, error) {
	settings, err := readConfig(c, "beacon") // it has no others
	if err != nil {
		return nil, err
	}
	config := settings.node()
	l := &listener{config: config, options: options, ears: make(map[string]*ear), received: zmqwire.NewBatch()}
	if l.context, err = zmqwire.NewContext(); err != nil {
		return nil, err
	}
	if l.node, err = tower.Join(config, tower.Sockets{Publish: zmqwire.XPUB}); err != nil {
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

func (l *listener) close() {
	for _, e := range l.ears {
		e.socket.Close()
	}
	l.context.Close(0)
	l.node.Close()
}

// turn waits a moment and passes on what has arrived.
func (l *listener) turn() error {
	ready, err := l.node.Wait(hearingInterval, func() bool { return false })
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
				l.subscribed(s.Prefix)
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
				l.hear(e.member, frames)
			}
		}
	}
	return nil
}

// follow opens ears for new members and closes those of members that have gone. Where two members have one endpoint, the
// newer is there, and the older is not known to be gone yet.
func (l *listener) follow() error {
	at := make(map[string]tower.Member)
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
		socket, err := l.context.Open(zmqwire.SUB, l.options)
		if err != nil {
			// libzmq has a limit; to hear most of a cluster is better than to hear nothing.
			if !l.deaf {
				l.deaf = true
				l.config.Logger.Warn("not all nodes can be heard", "heard", len(l.ears), "known", len(at), "error", err)
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
			l.config.Logger.Warn("peer not connected", "error", err)
		}
	}
	return nil
}

// survey is a listener that draws a picture of the cluster. It asks stores what they hold and hears the heads and ACKs
// that are said anyway; no record passes through it.
type survey struct {
	*listener
	*picture
	joined  time.Time // when a tower was first heard
	asked   time.Time // when the stores were last asked
	nextAsk time.Time
}

const (
	// contactPatience is how long a tower is waited for by a command that looks once.
	contactPatience = 5 * time.Second
	// surveyQuiet is how long nothing new must have been heard for the picture to be whole: everybody announces himself,
	// and every producer its head, once a second.
	surveyQuiet = 1250 * time.Millisecond
	// surveyPatience is how long the picture of a cluster that never rests is drawn.
	surveyPatience = 10 * time.Second
	// answerQuiet is how long no store must have said anything for all to have answered.
	answerQuiet = 250 * time.Millisecond
	// askInterval is how often stores are asked for their heads; for each head that they tell, askForEach longer.
	askInterval = time.Second
	askForEach  = 50 * time.Microsecond
)

// headFrame bounds what is received where no content is.
var headFrame = zmqwire.Options{MaxFrame: 64 << 10}

// openSurvey joins the cluster. options are those of its ears, and answers the kinds of answers that it hears besides
// heads.
func openSurvey(c *cli.Context, options zmqwire.Options, answers ...zmqwire.Kind) (*survey, error) {
	s := &survey{picture: newPicture()}
	var err error
	s.listener, err = newListener(c, options, func(own string) (prefixes []string) {
		for _, kind := range answers {
			prefixes = append(prefixes, string(byte(kind))+own)
		}
		for _, kind := range []zmqwire.Kind{zmqwire.Head, zmqwire.Ack, zmqwire.Fetch, zmqwire.GetHeads} {
			prefixes = append(prefixes, string(byte(kind)))
		}
		return prefixes
	})
	if err != nil {
		return nil, err
	}
	s.listener.subscribed = func(prefix []byte) {
		if string(prefix) == string(byte(zmqwire.GetHeads)) {
			s.nextAsk = time.Time{} // a store has just begun to listen
		}
		s.picture.subscribed(prefix, time.Now())
	}
	s.listener.hear = func(from tower.Member, frames [][]byte) {
		if err := s.picture.hear(from.Address, s.node.Address(), frames, time.Now()); err != nil {
			s.node.Faults().Note(err)
			var reason zmqwire.Fault
			if errors.As(err, &reason) {
				s.blame(from.Address, reason)
			}
		}
	}
	return s, nil
}

// turn draws on.
func (s *survey) turn() error {
	if err := s.listener.turn(); err != nil {
		return err
	}
	now := time.Now()
	s.meet(s.node.Members(), now)
	if s.joined.IsZero() && s.node.Connected() > 0 {
		s.joined, s.news = now, now
	}
	if s.joined.IsZero() || now.Before(s.nextAsk) {
		return nil
	}
	s.asked, s.nextAsk = now, now.Add(askInterval+time.Duration(len(s.partitions)*max(1, len(s.stores())))*askForEach)
	s.received.Reset()
	ask := zmqwire.Message{Kind: zmqwire.GetHeads, Address: []byte(s.node.Address())}
	if err := s.received.AddMessage(&ask); err != nil {
		return err
	}
	_, err := s.node.Pub.Send(s.received)
	return err
}

// settle draws until nothing new is learned. A tower that is not heard within the patience of people is an error.
func (s *survey) settle(ctx context.Context) error {
	begin := time.Now()
	for ctx.Err() == nil {
		if err := s.turn(); err != nil {
			return err
		}
		now := time.Now()
		switch {
		case s.joined.IsZero() && now.Sub(begin) > contactPatience:
			return s.noTower()
		case s.joined.IsZero():
		case now.Sub(s.news) >= surveyQuiet, now.Sub(s.joined) >= surveyPatience:
			return nil
		}
	}
	return ctx.Err()
}

// refresh asks all stores and waits until they have answered.
func (s *survey) refresh(ctx context.Context) error {
	s.expect()
	s.nextAsk = time.Time{}
	begin := time.Now()
	for ctx.Err() == nil {
		if err := s.turn(); err != nil {
			return err
		}
		now, last := time.Now(), s.told
		if s.asked.After(last) {
			last = s.asked
		}
		if now.Sub(last) >= answerQuiet || now.Sub(begin) >= contactPatience {
			return nil
		}
	}
	return ctx.Err()
}

// watch draws for some time.
func (s *survey) watch(ctx context.Context, period time.Duration) error {
	for end := time.Now().Add(period); ctx.Err() == nil && time.Now().Before(end); {
		if err := s.turn(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *survey) noTower() error {
	return &statusError{statusUnreached, fmt.Errorf("no tower was heard at %s for %v (is one running? dafka tower)",
		strings.Join(s.config.Pub, ", "), contactPatience)}
}
