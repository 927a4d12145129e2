// Package producer publishes records to one topic. Each producer is a partition of its own: its records are numbered
// from 0 and keep their order. They are kept until a store has them, and given again to whoever missed them.
package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

var (
	// ErrClosed is returned by calls on a producer that was closed, and by those that waited when it was.
	ErrClosed = errors.New("producer is closed")
	// ErrFull is returned by Send under FailWhenFull.
	ErrFull = errors.New("producer holds as many unacked bytes as it may (MaxUnackedBytes)")
	// ErrOverdue is returned by Send, WaitAcked and Flush while a record waits for its ACK for longer than
	// Config.DeliveryTimeout.
	ErrOverdue = errors.New("a record was not acked within DeliveryTimeout")
)

// UnackedError is returned by Close when records were given up that no store, or not enough of them, had acked.
type UnackedError struct {
	Count   uint64      // the last Count records
	MinAcks int         // how many stores were to have them
	Stores  []StoreAcks // what each store has acked, when MinAcks is above 1
}

func (e *UnackedError) Error() string {
	were := "records were"
	if e.Count == 1 {
		were = "record was"
	}
	if e.MinAcks <= 1 {
		return fmt.Sprintf("%d %s not acked", e.Count, were)
	}
	return fmt.Sprintf("%d %s not acked by %d stores: %s", e.Count, were, e.MinAcks, listAcks(e.Stores))
}

// listAcks says which stores have acked how many records.
func listAcks(stores []StoreAcks) string {
	if len(stores) == 0 {
		return "no store acked any record"
	}
	var list []string
	for _, s := range stores {
		list = append(list, fmt.Sprintf("%s acked %d", s.Endpoint, s.Acked))
	}
	return strings.Join(list, ", ")
}

// ErrAckAhead is the reason to ignore an ACK.
const ErrAckAhead zmqwire.Fault = "ack_ahead"

// Config is what a producer needs. Only Topic must be set.
type Config struct {
	Topic string // 1 to 255 bytes, no NUL
	// HeadInterval is how often the newest sequence is announced, by which others notice what they missed; default 1 s.
	HeadInterval time.Duration
	// MaxUnackedBytes bounds the records that wait for their ACK; default 16 MiB. A larger record is taken when it is
	// the only one.
	MaxUnackedBytes int64
	// MinAcks is how many different stores must have a record before it counts as acked; default 1. A store that comes
	// back at another endpoint counts as another one.
	MinAcks int
	// OnAck, if any, is called once for each acked record, in the order of their sequences, as WaitAcked counts acked. One
	// goroutine of the producer's own calls it, so it may block and it may call Send: neither the node nor Send waits for
	// it, and nothing is queued for it but two numbers. Close returns after its last call, so it must not call Close.
	OnAck func(sequence uint64)
	// DeliveryTimeout, unless zero, is how long a record may wait for its ACK, from Send on, to within a thirtieth. While
	// one waits for longer, Send takes no record and returns ErrOverdue, and so do WaitAcked and Flush for records that
	// are not acked. No record is withdrawn, lost or passed over by a later one: it stays in the producer, may be acked
	// later, and then Send takes records again. Close waits as without it, and counts what was not acked.
	DeliveryTimeout time.Duration
	// FailWhenFull makes Send return ErrFull where it would wait for ACKs.
	FailWhenFull bool
	// TerminateUnacked makes Close wait until all records are sent, instead of acked.
	TerminateUnacked bool
	// Node says how the producer joins the cluster, and in Logger where its log goes. Its Address is the partition's
	// name; leave it empty unless you know that no producer had it before. Of a given Address the producer asks the
	// stores before it publishes the first record, which takes some 1.5 s from when a tower is connected, and fails
	// with ErrAddressUsed when one has records of it.
	Node tower.NodeConfig
}

const (
	// While a peer's queue is full, a producer waits for it this long and then goes on without it for a while; the
	// peer fetches what it missed. So the pace is that of the slowest peer that reads, and a peer that does not read
	// stops nobody.
	patience = 20 * time.Millisecond
	leave    = time.Second
	// A large record takes long on any connection, so there is more patience with those, and nobody is hurried again soon.
	largePatience = time.Second
	largeLeave    = 10 * time.Second

	// What waits for one peer within libzmq, and the bytes of large records that wait for any.
	queueRecords = 1000
	queueBytes   = 16 << 20

	// runsAtOnce is how many runs are sent before ACKs and requests are looked at.
	runsAtOnce = 8
	// lingering is how long a closed producer waits for those who have not yet been given everything.
	lingering = 500 * time.Millisecond
	// stalledWait is when requesters whose queues were full are tried again.
	stalledWait = 2 * time.Millisecond
	// longWait bounds a sleep without a reason to wake; libzmq up to 4.3.4 can miss a message after a signal.
	longWait = time.Second
)

// Producer is one partition of a topic. All methods may be called from any goroutine.
type Producer struct {
	topic        string
	header       []byte // of its records
	headInterval time.Duration
	failWhenFull bool
	unacked      bool // Close does not wait for ACKs
	log          log
	quorum       quorum
	logger       *slog.Logger
	node         *node.Node

	// Of the node's goroutine.
	received *zsock.Batch
	out      *zsock.Batch
	message  zmqwire.Message
	load     *zsock.Load // of the records published
	answers  flow.Answers
	stalled  bool // no requester has room
	audience audience
	given    bool     // the address was
	inquiry  *inquiry // nil when the address may be used
	nextHead time.Time
	rejoin   time.Time // until when full queues are not waited for; zero when they are
	loaded   time.Time // since when the load has no room; zero when it has

	stopping atomic.Bool
	closing  sync.Once
	closed   chan struct{} // the node is gone
	reported chan struct{} // OnAck is not called any more; nil without one
	failure  error         // why the node ended by itself; read after closed
	result   error         // of Close
}

// Open starts a producer. It does not wait for a tower: records are accepted at once, and sent to whoever is there.
func Open(config Config) (*Producer, error) {
	if config.HeadInterval == 0 {
		config.HeadInterval = time.Second
	}
	if config.MaxUnackedBytes == 0 {
		config.MaxUnackedBytes = 16 << 20
	}
	if config.MinAcks == 0 {
		config.MinAcks = 1
	}
	wrong := []error{zmqwire.CheckName("topic", config.Topic)}
	if config.HeadInterval < 0 || config.MaxUnackedBytes < 0 {
		wrong = append(wrong, fmt.Errorf("HeadInterval %v, MaxUnackedBytes %d: neither may be negative",
			config.HeadInterval, config.MaxUnackedBytes))
	}
	if config.DeliveryTimeout < 0 {
		wrong = append(wrong, fmt.Errorf("DeliveryTimeout %v: want a duration, or 0 for none", config.DeliveryTimeout))
	}
	if config.MinAcks < 0 || config.MinAcks > maxStores {
		wrong = append(wrong, fmt.Errorf("MinAcks %d: want 1 to %d", config.MinAcks, maxStores))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if config.Node.Logger == nil {
		config.Node.Logger = slog.New(slog.DiscardHandler)
	}
	given := config.Node.Address != ""
	node, err := node.Join(config.Node, node.Sockets{
		Publish:   zsock.XPUB,
		Send:      zsock.Options{SendLimit: queueRecords, Patience: patience},
		Subscribe: []zsock.Options{{Sources: true}},
		Linger:    lingering,
	})
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	limits := node.Limits()
	p := &Producer{
		topic:        config.Topic,
		header:       zmqwire.AppendRunHeader(nil, zmqwire.Record, config.Topic, node.Address(), config.Topic),
		headInterval: config.HeadInterval,
		failWhenFull: config.FailWhenFull,
		unacked:      config.TerminateUnacked,
		log:          log{most: config.MaxUnackedBytes, timeout: config.DeliveryTimeout},
		quorum:       quorum{stores: config.MinAcks},
		logger:       config.Node.Logger,
		node:         node,
		received:     zsock.NewBatch(),
		out:          zsock.NewBatch(),
		load:         zsock.NewLoad(queueBytes, nil),
		answers: flow.Answers{
			MaxRequests: limits.Requests, MaxPeerBytes: limits.PeerBytes, MaxBytes: limits.Bytes,
		},
		audience: newAudience(),
		given:    given,
		closed:   make(chan struct{}),
	}
	kinds := []zmqwire.Kind{zmqwire.Ack, zmqwire.Fetch}
	if given {
		p.inquiry = newInquiry()
		kinds = append(kinds, zmqwire.StoreHello, zmqwire.DirectHead)
	}
	for _, kind := range kinds {
		if err := node.Sub[0].Subscribe(string(byte(kind)) + node.Address()); err != nil {
			node.Close()
			return nil, fmt.Errorf("producer: %w", err)
		}
	}
	if config.OnAck != nil {
		p.reported = make(chan struct{})
		go p.reportAcks(config.OnAck)
	}
	go p.run()
	return p, nil
}

// Send takes a copy of content as the next record and returns its sequence. It does not wait for the network. When the
// unacked records fill MaxUnackedBytes it waits for ACKs until ctx ends, or returns ErrFull under FailWhenFull; ctx is
// not looked at otherwise. On an error the record was not taken.
func (p *Producer) Send(ctx context.Context, content []byte) (sequence uint64, err error) {
	if most := p.node.Limits().Frame; int64(len(content)) > most {
		return 0, fmt.Errorf("record of %d bytes: the limit frame is %d", len(content), most)
	}
	l := &p.log
	l.mu.Lock()
	for {
		reason := l.closed
		if reason == nil && l.overdue {
			reason = ErrOverdue
		}
		if reason != nil {
			l.mu.Unlock()
			return 0, reason
		}
		var ok bool
		if sequence, ok = l.append(content); ok {
			break
		}
		if p.failWhenFull {
			l.mu.Unlock()
			return 0, ErrFull
		}
		if err := l.wait(ctx); err != nil {
			l.mu.Unlock()
			return 0, err
		}
	}
	l.mu.Unlock()
	p.node.Wake()
	return sequence, nil
}

// Acked is how many records are acked: those with a lower sequence are held by a store.
func (p *Producer) Acked() uint64 {
	acked, _, _ := p.log.positions()
	return acked
}

// WaitAcked returns when the record is acked, or with ctx's error, or with ErrClosed when the producer was closed
// before.
func (p *Producer) WaitAcked(ctx context.Context, sequence uint64) error {
	l := &p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.acked <= sequence {
		if l.closed != nil {
			return l.closed
		}
		if l.overdue {
			return ErrOverdue
		}
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Flush waits like WaitAcked for all records sent so far.
func (p *Producer) Flush(ctx context.Context) error {
	_, _, next := p.log.positions()
	if next == 0 {
		return nil
	}
	return p.WaitAcked(ctx, next-1)
}

// Address is the partition: the producer's name in the cluster.
func (p *Producer) Address() string { return p.node.Address() }

// Connected is the number of towers the producer hears.
func (p *Producer) Connected() int { return p.node.Connected() }

// WaitConnected returns nil when a tower is connected, at once when one is already. If ctx ends first, the error wraps
// ctx's. If the producer was closed or failed first, the error is ErrClosed. A connected tower does not mean that any store is
// there.
func (p *Producer) WaitConnected(ctx context.Context) error {
	return p.node.WaitConnected(ctx, p.closed, ErrClosed)
}

// Stats is what a producer has done so far.
type Stats struct {
	Sent         uint64 // records taken by Send
	Acked        uint64 // of them, acked
	UnackedBytes int64  // what the others take
	MinAcks      int    // as configured
	// Stores is what each store has acked, sorted by endpoint. It is empty when MinAcks is 1: then stores are not told
	// apart.
	Stores []StoreAcks
	Towers int // towers heard
	Peers  int // other nodes known
	Faults map[zmqwire.Fault]uint64
}

// Stats is a snapshot.
func (p *Producer) Stats() Stats {
	l := &p.log
	l.mu.Lock()
	s := Stats{Sent: l.next, Acked: l.acked, UnackedBytes: l.bytes}
	l.mu.Unlock()
	s.MinAcks, s.Stores = p.quorum.stores, p.quorum.list()
	s.Towers, s.Peers, s.Faults = p.node.Connected(), p.node.Peers(), p.node.Faults().Counts()
	return s
}

// Wait returns when the producer was closed (nil), when its node failed (why), or when ctx ends (its error). A producer
// that failed sends nothing any more; it must be closed all the same.
func (p *Producer) Wait(ctx context.Context) error {
	select {
	case <-p.closed:
		return p.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more records, waits until all are acked or ctx ends, and ends the node; whatever it returns, nothing
// of the producer is left. It returns an *UnackedError when records were not acked, and the node's error when it had
// failed. Under TerminateUnacked that is said of records that were not sent. A second call waits for the first and
// returns the same.
func (p *Producer) Close(ctx context.Context) error {
	p.closing.Do(func() {
		l := &p.log
		if p.running() {
			l.close(ErrClosed)
		}
		l.mu.Lock()
		// What Close waits for to reach the end.
		done := func() uint64 {
			if p.unacked && l.acked >= l.missed {
				return l.sent
			}
			return l.acked
		}
		for done() < l.next && p.running() && l.wait(ctx) == nil {
		}
		unacked := l.next - done()
		l.mu.Unlock()
		p.stopping.Store(true)
		p.node.Wake()
		<-p.closed
		if p.reported != nil {
			<-p.reported
		}
		wrong := []error{p.failure, p.node.Close()}
		if unacked > 0 {
			wrong = append(wrong, &UnackedError{Count: unacked, MinAcks: p.quorum.stores, Stores: p.quorum.list()})
		}
		p.result = errors.Join(wrong...)
	})
	return p.result
}

// reportAcks calls report for each acked record until the node has ended.
func (p *Producer) reportAcks(report func(sequence uint64)) {
	defer close(p.reported)
	l := &p.log
	for next := uint64(0); ; {
		l.mu.Lock()
		for l.acked == next && p.running() {
			l.wait(context.Background())
		}
		acked := l.acked
		l.mu.Unlock()
		if acked == next {
			return
		}
		for ; next < acked; next++ {
			report(next)
		}
	}
}

func (p *Producer) running() bool {
	select {
	case <-p.closed:
		return false
	default:
		return true
	}
}

// run is the node: it waits, receives, and sends what is to be sent.
func (p *Producer) run() {
	reason := ErrClosed
	if err := p.loop(); err != nil {
		p.failure = fmt.Errorf("producer: %w", err)
		reason = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	close(p.closed)
	p.log.close(reason)
}

func (p *Producer) loop() error {
	for !p.stopping.Load() {
		ready, err := p.node.Wait(p.idle(time.Now()), p.work)
		if err != nil {
			return err
		}
		now := time.Now()
		if ready.Pub() {
			if err := p.meet(); err != nil {
				return err
			}
		}
		if ready.Sub(0) {
			if err := p.receive(now); err != nil {
				return err
			}
		}
		if err := p.inquire(now); err != nil {
			return err
		}
		if err := p.publish(now); err != nil {
			return err
		}
		if err := p.answer(); err != nil {
			return err
		}
		if err := p.announce(now); err != nil {
			return err
		}
	}
	return nil
}

// idle is how long the node may sleep.
func (p *Producer) idle(now time.Time) time.Duration {
	wait := p.log.look(now)
	if p.inquiry != nil {
		wait = min(wait, inquiryWait)
	}
	if !p.nextHead.IsZero() {
		wait = min(wait, max(p.nextHead.Sub(now), stalledWait))
	}
	if p.answers.Len() > 0 {
		wait = min(wait, stalledWait)
	}
	return wait
}

// work says that there is something to do without sleeping.
func (p *Producer) work() bool {
	acked, sent, next := p.log.positions()
	return p.stopping.Load() || p.inquiry == nil && sent < next && p.mayGoOn(acked, sent) > 0 || p.answers.Len() > 0 && !p.stalled
}

// mayGoOn says how many records may be sent now. It holds the producer back while full queues are not waited for: then
// only the ACKs tell how fast the stores are, and running ahead of them would make them miss records. Without ACKs it
// waits for the queues again.
func (p *Producer) mayGoOn(acked, sent uint64) int {
	if p.rejoin.IsZero() {
		return math.MaxInt
	}
	return p.node.Pub.Window() - int(sent-acked)
}

// meet notices who has just subscribed to the topic's heads. What was sent before, that peer has missed.
func (p *Producer) meet() error {
	subscriptions, err := p.node.Subscriptions(p.received)
	if err != nil {
		return err
	}
	for s := range subscriptions {
		p.audience.subscribed(s.Prefix, p.received.Connection(), p.topic)
		p.subscribed(s.Prefix)
	}
	return nil
}

// receive takes ACKs and requests.
func (p *Producer) receive(now time.Time) error {
	if err := p.node.Sub[0].Drain(p.received); err != nil {
		return err
	}
	m := &p.message
	for frames := p.received.Next(); frames != nil; frames = p.received.Next() {
		err := p.hear(m, frames, now)
		if errors.Is(err, ErrAddressUsed) {
			return err
		}
		if err != nil {
			p.node.Faults().Note(err)
		}
	}
	return nil
}

func (p *Producer) hear(m *zmqwire.Message, frames [][]byte, now time.Time) error {
	if err := m.Decode(frames); err != nil {
		return err
	}
	if err := m.Check(p.Address()); err != nil {
		return err
	}
	switch m.Kind {
	case zmqwire.StoreHello:
		return p.ask(string(m.Address), now)
	case zmqwire.DirectHead:
		if p.inquiry != nil && string(m.Address) == p.Address() && string(m.Subject) == p.topic {
			return p.used(m.Sequence + 1)
		}
		return nil
	}
	if string(m.Routing) != p.Address() || string(m.Subject) != p.topic {
		return fmt.Errorf("%v: %w", m.Kind, zmqwire.ErrForeign)
	}
	switch m.Kind {
	case zmqwire.Ack:
		return p.acked(m.Sequence)
	case zmqwire.Fetch:
		return p.answers.Add(m, p.received.Origin())
	}
	return nil
}

// acked takes an ACK of the records up to sequence. One that is ahead of what was sent shows that a store has records
// of an earlier producer, if that can be: a random address was nobody's, so there it is a mistake or a lie of the peer,
// which must not end the producer.
func (p *Producer) acked(sequence uint64) error {
	if _, sent, _ := p.log.positions(); sequence >= sent {
		if p.given {
			return p.used(sequence + 1)
		}
		return fmt.Errorf("%w: %d", ErrAckAhead, sequence)
	}
	records := sequence + 1
	if p.quorum.stores > 1 {
		store, ok := p.received.Source()
		if !ok {
			return nil // it has left; if it comes back it acks again
		}
		records = p.quorum.ack(store, records)
	}
	p.log.ack(records)
	return nil
}

// publish sends what Send has left in the log.
func (p *Producer) publish(now time.Time) error {
	if p.inquiry != nil {
		return nil
	}
	if !p.rejoin.IsZero() && now.After(p.rejoin) {
		p.rejoin = time.Time{}
	}
	if err := p.node.Pub.Refuse(p.rejoin.IsZero()); err != nil {
		return err
	}
	for range runsAtOnce {
		acked, sent, _ := p.log.positions()
		run, from := p.log.unsent()
		to := from + min(run.Len()-from, p.mayGoOn(acked, sent))
		if from >= to {
			return nil
		}
		n, err := p.node.Pub.SendRun(p.header, &run, from, to, p.load, p.rejoin.IsZero())
		if err != nil {
			return err
		}
		if n < to-from && !p.rejoin.IsZero() {
			// libzmq leaves out a peer whose queue is full; whose bytes use up the load cannot be told. So these records
			// are published to nobody: the HEAD makes everyone ask, and each is answered at its own pace.
			p.log.markMissed(to - from)
			p.log.markSent(to - from)
			p.nextHead = now
			return nil
		}
		p.log.markSent(n)
		if n > 0 {
			p.audience.served()
		}
		if p.nextHead.IsZero() {
			p.nextHead = now.Add(p.headInterval)
		}
		if n < to-from {
			p.leaveBehind(n > 0)
			return nil
		}
		p.loaded = time.Time{}
	}
	return nil
}

// leaveBehind decides whether queues that were full for the socket's patience are waited for any longer.
func (p *Producer) leaveBehind(moved bool) {
	now := time.Now()
	switch {
	case p.load.Bytes() == 0:
		p.rejoin = now.Add(leave)
	case moved || p.loaded.IsZero():
		p.loaded = now
	case now.Sub(p.loaded) >= largePatience:
		p.rejoin, p.loaded = now.Add(largeLeave), time.Time{}
	}
}

// answer gives each requester some of what it asked for.
func (p *Producer) answer() error {
	if p.answers.Len() == 0 {
		return nil
	}
	// A requester whose queue is full gets the rest later, nothing less.
	now := time.Now()
	if err := p.node.Pub.Refuse(!p.answers.Regardless(now)); err != nil {
		return err
	}
	var failure error
	var run zmqwire.Run
	moved := p.answers.Serve(
		now,
		func(c *flow.Cursor) *zmqwire.Run {
			if run = p.log.kept(c.Next()); run.Len() == 0 {
				return nil
			}
			return &run
		},
		func(c *flow.Cursor, run *zmqwire.Run, from, to int) int {
			n, err := p.node.Pub.SendRun(c.Header, run, from, to, c.Load, false)
			failure = errors.Join(failure, err)
			return n
		},
		func(*flow.Cursor) {},
	)
	p.stalled = !moved && p.answers.Len() > 0
	return failure
}

// announce sends a HEAD when it is due: from one interval after the first record on, and at once for those who may have
// it at once. Like a record, it waits for a peer whose queue is full for a while, and then leaves it out; until then the
// others wait too.
func (p *Producer) announce(now time.Time) error {
	if p.nextHead.IsZero() {
		return nil
	}
	if now.Before(p.nextHead) {
		if !p.audience.wantsHead() {
			return nil
		}
		p.nextHead = now
	}
	_, sent, _ := p.log.positions()
	p.out.Reset()
	err := p.out.AddMessage(&zmqwire.Message{
		Kind: zmqwire.Head, Routing: []byte(p.topic), Address: []byte(p.Address()), Subject: []byte(p.topic),
		Sequence: sent - 1,
	})
	if err != nil {
		return err
	}
	// Not at once: libzmq then gives a peer that was left out nothing more, answers included, until it has read a lot.
	if err := p.node.Pub.Refuse(now.Sub(p.nextHead) < leave); err != nil {
		return err
	}
	n, err := p.node.Pub.Send(p.out)
	if n > 0 {
		p.nextHead = now.Add(p.headInterval)
		p.audience.served()
	}
	return err
}
