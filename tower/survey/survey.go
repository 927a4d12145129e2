package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Config says which cluster is surveyed, and when an answer is complete. The zero value surveys the cluster of the
// tower on this machine.
type Config struct {
	Node tower.NodeConfig
	// MinStores is how many stores must be known for a snapshot to be complete; default 1. Negative: none need be.
	MinStores int
	// Timeout is how long Take waits for a tower, and then for the answers of all stores; default 5 s.
	Timeout time.Duration
}

// ErrNoTower means that no tower was heard within Config.Timeout.
var ErrNoTower = errors.New("no tower was heard")

const (
	// defaultTimeout is more than the 4 s after which a node that died is known to be gone: that is no missing answer.
	defaultTimeout = 5 * time.Second
	// surveyQuiet is how long nothing new must have been learned for the picture to be whole: every node announces itself,
	// and every producer its head, once a second.
	surveyQuiet = 1250 * time.Millisecond
	// surveyPatience is how long the picture of a cluster that never rests is drawn.
	surveyPatience = 10 * time.Second
	// answerQuiet is how long a store must have sent no head before it is asked whether that is all.
	answerQuiet = 250 * time.Millisecond
	// askInterval is how often stores are asked for their heads; for each head that they send, askForEach longer.
	askInterval = time.Second
	askForEach  = 50 * time.Microsecond
)

// headFrame bounds what is received where no content is.
var headFrame = zsock.Options{MaxFrame: 64 << 10}

// Survey is a node that looks on. All methods but Connected belong to one goroutine.
type Survey struct {
	*Listener
	*picture
	config  Config
	joined  time.Time // when a tower was first heard
	asked   time.Time // when the stores were last asked for heads
	nextAsk time.Time

	// Of the look that runs, or the last one:
	begun    time.Time
	stores   map[string]*asking // by address, those that were there
	confirms bool               // stores are to be asked whether they have sent all heads
}

// asking is how far a store is in answering.
type asking struct {
	member   node.Member
	greeting time.Time // when it was last asked for a greeting
	answered bool
}

// Open joins the cluster. It does not wait for a tower. Who opens a survey closes it.
func Open(config Config) (*Survey, error) { return open(config, headFrame) }

// open is Open. options are those of the sockets that receive, and answers the kinds of answers they receive besides
// heads.
func open(config Config, options zsock.Options, answers ...zmqwire.Kind) (*Survey, error) {
	if config.MinStores == 0 {
		config.MinStores = 1
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	s := &Survey{config: config, picture: newPicture()}
	var err error
	s.Listener, err = listen(config.Node, options, func(own string) (prefixes []string) {
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
	s.Listener.subscribed = func(prefix []byte, connection int) {
		if string(prefix) == string(byte(zmqwire.GetHeads)) {
			s.nextAsk = time.Time{} // a store has just begun to listen
		}
		s.picture.subscribed(prefix, connection, time.Now())
	}
	s.Listener.receive = func(from node.Member, frames [][]byte) {
		if err := s.picture.receive(from.Address, s.node.Address(), frames, time.Now()); err != nil {
			s.node.Faults().Note(err)
			var reason zmqwire.Fault
			if errors.As(err, &reason) {
				s.blame(from.Address, reason)
			}
		}
	}
	return s, nil
}

// Take joins the cluster, looks once and leaves. It returns within about twice Config.Timeout, typically within two
// seconds. A snapshot that may be incomplete says so (Snapshot.Missing) and is no error. Where no tower is heard the
// error wraps ErrNoTower; when ctx ends it is that of ctx.
func Take(ctx context.Context, config Config) (*Snapshot, error) {
	s, err := Open(config)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Take(ctx)
}

// Take looks once, as the function Take does.
func (s *Survey) Take(ctx context.Context) (*Snapshot, error) {
	if err := s.settle(ctx, surveyPatience); err != nil {
		return nil, err
	}
	return s.look(ctx, s.config.Timeout)
}

// Watch looks again and again, until ctx ends or each returns an error, and returns that. It calls each with what it
// sees about every interval, at most one second later. It waits for towers, and returns no error for want of one.
func (s *Survey) Watch(ctx context.Context, interval time.Duration, each func(*Snapshot) error) error {
	if err := s.settle(ctx, 2*surveyQuiet); err != nil && !errors.Is(err, ErrNoTower) {
		return err
	}
	for {
		begin := time.Now()
		snapshot, err := s.look(ctx, time.Second)
		if err == nil {
			err = each(snapshot)
		}
		if err == nil {
			err = s.pass(ctx, interval-time.Since(begin))
		}
		if err != nil {
			return err
		}
	}
}

// turn draws on.
func (s *Survey) turn() error {
	if err := s.Listener.Turn(); err != nil {
		return err
	}
	now := time.Now()
	s.meet(s.node.Members(), now)
	if s.joined.IsZero() && s.node.Connected() > 0 {
		s.joined, s.news = now, now
	}
	if s.joined.IsZero() {
		return nil
	}
	if s.confirms {
		if err := s.confirm(now); err != nil {
			return err
		}
	}
	if now.Before(s.nextAsk) {
		return nil
	}
	heads := len(s.partitions) * max(1, len(s.picture.stores()))
	s.asked, s.nextAsk = now, now.Add(askInterval+time.Duration(heads)*askForEach)
	s.received.Reset()
	ask := zmqwire.Message{Kind: zmqwire.GetHeads, Address: []byte(s.node.Address())}
	if err := s.received.AddMessage(&ask); err != nil {
		return err
	}
	_, err := s.node.Pub.Send(s.received)
	return err
}

// confirm finds out which stores have sent all their heads. An empty store sends none, and a busy one sends them late.
// So a store that has sent none for a moment is asked for a greeting. It has answered when the greeting comes, and no
// head came meanwhile.
func (s *Survey) confirm(now time.Time) error {
	for _, m := range s.picture.stores() {
		if s.stores[m.Address] == nil {
			s.stores[m.Address] = &asking{}
		}
		s.stores[m.Address].member = m
	}
	for address, a := range s.stores {
		got := s.answers[address]
		last := got.head
		if s.asked.After(last) {
			last = s.asked
		}
		ear := s.ears[a.member.At]
		switch {
		case a.answered || ear == nil || s.asked.Before(s.begun):
		case !a.greeting.After(last) && now.Sub(last) >= answerQuiet:
			a.greeting = now
			if err := ear.askForGreeting(s.node.Address()); err != nil {
				return err
			}
		case a.greeting.After(last) && got.greeting.After(a.greeting):
			a.answered = true
		}
	}
	return nil
}

// settle draws until nothing new is learned, for as long as patience at most. That no tower is heard within the timeout
// is an error.
func (s *Survey) settle(ctx context.Context, patience time.Duration) error {
	begin := time.Now()
	for ctx.Err() == nil {
		if err := s.turn(); err != nil {
			return err
		}
		now := time.Now()
		switch {
		case s.joined.IsZero() && now.Sub(begin) > s.config.Timeout:
			return fmt.Errorf("%w at %s for %v", ErrNoTower, strings.Join(s.towers(), ", "), s.config.Timeout)
		case s.joined.IsZero():
		case now.Sub(s.news) >= surveyQuiet, now.Sub(s.joined) >= patience:
			return nil
		}
	}
	return ctx.Err()
}

// towers are the endpoints at which towers are to be heard.
func (s *Survey) towers() (endpoints []string) {
	for _, l := range s.node.Links() {
		endpoints = append(endpoints, l.Endpoint.String())
	}
	return endpoints
}

// look asks all stores and waits until they have answered, for as long as patience at most.
func (s *Survey) look(ctx context.Context, patience time.Duration) (*Snapshot, error) {
	s.expect()
	s.begun, s.nextAsk, s.stores, s.confirms = time.Now(), time.Time{}, make(map[string]*asking), true
	defer func() { s.confirms = false }()
	for ctx.Err() == nil {
		if err := s.turn(); err != nil {
			return nil, err
		}
		now := time.Now()
		missing := s.missing()
		enough := len(missing) == 0 && now.Sub(s.begun) >= answerQuiet
		if !enough && now.Sub(s.begun) < patience {
			continue
		}
		s.measure(now)
		silent := make(map[string]bool)
		for address, a := range s.stores {
			silent[address] = !a.answered
		}
		snapshot := s.snapshot(silent, now)
		snapshot.Towers, snapshot.Missing = s.node.Links(), missing
		if len(missing) == 0 && len(snapshot.Stores) > 0 {
			s.complete = now
		}
		return snapshot, nil
	}
	return nil, ctx.Err()
}

// missing lists what the answer would lack if the look ended now.
func (s *Survey) missing() (missing []Missing) {
	if s.node.Connected() == 0 {
		return []Missing{{Reason: NoTower}}
	}
	if n := len(s.picture.stores()); n < s.config.MinStores {
		missing = append(missing, Missing{Reason: FewStores, Count: n})
	}
	for address, a := range s.stores {
		if a.answered {
			continue
		}
		reason := Silent
		if _, there := s.member(address); !there {
			reason = Left
		}
		missing = append(missing, Missing{Reason: reason, Endpoint: hostPort(a.member)})
	}
	for _, m := range s.having(Unknown) {
		// One that has just come is still connecting, and what it has it has just begun to have.
		if !m.Since.After(s.begun) {
			missing = append(missing, Missing{Reason: Unconnected, Endpoint: hostPort(m)})
		}
	}
	if n := len(s.having(StoreWriter)) - len(s.picture.stores()); n > 0 {
		missing = append(missing, Missing{Reason: HalfAStore, Count: n})
	}
	slices.SortFunc(missing, func(a, b Missing) int {
		return strings.Compare(string(a.Reason)+a.Endpoint, string(b.Reason)+b.Endpoint)
	})
	return missing
}

// pass draws on for some time.
func (s *Survey) pass(ctx context.Context, period time.Duration) error {
	for end := time.Now().Add(period); ctx.Err() == nil && time.Now().Before(end); {
		if err := s.turn(); err != nil {
			return err
		}
	}
	return ctx.Err()
}
