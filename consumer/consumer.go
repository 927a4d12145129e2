// Package consumer subscribes to topics and gives each partition's records in order, each once. What was missed on the
// way, or was there before, it fetches from stores and producers.
//
// A live record is delivered when it arrives. No store may have it yet, and none may ever get it, as when its producer is
// killed: a consumer that comes later then never receives it. Config.StoredOnly delivers only what a store has.
package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"runtime"
	"slices"
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

// ErrClosed is returned by calls on a consumer that was closed.
var ErrClosed = errors.New("consumer is closed")

// ErrLost is returned at the end, under UntilEnd and SkipAfter, when records are known to exist that nobody gave.
var ErrLost = errors.New("records are known that nobody has")

// Reasons to drop a message.
const (
	ErrUnasked zmqwire.Fault = "unrequested_record"
	ErrClaims  zmqwire.Fault = "too_many_unverified_partitions"
)

// Reset says where a partition begins of which nothing was consumed yet.
type Reset int

const (
	// Latest gives new records only: all records of a producer that came after the subscription, and of one that was
	// there before, those that it publishes from now on. (A C consumer misses a newcomer's first records, and gives the
	// last old one when it hears of a partition by a HEAD.)
	Latest Reset = iota
	// Earliest begins with the partition's first record, from the stores.
	Earliest
	// LatestRecord is what C consumers take for Latest: of a producer that was there before, and whose HEAD is heard
	// first, it gives the last record too.
	LatestRecord
)

// Config is what a consumer needs. The zero value is a consumer without topics, to be subscribed later.
type Config struct {
	// Topics are 1 to 255 bytes each, without NUL. They match exactly, unless Prefix is set.
	Topics []string
	Reset  Reset
	// Prefix makes all Topics, and those subscribed later, match every topic that begins like them. What there is of
	// them at Earliest or with Start is found by asking the stores for all that they have. The empty topic then stands for
	// all topics.
	Prefix bool
	// Filter, unless nil, reports whether a partition of a topic is read; the others of the topic are left out. Their
	// records are received all the same. It is called on the consumer's goroutine, for every message of a partition that is
	// not read yet, and must not call the consumer.
	Filter func(topic, partition string) bool
	// Start says with which sequence a partition begins, instead of Reset. It is called once, when the partition is
	// first heard of; head is the newest record then known. Records below the sequence are never given, and one that
	// does not exist yet is waited for. A head may turn out to be a lie; then it is called again with one that a record
	// has proved. It runs on the consumer's goroutine and must not call the consumer.
	Start func(topic, partition string, head uint64) uint64
	// UntilEnd makes Next return io.EOF at the end. It is reached when everything that is known to exist was delivered,
	// nothing new was received for a second, all nodes that are known have connected to this one, and all known stores,
	// MinStores or more, have since sent what they have. When that does not come about, Next returns an *IncompleteError.
	UntilEnd bool
	// EndTimeout is how long the consumer, under UntilEnd, receives nothing that it asked for and has no certain end,
	// before Next returns an *IncompleteError. It includes the wait for a tower. With SkipAfter the time for the search is
	// added. Default 10 s.
	EndTimeout time.Duration
	// MinStores is how many stores must have sent what they have under UntilEnd, and must have a record under StoredOnly.
	// 0 is the default, 1. NoStores is none under UntilEnd, and 1 under StoredOnly.
	MinStores int
	// StoredOnly delivers a record only when MinStores different stores are known to have it: an ACK or a DIRECT-HEAD of
	// theirs covers it. Without it a live record is delivered at once, and no store may ever get it. What waits takes room
	// of MaxBufferedBytes; what waits for longer than 30 s is fetched when a store has it. Under UntilEnd, records that no
	// store has do not put off the end. A store is told from another by the endpoint it sends from.
	StoredOnly bool
	// SkipAfter, unless zero, is how long a record is waited for that nobody gives, as of a partition that is damaged in
	// its only store. Then the consumer looks for the record with which the partition goes on, and that one's Skipped
	// says how many are missing. It takes seconds more, and all that time somebody who has the record may come back.
	// Zero waits for ever. Either way a log line tells of it after ten seconds.
	SkipAfter time.Duration
	// MaxBufferedBytes bounds what is kept for a user that reads slowly, and what came before its turn; the rest is
	// fetched when there is room. Default 64 MiB. A larger record is taken when it is the only one.
	MaxBufferedBytes int64
	// Node says how the consumer joins the cluster, and in Logger where its log goes.
	Node tower.NodeConfig
}

// Record is one record. Content is the caller's to keep; it is cut from a larger piece of memory, so who keeps few
// records of many for long should copy them.
type Record struct {
	Topic     string
	Partition string // the address of its producer
	Sequence  uint64 // counts from 0 in each partition
	Content   []byte
	Skipped   uint64 // so many records right before this one were given up, see Config.SkipAfter
}

const (
	// pieceBytes is the memory from which contents are cut.
	pieceBytes = 64 << 10
	// maxClaims bounds the partitions known from one peer of which no record came yet: anyone can make them up. All peers
	// together may have twice as many.
	maxClaims = 32768
	// sweepEvery is how often at most the claims are looked through, and heads asked for that had no room among them.
	sweepEvery = time.Second
	// headsEvery is how often the stores are asked again for the heads of all topics. A store tells what it has when a
	// consumer comes; of what it gets later from a producer that is gone by then, nobody else would tell.
	headsEvery = time.Minute
	// longWait bounds a sleep without a reason to wake; libzmq up to 4.3.4 can miss a message after a signal.
	longWait = time.Second
)

// Consumer reads topics. Next, Records and Buffered belong to one goroutine at a time; all else may be called from any.
type Consumer struct {
	reset     Reset
	prefix    bool
	skipAfter time.Duration
	first     func(topic, partition string, head uint64) uint64 // nil: as reset says
	filter    func(topic, partition string) bool                // nil: all are read
	untilEnd  bool
	// endTimeout and minStores are Config's, without zero values.
	endTimeout time.Duration
	minStores  int
	most       int64
	node       *node.Node
	handover   handover

	// Of the node's goroutine.
	received   *zsock.Batch
	out        *zsock.Batch
	message    zmqwire.Message
	topics     map[string]map[string]*partition // by topic and address
	since      map[string]time.Time             // when each subscription began
	sources    map[string]source                // by record header
	lastHeader []byte
	last       source
	backlog    flow.Backlog
	claims     flow.Shares // partitions without a record
	nextSweep  time.Time   // when to look for claims to forget
	untaken    bool        // since the stores were asked last, some of their heads had no room among the claims
	refused    uint64      // partitions that others announced and that had none, or were forgotten for others
	fresh      []delivery
	piece      []byte       // what is left of the current piece of memory
	early      int64        // bytes kept before their turn
	full       []*partition // those whose next record is kept but found no room
	nextHeads  time.Time    // when to ask the stores again for heads
	ending     ending
	log        *slog.Logger
	holes      map[*partition]*hole
	storage    storage
	nextLook   time.Time // when to look at them
	lost       uint64    // records at the ends of partitions that were given up
	fetched    uint64    // records taken that were asked for

	mu       sync.Mutex
	wanted   map[string]bool // the subscriptions
	known    map[string]bool // those with a partition; written by the node's goroutine, which reads it without the lock
	commands []command       // what the node has not done yet of them

	duplicates atomic.Uint64
	delivered  atomic.Uint64
	skipped    atomic.Uint64
	stopping   atomic.Bool
	closing    sync.Once
	closed     chan struct{}
	result     error
}

type command struct {
	topic     string
	subscribe bool
}

// partition is one producer's records of one topic.
type partition struct {
	flow.Order
	// claimed says that where the partition begins is only known from a head, which may be a lie; a record proves it.
	claimed bool
	proved  bool // a record of it was given
	// full says that it stands in the consumer's list of that name.
	full    bool
	skipped uint64  // records given up right before the next one
	stored  uint64  // so many of the first records may be delivered
	writers holders // the stores whose ACKs and DIRECT-HEADs say so, where more than one must
	readers holders
	listens bool // the consumer subscribes to its ACKs
	told    bool // a store made it known, which can be asked again
	ends    bool // the records from end on were given up
	end     uint64
	owner   node.Owner // who may say what is live
}

// source is what a record's header says: the partition, and whether the record is live or was asked for.
type source struct {
	partition *partition
	live      bool
}

// Open starts a consumer. It does not wait for a tower: what is missed meanwhile is fetched.
func Open(config Config) (*Consumer, error) {
	if config.MaxBufferedBytes == 0 {
		config.MaxBufferedBytes = 64 << 20
	}
	var wrong []error
	for _, topic := range config.Topics {
		wrong = append(wrong, checkTopic(topic, config.Prefix))
	}
	if config.MaxBufferedBytes < 0 {
		wrong = append(wrong, fmt.Errorf("MaxBufferedBytes %d: want 1 or more", config.MaxBufferedBytes))
	}
	if config.SkipAfter < 0 {
		wrong = append(wrong, fmt.Errorf("SkipAfter %v: want a duration, or 0 to wait for ever", config.SkipAfter))
	}
	if config.EndTimeout < 0 {
		wrong = append(wrong, fmt.Errorf("EndTimeout %v: want a duration, or 0 for %v", config.EndTimeout, defaultEndTimeout))
	}
	if config.EndTimeout == 0 {
		config.EndTimeout = defaultEndTimeout
	}
	if config.MinStores < NoStores {
		wrong = append(wrong, fmt.Errorf("MinStores %d: want 1 or more, 0 for 1, or NoStores", config.MinStores))
	}
	if config.MinStores == 0 {
		config.MinStores = 1
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if config.Node.Logger == nil {
		config.Node.Logger = slog.New(slog.DiscardHandler)
	}
	node, err := node.Join(config.Node, node.Sockets{
		Publish:   zsock.XPUB,
		Send:      zsock.Options{SendLimit: 1 << 16},
		Subscribe: []zsock.Options{{Sources: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c := &Consumer{
		reset:     config.Reset,
		prefix:    config.Prefix,
		skipAfter: config.SkipAfter,
		log:       config.Node.Logger,
		holes:     make(map[*partition]*hole),
		first:     config.Start,
		filter:    config.Filter,
		untilEnd:  config.UntilEnd,

		endTimeout: config.EndTimeout,
		minStores:  config.MinStores,

		most:      config.MaxBufferedBytes,
		node:      node,
		handover:  handover{ready: make(chan struct{}, 1)},
		received:  zsock.NewBatch(),
		out:       zsock.NewBatch(),
		topics:    make(map[string]map[string]*partition),
		since:     make(map[string]time.Time),
		sources:   make(map[string]source),
		nextHeads: time.Now().Add(headsEvery),
		ending: ending{
			met: make(map[string]bool), ears: make(map[int]ears), readers: make(map[string]time.Time),
			progress: time.Now(),
		},
		storage: storage{
			only: config.StoredOnly, stores: max(config.MinStores, 1), gap: firstAskGap,
			held: make(map[*partition]time.Time), acks: make(map[string]int),
		},
		claims: flow.NewShares(maxClaims),
		wanted: make(map[string]bool),
		known:  make(map[string]bool),
		closed: make(chan struct{}),
	}
	for _, kind := range []zmqwire.Kind{zmqwire.DirectRecord, zmqwire.DirectHead, zmqwire.StoreHello} {
		if err := node.Sub[0].Subscribe(string(byte(kind)) + node.Address()); err != nil {
			node.Close()
			return nil, fmt.Errorf("consumer: %w", err)
		}
	}
	for _, topic := range config.Topics {
		c.post(topic, true)
	}
	go c.run()
	return c, nil
}

func checkTopic(topic string, prefix bool) error {
	if prefix && topic == "" {
		return nil
	}
	return zmqwire.CheckName("topic", topic)
}

// Subscribe adds a topic; one that is there already stays as it is.
func (c *Consumer) Subscribe(topic string) error {
	if err := checkTopic(topic, c.prefix); err != nil {
		return err
	}
	return c.post(topic, true)
}

// Unsubscribe takes a topic away and forgets how far it was read. Records of it that wait for Next are still given.
func (c *Consumer) Unsubscribe(topic string) error { return c.post(topic, false) }

func (c *Consumer) post(topic string, subscribe bool) error {
	if c.stopping.Load() {
		return ErrClosed
	}
	c.mu.Lock()
	if c.wanted[topic] != subscribe {
		if subscribe {
			c.wanted[topic] = true
		} else {
			delete(c.wanted, topic)
		}
		c.commands = append(c.commands, command{topic, subscribe})
	}
	c.mu.Unlock()
	c.node.Wake()
	return nil
}

// Subscriptions lists the topics, sorted.
func (c *Consumer) Subscriptions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.wanted))
}

// Unknown lists the subscriptions of which no node has announced a partition that Filter lets through, sorted. A consumer
// from Latest asks no store: of it they are those without a producer.
func (c *Consumer) Unknown() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.wanted)), func(topic string) bool { return c.known[topic] })
}

// Address is the consumer's name in the cluster.
func (c *Consumer) Address() string { return c.node.Address() }

// Connected is the number of towers the consumer hears.
func (c *Consumer) Connected() int { return c.node.Connected() }

// WaitConnected returns nil when a tower is connected, at once when one is already. If ctx ends first, the error wraps
// ctx's. If the consumer was closed or failed first, the error is ErrClosed. A connected tower does not mean that any store
// or producer is there.
func (c *Consumer) WaitConnected(ctx context.Context) error {
	return c.node.WaitConnected(ctx, c.closed, ErrClosed)
}

// Next waits for the next record of any partition. It returns ctx's error when ctx ends, and ErrClosed after Close. Under
// UntilEnd it returns io.EOF at the end, an error that matches ErrLost there when the last records of a partition were
// given up, and an *IncompleteError when the end is not certain. When the node fails, it returns why. Records that had
// arrived by then are delivered first.
func (c *Consumer) Next(ctx context.Context) (Record, error) {
	d, err := c.handover.next(ctx, c.node.Wake)
	if err != nil {
		return Record{}, err
	}
	c.delivered.Add(1)
	return Record{
		Topic: d.partition.Topic, Partition: d.partition.Partition, Sequence: d.sequence, Content: d.content,
		Skipped: d.skipped,
	}, nil
}

// Records ranges over what Next gives. It ends after yielding an error; io.EOF and ErrClosed end it without.
func (c *Consumer) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			record, err := c.Next(ctx)
			if err == io.EOF || err == ErrClosed {
				return
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// Buffered says that Next would give a record without waiting: who writes records to somewhere may use the pause.
func (c *Consumer) Buffered() bool { return c.handover.waiting() }

// Stats is what a consumer has done so far.
type Stats struct {
	Delivered     uint64 // records that Next gave
	Duplicates    uint64 // records that had been taken before
	Skipped       uint64 // records that were given up, see Config.SkipAfter
	BufferedBytes int64  // what is kept for Next
	Towers        int    // towers heard
	Peers         int    // other nodes known
	Faults        map[zmqwire.Fault]uint64
}

// Stats is a snapshot.
func (c *Consumer) Stats() Stats {
	return Stats{
		Delivered: c.delivered.Load(), Duplicates: c.duplicates.Load(), Skipped: c.skipped.Load(),
		BufferedBytes: c.handover.held.Load(),
		Towers:        c.node.Connected(), Peers: c.node.Peers(), Faults: c.node.Faults().Counts(),
	}
}

// Close ends the consumer and returns when it is gone. A second call waits for the first and returns the same.
func (c *Consumer) Close() error {
	c.closing.Do(func() {
		c.stopping.Store(true)
		c.node.Wake()
		<-c.closed
		c.handover.finish(ErrClosed)
		c.result = errors.Join(c.result, c.node.Close())
	})
	return c.result
}

// run is the node: it waits, receives, puts in order, hands over, and asks for what is missing.
func (c *Consumer) run() {
	defer close(c.closed)
	if err := c.loop(); err != nil {
		c.result = fmt.Errorf("consumer: %w", err)
		c.handover.finish(c.result)
	}
}

func (c *Consumer) loop() error {
	wait := longWait
	for !c.stopping.Load() {
		ready, err := c.node.Wait(wait, c.work)
		if err != nil {
			return err
		}
		now := time.Now()
		c.out.Reset()
		if err := c.obey(); err != nil {
			return err
		}
		if ready.Pub() {
			if err := c.greet(); err != nil {
				return err
			}
		}
		if ready.Sub(0) {
			if err := c.receive(now); err != nil {
				return err
			}
		}
		c.askHeadsAgain(now)
		c.lookForHoles(now)
		c.lookAtHeld(now)
		c.retryFull()
		if len(c.fresh) > 0 {
			c.fresh = c.handover.leave(c.fresh)
			// The user goes on here and now. Else it had to wait for another thread to wake up and take it over.
			runtime.Gosched()
		}
		fetchAgain := c.fetch(now)
		if _, err := c.node.Pub.Send(c.out); err != nil {
			return err
		}
		end, lookAgain, err := c.ended(now)
		if err != nil {
			return err
		}
		if end != nil {
			c.handover.finish(end)
			return nil
		}
		wait = min(fetchAgain, lookAgain)
	}
	return nil
}

// work says that there is something to do without sleeping.
func (c *Consumer) work() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping.Load() || len(c.commands) > 0
}

// obey carries out subscriptions, in the order in which a C consumer does: records, then the request for heads, then
// heads.
func (c *Consumer) obey() error {
	c.mu.Lock()
	commands := c.commands
	c.commands = nil
	c.mu.Unlock()
	socket := c.node.Sub[0]
	for _, command := range commands {
		record := string(byte(zmqwire.Record)) + command.topic
		head := string(byte(zmqwire.Head)) + command.topic
		if !command.subscribe {
			c.mu.Lock()
			delete(c.known, command.topic)
			c.mu.Unlock()
			c.forget(command.topic)
			if err := errors.Join(socket.Unsubscribe(record), socket.Unsubscribe(head)); err != nil {
				return err
			}
			continue
		}
		c.since[command.topic] = time.Now()
		c.ending.news, c.ending.progress = time.Now(), time.Now()
		if err := socket.Subscribe(record); err != nil {
			return err
		}
		if c.wantsHeads() {
			c.askHeads(command.topic)
		}
		if err := socket.Subscribe(head); err != nil {
			return err
		}
	}
	return nil
}

// wantsHeads says that partitions which are silent, or whose producers have gone, are read too.
func (c *Consumer) wantsHeads() bool { return c.reset == Earliest || c.first != nil }

// askHeads asks the stores which partitions a subscription has, and how far they go.
func (c *Consumer) askHeads(subscription string) {
	m := zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(subscription), Address: []byte(c.Address())}
	if c.prefix {
		m.Routing = nil // of all topics: a store in Go takes a name for a whole one
	}
	c.say(&m)
}

// askHeadsAgain does so for all subscriptions, when it is time, or when there is room for heads that had none. A latest consumer, too, may have missed the last records
// of a producer that is gone; partitions that it does not know it leaves alone.
func (c *Consumer) askHeadsAgain(now time.Time) {
	room := c.untaken && c.claims.Total() <= maxClaims/2 && now.After(c.nextHeads.Add(sweepEvery-headsEvery))
	if now.Before(c.nextHeads) && !room {
		return
	}
	c.nextHeads, c.untaken = now.Add(headsEvery), false
	c.ending.news = now
	for subscription := range c.since {
		c.askHeads(subscription)
	}
}

// forget ends a subscription, and all topics that no other one matches.
func (c *Consumer) forget(subscription string) {
	delete(c.since, subscription)
	for topic, partitions := range c.topics {
		if _, ok := c.subscription(topic); ok {
			continue
		}
		for _, p := range partitions {
			if !p.proved {
				c.claims.Return(p.From)
			}
			c.early -= int64(p.Forget())
			c.unhold(p)
		}
		delete(c.topics, topic)
	}
	gone := func(p *partition) bool { return c.topics[p.Topic] == nil }
	maps.DeleteFunc(c.sources, func(_ string, s source) bool { return gone(s.partition) })
	c.lastHeader, c.last = nil, source{}
	c.full = slices.DeleteFunc(c.full, gone)
}

// subscription says whether a topic is wanted, and since when.
func (c *Consumer) subscription(topic string) (since time.Time, ok bool) {
	if !c.prefix {
		since, ok = c.since[topic]
		return since, ok
	}
	for prefix, begun := range c.since {
		if strings.HasPrefix(topic, prefix) && (!ok || begun.Before(since)) {
			since, ok = begun, true
		}
	}
	return since, ok
}

// say queues a message made of names that were checked; it is sent at the end of the round.
func (c *Consumer) say(m *zmqwire.Message) {
	if err := c.out.AddMessage(m); err != nil {
		c.node.Faults().Note(err)
	}
}

// greet answers the subscriptions of stores and producers that have just connected.
func (c *Consumer) greet() error {
	subscriptions, err := c.node.Subscriptions(c.received)
	if err != nil {
		return err
	}
	for s := range subscriptions {
		c.welcome(s.Prefix, c.received.Connection())
		if len(s.Prefix) < 2 {
			continue
		}
		switch address := s.Prefix[1:]; zmqwire.Kind(s.Prefix[0]) {
		case zmqwire.ConsumerHello:
			c.hello(address)
		case zmqwire.Fetch:
			c.backlog.Came(string(address))
		}
	}
	return nil
}

// hello tells a store which topics are read from their beginning, so that it tells their heads. It takes several hellos
// where stores would not take all topics from one.
func (c *Consumer) hello(store []byte) {
	m := zmqwire.Message{Kind: zmqwire.ConsumerHello, Routing: store, Address: []byte(c.Address())}
	switch {
	case !c.wantsHeads():
	case c.prefix && len(c.since) > 0:
		m.Topics = append(m.Topics, nil) // all topics, as in obey
	default:
		for topic := range c.since {
			m.Topics = append(m.Topics, []byte(topic))
		}
	}
	for most := c.node.Limits().Topics; len(m.Topics) > most; {
		some := m
		some.Topics, m.Topics = m.Topics[:most], m.Topics[most:]
		c.say(&some)
	}
	c.say(&m)
}

// receive takes what has arrived: records, mostly.
func (c *Consumer) receive(now time.Time) error {
	if err := c.node.Sub[0].Drain(c.received); err != nil {
		return err
	}
	for frames := c.received.Next(); frames != nil; frames = c.received.Next() {
		if len(frames) == 2 {
			// The header, but for the sequence, is the same in all records of a partition: it is decoded once.
			header, sequence := zmqwire.SplitRecord(frames[0])
			if !bytes.Equal(header, c.lastHeader) {
				c.lastHeader, c.last = append(c.lastHeader[:0], header...), c.sources[string(header)]
			}
			if p := c.last.partition; p != nil {
				if c.last.live && !c.node.Admits(&p.owner, p.Partition, c.received) {
					c.node.Faults().Note(node.ErrOwner)
					continue
				}
				c.record(c.last, sequence, frames[1])
				continue
			}
		}
		if err := c.hear(frames, now); err != nil {
			c.node.Faults().Note(err)
		}
	}
	return nil
}

// hear takes any message but a record of a known partition.
func (c *Consumer) hear(frames [][]byte, now time.Time) error {
	m := &c.message
	if err := m.Decode(frames); err != nil {
		return err
	}
	if m.Kind == zmqwire.Ack && c.storage.only {
		if p := c.topics[string(m.Subject)][string(m.Routing)]; p != nil {
			c.confirm(p, &p.writers, m.Sequence)
		}
		return nil
	}
	if err := m.Check(c.Address()); err != nil {
		return err
	}
	if m.Kind == zmqwire.StoreHello {
		c.hello(m.Address)
		c.greeted(string(m.Address), now)
		return nil
	}
	p := c.topics[string(m.Subject)][string(m.Address)]
	if p == nil && !c.wants(string(m.Subject), string(m.Address)) {
		return nil
	}
	// Before the partition begins: a forgery must not say where.
	var owner node.Owner
	if p != nil {
		owner = p.owner
	}
	if (m.Kind == zmqwire.Record || m.Kind == zmqwire.Head) && !c.node.Admits(&owner, string(m.Address), c.received) {
		return node.ErrOwner
	}
	if p == nil && m.Kind == zmqwire.DirectRecord {
		return nil // the partition was forgotten meanwhile
	}
	if p == nil {
		c.know(string(m.Subject))
		from := c.received.Origin()
		if !c.claims.Take(from) && !(c.sweep(from, now) && c.claims.Take(from)) {
			c.leaveOut(m.Kind == zmqwire.DirectHead)
			return ErrClaims
		}
		if p = c.meet(m); p == nil {
			c.claims.Return(from)
			return nil
		}
		p.From, p.told = from, m.Kind == zmqwire.DirectHead
		if c.topics[p.Topic] == nil {
			c.topics[p.Topic] = make(map[string]*partition)
		}
		c.topics[p.Topic][p.Partition] = p
		c.ending.news = now
	}
	p.owner = owner
	switch m.Kind {
	case zmqwire.Record, zmqwire.DirectRecord:
		s := source{p, m.Kind == zmqwire.Record}
		header, _ := zmqwire.SplitRecord(frames[0])
		c.sources[string(header)] = s
		c.lastHeader = c.lastHeader[:0]
		c.record(s, m.Sequence, m.Content)
	case zmqwire.DirectHead:
		if c.confirm(p, &p.readers, m.Sequence) || m.Sequence >= p.Next()+p.Missing() && !p.givenUp() {
			c.ending.news = now
		}
		p.Saw(m.Sequence)
	case zmqwire.Head:
		p.Saw(m.Sequence)
	}
	c.backlog.Add(&p.Order)
	return nil
}

// leaveOut notes that a partition is not looked into. What a store has is asked for again.
func (c *Consumer) leaveOut(told bool) {
	if told {
		c.untaken = true
	} else {
		c.refused++
	}
}

// sweep forgets, once a second at most, the partitions of a peer that nobody gave a record of when asked; where it has none
// of these, those of all peers. It reports whether it did. Whoever has one will announce it again.
func (c *Consumer) sweep(from netip.AddrPort, now time.Time) bool {
	if now.Before(c.nextSweep) {
		return false
	}
	c.nextSweep = now.Add(sweepEvery)
	before := c.claims.Total()
	c.forgetClaims(func(p *partition) bool { return p.From == from })
	if c.claims.Total() == before {
		c.forgetClaims(func(*partition) bool { return true })
	}
	return true
}

func (c *Consumer) forgetClaims(of func(*partition) bool) {
	for _, partitions := range c.topics {
		for address, p := range partitions {
			if !p.proved && !p.full && of(p) && (p.Asked(p.Next()) || !p.Behind()) {
				c.claims.Return(p.From)
				c.leaveOut(p.told)
				c.early -= int64(p.Forget())
				c.unhold(p)
				delete(partitions, address)
			}
		}
	}
	maps.DeleteFunc(c.sources, func(_ string, s source) bool {
		return c.topics[s.partition.Topic][s.partition.Partition] != s.partition
	})
	c.lastHeader, c.last = nil, source{}
}

// know notes that there is a partition of a topic.
func (c *Consumer) know(topic string) {
	if len(c.known) == len(c.since) {
		return
	}
	for subscription := range c.since {
		if !c.known[subscription] && (subscription == topic || c.prefix && strings.HasPrefix(topic, subscription)) {
			c.mu.Lock()
			c.known[subscription] = true
			c.mu.Unlock()
		}
	}
}

// wants says whether a partition is to be read. It may be of a longer topic that begins like one of ours, say, or of one
// that was unsubscribed a moment ago.
func (c *Consumer) wants(topic, address string) bool {
	_, wanted := c.subscription(topic)
	return wanted && (c.filter == nil || c.filter(topic, address))
}

// meet begins a partition of which m, no DIRECT-RECORD, is the first sign, or not: a latest consumer begins at what is live.
func (c *Consumer) meet(m *zmqwire.Message) *partition {
	topic, address := string(m.Subject), string(m.Address)
	since, _ := c.subscription(topic)
	first, claimed := uint64(0), false
	if c.first != nil {
		if m.Sequence == 1<<64-1 {
			return nil
		}
		first, claimed = c.first(topic, address, m.Sequence), m.Kind != zmqwire.Record
	} else if c.reset != Earliest && !c.node.Newcomer(address, since) {
		switch m.Kind {
		// Nothing can follow the highest sequence there is.
		case zmqwire.Record:
			if first = m.Sequence; first+1 == 0 {
				return nil
			}
		case zmqwire.Head:
			if first, claimed = m.Sequence+1, true; first == 0 {
				return nil
			}
			if c.reset == LatestRecord {
				first--
			}
		default:
			return nil
		}
	}
	return &partition{Order: flow.NewOrder(topic, address, first), claimed: claimed, stored: c.storedAtFirst()}
}

// record takes a record of a known partition: hands it over, keeps it for later, or notes that it is to be fetched.
func (c *Consumer) record(s source, sequence uint64, content []byte) {
	p := s.partition
	if sequence == math.MaxUint64 {
		return // nothing could follow it
	}
	if p.claimed && s.live {
		p.claimed = false
		first := sequence
		if c.first != nil {
			first = c.first(p.Topic, p.Partition, sequence)
		}
		if !p.proved && sequence < p.Next() && first < p.Next() {
			c.early -= int64(p.Forget())
			p.Restart(first)
			p.Saw(sequence)
		}
	}
	switch next := p.Next(); {
	case sequence < next:
		c.duplicates.Add(1)
		return
	case !s.live && !p.Asked(sequence):
		// A C store sends one record more than it is asked for.
		if sequence == 0 || !p.Asked(sequence-1) {
			c.node.Faults().Note(ErrUnasked)
		}
		return
	case sequence == next && p.full:
		// It is kept already, and what came first stays.
		c.duplicates.Add(1)
	case sequence == next && sequence < p.stored && c.give(p, sequence, content):
		if !s.live {
			c.fetched++
		}
		p.Took(len(content))
		c.giveKept(p)
	case (sequence > next || sequence >= p.stored) && c.mayKeep(int64(len(content))+zmqwire.RecordOverhead):
		kept := int64(p.Keep(sequence, content))
		if c.early += kept; kept > 0 && !s.live {
			c.fetched++
		}
		if sequence >= p.stored {
			c.hold(p)
		}
	default:
		p.Saw(sequence)
	}
	c.backlog.Add(&p.Order)
}

// mayKeep says whether a record may be kept before its turn: half of the room is for those whose turn it is.
func (c *Consumer) mayKeep(size int64) bool {
	return c.early+size <= c.most/2 && c.handover.held.Load()+c.early+size <= c.most
}

// giveKept hands over the records whose turn has come.
func (c *Consumer) giveKept(p *partition) {
	for content, ok := p.Kept(); ok && p.Next() < p.stored; content, ok = p.Kept() {
		if !c.give(p, p.Next(), content) {
			if !p.full {
				p.full = true
				c.full = append(c.full, p)
			}
			return
		}
		c.early -= int64(len(content)) + zmqwire.RecordOverhead
		p.Took(len(content))
	}
}

// retryFull hands over what found no room before.
func (c *Consumer) retryFull() {
	full := c.full
	c.full = nil
	for _, p := range full {
		p.full = false
		c.giveKept(p)
		c.backlog.Add(&p.Order)
	}
}

// give adds a copy of a record to what is handed over, if there is room. Where there is none, the user wakes the node
// when it has made some.
func (c *Consumer) give(p *partition, sequence uint64, content []byte) bool {
	size := int64(len(content)) + deliveryBytes
	if c.noRoom(size) {
		c.handover.starved.Store(true)
		// The user may have made room before it could see that it is wanted.
		if c.noRoom(size) {
			return false
		}
	}
	c.handover.held.Add(size)
	if !p.proved {
		p.proved = true
		c.claims.Return(p.From)
	}
	c.fresh = append(c.fresh, delivery{partition: p, sequence: sequence, content: c.copy(content), skipped: p.skipped})
	p.skipped = 0
	return true
}

func (c *Consumer) noRoom(size int64) bool {
	held := c.handover.held.Load()
	return held > 0 && held+c.early+size > c.most
}

// copy cuts the content's new home from a piece of memory: one allocation serves hundreds of records.
func (c *Consumer) copy(content []byte) []byte {
	if len(content) > pieceBytes/4 {
		return bytes.Clone(content)
	}
	if len(content) > len(c.piece) {
		c.piece = make([]byte, pieceBytes)
	}
	n := copy(c.piece, content)
	home := c.piece[:n:n]
	c.piece = c.piece[n:]
	return home
}

// fetch asks for what is missing and returns when to ask again. While the user is slow, nothing is asked for.
func (c *Consumer) fetch(now time.Time) time.Duration {
	if c.backlog.Len() == 0 {
		return longWait
	}
	room := c.most/2 - c.handover.held.Load()
	if room <= 0 {
		c.handover.starved.Store(true)
		if room = c.most/2 - c.handover.held.Load(); room <= 0 {
			return longWait
		}
	}
	return c.backlog.Ask(now, int(room), c.ask)
}
