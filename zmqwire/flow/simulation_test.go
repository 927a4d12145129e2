package flow

import (
	"container/heap"
	"fmt"
	"github.com/godafka/dafka/zmqwire"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// simulation is a whole cluster: producers, stores and consumers that decide with Order, Backlog, Answers and Run, as
// the real nodes do. Between them lies a network that loses, repeats, reorders and delays, and cuts in one direction or
// both; nodes stop, crash, and lose their disks. It has a clock of its own, and one seed gives one course of events.
//
// Invariants, looked at whenever something changes:
//
//	a record that a producer counts as acked is on the disks of MinAcks stores, less the disks that were lost;
//	a disk holds a partition's records from 0 on without holes, with the bytes that were published;
//	a consumer is given the same in order and once;
//	when faults have stopped, everybody has what a store or a living producer has.
type simulation struct {
	*rand.Rand
	now      time.Duration
	arrivals arrivals
	letters  uint64 // so far

	loss, repeat float64
	latest       time.Duration // a message's longest way
	faulty       bool          // faults still happen

	producers []*simProducer // each one a partition of its own
	stores    []*simStore
	consumers []*simConsumer
	hosts     []*simHost
	minAcks   int
	lostDisks int

	sabotage sabotage
	trace    func(format string, args ...any)
	wrong    string // the first thing that was wrong
	records  int    // compared
	faults   int    // besides those of the network
}

// sabotage breaks a node on purpose: who looks for faults must find these.
type sabotage int

const (
	nothingBroken sabotage = iota
	ackBeforeSync
	quorumOfOne
	storesDoNotCopy
	consumersAskOnce
	gapsAreSkipped
	restartsAtZero
)

// simHost is where a node runs: it is up or not, and stops for a while.
type simHost struct {
	s         *simulation
	id        int
	name      string
	up        bool
	life      int                   // counts the starts: what was sent to an earlier life does not arrive
	stopped   time.Duration         // until when it does nothing
	wake      time.Duration         // when its next round is due
	connected map[int]time.Duration // since when it hears another host, in both their lives
	node      interface {
		hear(m *letter)
		meet(other *simHost) // other has just subscribed here
		round()
	}
}

// letter is a message on its way, or, when it is from nobody, a round that is due.
type letter struct {
	at        time.Duration
	number    uint64 // gives those of one time an order
	from, to  *simHost
	life      int // of to
	kind      zmqwire.Kind
	partition int
	sequence  uint64
	count     uint32
	content   []byte
	call      func() // something else that happens
}

const meeting zmqwire.Kind = 0 // no message: the subscriptions of a new connection

type arrivals []*letter

func (a arrivals) Len() int { return len(a) }
func (a arrivals) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].number < a[j].number
}
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)   { *a = append(*a, x.(*letter)) }
func (a *arrivals) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (s *simulation) post(m *letter) {
	s.letters++
	m.number = s.letters
	heap.Push(&s.arrivals, m)
}

func (s *simulation) after(d time.Duration, call func()) { s.post(&letter{at: s.now + d, call: call}) }

func (s *simulation) clock() time.Time { return began.Add(s.now) }

func (s *simulation) within(d time.Duration) time.Duration {
	return time.Duration(s.Int64N(int64(d))) + time.Millisecond
}

func (s *simulation) fail(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf("after %v: ", s.now) + fmt.Sprintf(format, args...)
	}
}

// send puts a message on its way, or several, or none.
func (s *simulation) send(m letter) {
	if since, ok := m.from.connected[m.to.id]; !ok || s.now < since {
		return
	}
	for {
		if s.faulty && s.Float64() < s.loss {
			return
		}
		sent := m
		sent.at, sent.life = s.now+s.within(s.latest), m.to.life
		s.post(&sent)
		if !s.faulty || s.Float64() >= s.repeat {
			return
		}
	}
}

// connect has two hosts hear each other from some time on. A connection begins with the subscriptions, and TCP brings
// those or there is none: so meetings are never lost.
func (s *simulation) connect(a, b *simHost, in time.Duration) {
	for _, way := range [][2]*simHost{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		from.connected[to.id] = s.now + in
		s.post(&letter{at: s.now + in, from: from, to: to, life: to.life, kind: meeting})
	}
}

// start gives a host a new life.
func (h *simHost) start() {
	h.up, h.life, h.stopped, h.wake = true, h.life+1, 0, -1
	for _, other := range h.s.hosts {
		if other != h && other.up {
			h.s.connect(h, other, h.s.within(200*time.Millisecond))
		}
	}
}

func (h *simHost) end() {
	h.up = false
	for _, other := range h.s.hosts {
		delete(h.connected, other.id)
		delete(other.connected, h.id)
	}
}

// due plans the host's next round.
func (h *simHost) due(in time.Duration) {
	at := h.s.now + max(in, time.Millisecond)
	if h.wake > h.s.now && h.wake <= at {
		return
	}
	h.wake = at
	h.s.post(&letter{at: at, to: h, life: h.life})
}

func (s *simulation) newHost(name string) *simHost {
	h := &simHost{s: s, id: len(s.hosts), name: name, connected: make(map[int]time.Duration)}
	s.hosts = append(s.hosts, h)
	return h
}

// content is a record's bytes, unlike those of all others.
func (s *simulation) content(partition int, sequence uint64) []byte {
	return fmt.Appendf(nil, "%d/%d %0*d", partition, sequence, sequence*sequence%23, partition)
}

func (s *simulation) same(partition int, sequence uint64, content []byte) bool {
	s.records++
	return string(s.producers[partition].contents[sequence]) == string(content)
}

// simProducer keeps what is not acked, as the producer's log does.
type simProducer struct {
	*simHost
	partition         int
	contents          [][]byte       // all that it will ever publish
	runs              []*zmqwire.Run // what is not acked, whole runs only
	acked, sent, most uint64
	acks              []uint64 // by store
	answers           Answers
	nextHead          time.Duration
	ends              bool // when all is acked
}

func (p *simProducer) meet(*simHost) {
	if p.sent > 0 {
		p.nextHead = p.s.now
	}
	p.due(0)
}

func (p *simProducer) hear(m *letter) {
	switch m.kind {
	case zmqwire.Ack:
		if m.sequence >= p.sent {
			p.s.fail("%s acks record %d of partition %d, %d were sent", m.from.name, m.sequence, p.partition, p.sent)
			return
		}
		store := m.count
		p.acks[store] = max(p.acks[store], m.sequence+1)
		sorted := slices.Sorted(slices.Values(p.acks))
		enough := p.s.minAcks
		if p.s.sabotage == quorumOfOne {
			enough = 1
		}
		if acked := sorted[len(sorted)-enough]; acked > p.acked {
			p.acked = acked
			p.s.checkAcked(p)
		}
		for len(p.runs) > 0 && p.runs[0].End() <= p.acked {
			p.runs = p.runs[1:]
		}
	case zmqwire.Fetch:
		p.answers.Add(fetch(m.from.name, "topic", p.name, m.sequence, m.count), netip.AddrPort{})
	}
	p.due(0)
}

func (p *simProducer) round() {
	s := p.s
	for n := 1 + s.IntN(8); n > 0 && p.sent < uint64(len(p.contents)) && p.sent-p.acked < p.most; n-- {
		content := p.contents[p.sent]
		if len(p.runs) == 0 || p.runs[len(p.runs)-1].Len() == 16 {
			p.runs = append(p.runs, &zmqwire.Run{First: p.sent})
		}
		p.runs[len(p.runs)-1].Append(content)
		for _, store := range s.stores {
			s.send(letter{from: p.simHost, to: store.simHost, kind: zmqwire.Record, partition: p.partition, sequence: p.sent, content: content})
		}
		for _, consumer := range s.consumers {
			s.send(letter{from: p.simHost, to: consumer.simHost, kind: zmqwire.Record, partition: p.partition, sequence: p.sent, content: content})
		}
		if p.sent == 0 {
			p.nextHead = s.now + time.Second
		}
		p.sent++
	}
	s.serve(p.simHost, &p.answers, func(_ int, next uint64) *zmqwire.Run {
		for _, run := range p.runs {
			if run.First <= next && next < run.End() {
				return run
			}
		}
		return nil
	}, func(*Cursor) {})
	if p.sent > 0 && s.now >= p.nextHead {
		p.nextHead = s.now + time.Second
		for _, store := range s.stores {
			s.send(letter{from: p.simHost, to: store.simHost, kind: zmqwire.Head, partition: p.partition, sequence: p.sent - 1})
		}
		for _, consumer := range s.consumers {
			s.send(letter{from: p.simHost, to: consumer.simHost, kind: zmqwire.Head, partition: p.partition, sequence: p.sent - 1})
		}
	}
	switch {
	case p.ends && p.acked == uint64(len(p.contents)):
		s.say("%s ends", p.name)
		p.end()
		return
	case p.sent < uint64(len(p.contents)) && p.sent-p.acked < p.most:
		p.due(s.within(30 * time.Millisecond))
	case p.answers.Len() > 0:
		p.due(0)
	}
	if p.sent > 0 {
		p.due(p.nextHead - s.now)
	}
}

// serve gives those who have asked a host some of what it has.
func (s *simulation) serve(h *simHost, answers *Answers, find func(partition int, next uint64) *zmqwire.Run, done func(*Cursor)) {
	if answers.Len() == 0 {
		return
	}
	room := s.IntN(50)
	answers.Serve(
		s.clock(),
		func(c *Cursor) *zmqwire.Run { return find(s.number(c.Partition), c.Next()) },
		func(c *Cursor, run *zmqwire.Run, from, to int) int {
			to = min(to, from+room)
			for i := from; i < to; i++ {
				s.send(letter{
					from: h, to: s.host(c.Requester), kind: zmqwire.DirectRecord, partition: s.number(c.Partition),
					sequence: run.First + uint64(i), content: run.Content(i),
				})
			}
			return max(0, to-from)
		},
		done,
	)
}

func (s *simulation) host(name string) *simHost {
	return s.hosts[slices.IndexFunc(s.hosts, func(h *simHost) bool { return h.name == name })]
}

func (s *simulation) number(partition string) int {
	return slices.IndexFunc(s.producers, func(p *simProducer) bool { return p.name == partition })
}

// ask tells everyone who may have it what a host lacks, and returns when to ask again.
func (s *simulation) ask(h *simHost, backlog *Backlog, budget int) time.Duration {
	return backlog.Ask(s.clock(), budget, func(o *Order, first uint64, count uint32) {
		partition := s.number(o.Partition)
		m := letter{from: h, kind: zmqwire.Fetch, partition: partition, sequence: first, count: count}
		m.to = s.producers[partition].simHost
		s.send(m)
		for _, store := range s.stores {
			if store.simHost != h {
				m.to = store.simHost
				s.send(m)
			}
		}
	})
}

// simStore is both halves of a store and its disk. Of a crash only the disk is left.
type simStore struct {
	*simHost
	number     int
	disk       [][]*zmqwire.Run // by partition
	partitions []*simPartition
	backlog    Backlog
	answers    Answers
	committing []simCommit
	nextCopy   time.Duration
	budget     int
}

// simPartition is a partition as a store's writer knows it.
type simPartition struct {
	Order
	runs   []*zmqwire.Run
	stored uint64
	owed   bool
}

type simCommit struct {
	partition int
	runs      []*zmqwire.Run
	records   uint64
}

func (t *simStore) records(partition int) uint64 {
	if runs := t.disk[partition]; len(runs) > 0 {
		return runs[len(runs)-1].End()
	}
	return 0
}

// begin is the store's start: it knows what its disk holds.
func (t *simStore) begin() {
	t.partitions = make([]*simPartition, len(t.s.producers))
	t.backlog, t.answers, t.committing = Backlog{}, Answers{}, nil
	t.nextCopy = t.s.now + time.Minute
	t.start()
	t.due(0)
}

func (t *simStore) meet(other *simHost) {
	switch other.node.(type) {
	case *simStore:
		t.nextCopy = min(t.nextCopy, t.s.now+200*time.Millisecond)
	}
	t.due(0)
}

// partition is one that was heard of; it goes on where the disk ends.
func (t *simStore) partition(i int) *simPartition {
	if t.partitions[i] == nil {
		records := t.records(i)
		if t.s.sabotage == restartsAtZero {
			records = 0
		}
		t.partitions[i] = &simPartition{Order: NewOrder("topic", t.s.producers[i].name, records), stored: records}
	}
	return t.partitions[i]
}

func (t *simStore) hear(m *letter) {
	defer t.due(0)
	switch m.kind {
	case zmqwire.Fetch:
		t.answers.Add(fetch(m.from.name, "topic", t.s.producers[m.partition].name, m.sequence, m.count), netip.AddrPort{})
		return
	case zmqwire.GetHeads, zmqwire.ConsumerHello:
		for i := range t.disk {
			t.tellHead(m.from, i)
		}
		return
	}
	p := t.partition(m.partition)
	switch m.kind {
	case zmqwire.Record, zmqwire.DirectRecord:
		t.record(p, m)
	case zmqwire.Head, zmqwire.DirectHead:
		if m.kind == zmqwire.Head && m.sequence < p.stored {
			p.owed = true
		}
		p.Saw(m.sequence)
		t.backlog.Add(&p.Order)
	}
}

func (t *simStore) tellHead(to *simHost, partition int) {
	if records := t.records(partition); records > 0 {
		t.s.send(letter{from: t.simHost, to: to, kind: zmqwire.DirectHead, partition: partition, sequence: records - 1})
	}
}

func (t *simStore) record(p *simPartition, m *letter) {
	switch next := p.Next(); {
	case m.sequence < next:
		p.owed = p.owed || m.sequence < p.stored
		return
	case m.kind == zmqwire.DirectRecord && !p.Asked(m.sequence):
		return // asked for in an earlier life
	case m.sequence == next, t.s.sabotage == gapsAreSkipped:
		t.take(p, m.content)
		for kept, ok := p.Kept(); ok; kept, ok = p.Kept() {
			t.take(p, kept)
		}
	case t.s.IntN(10) == 0:
		p.Saw(m.sequence) // no room
	default:
		p.Keep(m.sequence, m.content)
	}
	t.backlog.Add(&p.Order)
}

func (t *simStore) take(p *simPartition, content []byte) {
	if n := len(p.runs); n == 0 || p.runs[n-1].Len() == 16 {
		p.runs = append(p.runs, &zmqwire.Run{First: p.Next()})
	}
	p.runs[len(p.runs)-1].Append(content)
	p.Took(len(content))
}

func (t *simStore) round() {
	s := t.s
	if t.committing == nil {
		for i, p := range t.partitions {
			if p != nil && len(p.runs) > 0 {
				t.committing = append(t.committing, simCommit{i, p.runs, p.Next()})
				p.runs = nil
				if s.sabotage == ackBeforeSync {
					t.ack(i, p.Next())
				}
			}
		}
		if t.committing != nil {
			life := t.life
			s.after(s.within(20*time.Millisecond), func() {
				if t.up && t.life == life {
					t.settle()
				}
			})
		}
	}
	for i, p := range t.partitions {
		if p != nil && p.owed {
			p.owed = false
			t.ack(i, p.stored)
		}
	}
	if s.now >= t.nextCopy {
		t.nextCopy = s.now + time.Minute
		for _, other := range s.stores {
			if other != t && s.sabotage != storesDoNotCopy {
				s.send(letter{from: t.simHost, to: other.simHost, kind: zmqwire.GetHeads})
			}
		}
	}
	wait := min(s.ask(t.simHost, &t.backlog, t.budget), t.nextCopy-s.now)
	s.serve(t.simHost, &t.answers, func(partition int, next uint64) *zmqwire.Run {
		runs := t.disk[partition]
		i, found := slices.BinarySearchFunc(runs, next, func(run *zmqwire.Run, next uint64) int {
			switch {
			case run.End() <= next:
				return -1
			case run.First > next:
				return 1
			}
			return 0
		})
		if !found {
			return nil
		}
		return runs[i]
	}, func(c *Cursor) {
		if partition := s.number(c.Partition); t.records(partition) > c.Next() {
			t.tellHead(s.host(c.Requester), partition)
		}
	})
	if t.answers.Len() > 0 {
		wait = 0
	}
	t.due(wait)
}

// sync brings the commit under way to the disk.
func (t *simStore) sync() {
	for _, c := range t.committing {
		for _, run := range c.runs {
			if run.First != t.records(c.partition) {
				t.s.fail("%s stores a run from %d behind %d records of partition %d", t.name, run.First, t.records(c.partition), c.partition)
			}
			for i := range run.Len() {
				if sequence := run.First + uint64(i); !t.s.same(c.partition, sequence, run.Content(i)) {
					t.s.fail("%s stores %q as record %d of partition %d", t.name, run.Content(i), sequence, c.partition)
				}
			}
			t.disk[c.partition] = append(t.disk[c.partition], run)
		}
	}
}

func (t *simStore) settle() {
	t.sync()
	for _, c := range t.committing {
		t.partitions[c.partition].stored = c.records
		t.ack(c.partition, c.records)
	}
	t.committing = nil
	t.due(0)
}

func (t *simStore) ack(partition int, records uint64) {
	if records > 0 {
		// The number is what a producer knows of a store: its endpoint.
		t.s.send(letter{
			from: t.simHost, to: t.s.producers[partition].simHost, kind: zmqwire.Ack, partition: partition, sequence: records - 1,
			count: uint32(t.number),
		})
	}
}

// crash ends a store. What was on its way to the disk may have reached it.
func (t *simStore) crash(losesDisk bool) {
	if t.s.IntN(2) == 0 {
		t.sync()
	}
	if losesDisk {
		t.s.lostDisks++
		t.disk = make([][]*zmqwire.Run, len(t.s.producers))
	}
	t.s.say("%s crashes, its disk lost: %v", t.name, losesDisk)
	t.end()
	for _, p := range t.s.producers {
		t.s.checkAcked(p)
	}
}

// checkAcked looks for the acked records on the stores' disks.
func (s *simulation) checkAcked(p *simProducer) {
	holders := 0
	for _, t := range s.stores {
		if t.records(p.partition) >= p.acked {
			holders++
		}
	}
	if want := s.minAcks - s.lostDisks; holders < want {
		s.fail("%d records of partition %d are acked, %d stores have them on disk, want %d", p.acked, p.partition, holders, want)
	}
}

// simConsumer gives its user what it takes.
type simConsumer struct {
	*simHost
	partitions []*Order
	given      []uint64 // by partition
	backlog    Backlog
	nextHeads  time.Duration
	room       float64 // how often there is room to keep a record
	budget     int
}

func (c *simConsumer) begin() {
	c.partitions, c.given = make([]*Order, len(c.s.producers)), make([]uint64, len(c.s.producers))
	c.backlog, c.nextHeads = Backlog{}, c.s.now+time.Minute
	c.start()
	c.due(0)
}

func (c *simConsumer) meet(other *simHost) {
	if _, ok := other.node.(*simStore); ok {
		c.s.send(letter{from: c.simHost, to: other, kind: zmqwire.ConsumerHello})
	}
}

func (c *simConsumer) hear(m *letter) {
	o := c.partitions[m.partition]
	if o == nil {
		if m.kind == zmqwire.DirectRecord {
			return // asked for in an earlier life
		}
		order := NewOrder("topic", c.s.producers[m.partition].name, 0)
		o = &order
		c.partitions[m.partition] = o
	}
	switch next := o.Next(); {
	case m.kind == zmqwire.Head || m.kind == zmqwire.DirectHead:
		o.Saw(m.sequence)
	case m.sequence < next, m.kind == zmqwire.DirectRecord && !o.Asked(m.sequence):
	case m.sequence == next:
		c.give(m.partition, o, m.content)
		for kept, ok := o.Kept(); ok; kept, ok = o.Kept() {
			c.give(m.partition, o, kept)
		}
	case c.s.Float64() < c.room:
		o.Keep(m.sequence, m.content)
	default:
		o.Saw(m.sequence)
	}
	c.backlog.Add(o)
	c.due(0)
}

func (c *simConsumer) give(partition int, o *Order, content []byte) {
	if sequence := c.given[partition]; sequence >= c.s.producers[partition].sent || !c.s.same(partition, sequence, content) {
		c.s.fail("%s gives %q as record %d of partition %d", c.name, content, sequence, partition)
	}
	c.given[partition]++
	o.Took(len(content))
}

func (c *simConsumer) round() {
	if c.s.now >= c.nextHeads {
		c.nextHeads = c.s.now + time.Minute
		for _, store := range c.s.stores {
			if c.s.sabotage != consumersAskOnce {
				c.s.send(letter{from: c.simHost, to: store.simHost, kind: zmqwire.GetHeads})
			}
		}
	}
	wait := c.nextHeads - c.s.now
	if c.backlog.Len() > 0 {
		wait = min(wait, c.s.ask(c.simHost, &c.backlog, c.budget))
	}
	c.due(wait)
}

func (s *simulation) say(format string, args ...any) {
	if s.trace != nil {
		s.trace("%12v "+format, append([]any{s.now}, args...)...)
	}
}

func newSimulation(seed uint64, broken sabotage) *simulation {
	s := &simulation{Rand: rand.New(rand.NewPCG(seed, 1)), faulty: true, sabotage: broken}
	s.loss, s.repeat = s.Float64()*0.4, s.Float64()*0.2
	s.latest = time.Duration(1+s.IntN(300)) * time.Millisecond
	producers, stores, consumers := 1+s.IntN(3), 1+s.IntN(3), 1+s.IntN(2)
	most := 1 + s.IntN(30)
	if s.IntN(50) == 0 {
		most = 1000
	}
	s.minAcks = 1 + s.IntN(stores)
	for i := range producers {
		p := &simProducer{simHost: s.newHost(fmt.Sprint("producer ", i)), partition: i, acks: make([]uint64, stores)}
		p.most, p.ends, p.node = 1+uint64(s.IntN(100)), s.IntN(2) == 0, p
		for j := range 1 + s.IntN(most) {
			p.contents = append(p.contents, s.content(i, uint64(j)))
		}
		s.producers = append(s.producers, p)
	}
	for i := range stores {
		t := &simStore{simHost: s.newHost(fmt.Sprint("store ", i)), number: i, disk: make([][]*zmqwire.Run, producers)}
		t.node, t.budget = t, 1<<s.IntN(20)
		s.stores = append(s.stores, t)
		s.after(s.within(time.Second), t.begin)
	}
	for i := range consumers {
		c := &simConsumer{simHost: s.newHost(fmt.Sprint("consumer ", i))}
		c.node, c.room, c.budget = c, s.Float64(), 1<<s.IntN(20)
		s.consumers = append(s.consumers, c)
		s.after(s.within(2*time.Second), c.begin)
	}
	for _, p := range s.producers {
		s.after(s.within(2*time.Second), func() {
			p.start()
			p.due(0)
		})
	}
	s.after(s.within(500*time.Millisecond), s.fault)
	s.after(4*time.Second, s.calm)
	return s
}

// fault does something to one host or two, and plans the next fault.
func (s *simulation) fault() {
	if !s.faulty {
		return
	}
	s.faults++
	h := s.hosts[s.IntN(len(s.hosts))]
	away := s.within(time.Second)
	switch s.IntN(3) {
	case 0: // it stops
		if h.up {
			s.say("%s stops for %v", h.name, away)
			h.stopped = s.now + away
		}
	case 1: // the network between it and another is cut, in one direction or both
		other := s.hosts[s.IntN(len(s.hosts))]
		if other == h || !h.up || !other.up {
			break
		}
		s.say("%s does not hear %s for %v", other.name, h.name, away)
		h.connected[other.id] = s.now + away
		if s.IntN(2) == 0 {
			other.connected[h.id] = s.now + away
		}
		life, otherLife := h.life, other.life
		s.after(away, func() {
			if h.up && other.up && h.life == life && other.life == otherLife {
				s.connect(h, other, 0)
			}
		})
	case 2: // it crashes
		if !h.up {
			break
		}
		switch node := h.node.(type) {
		case *simProducer:
			// Its records are lost but for those that others have.
			if s.IntN(3) == 0 {
				s.say("%s crashes", h.name)
				h.end()
			}
		case *simStore:
			node.crash(s.lostDisks+1 < s.minAcks && s.IntN(2) == 0)
			s.after(away, node.begin)
		case *simConsumer:
			s.say("%s crashes", h.name)
			h.end()
			s.after(away, node.begin)
		}
	}
	s.after(s.within(time.Second), s.fault)
}

// calm ends the faults: what was cut is connected again, and so the hosts meet once more.
func (s *simulation) calm() {
	s.say("faults stop")
	s.faulty = false
	for i, h := range s.hosts {
		for _, other := range s.hosts[:i] {
			if h.up && other.up {
				s.connect(h, other, s.within(s.latest))
			}
		}
	}
}

// whole says that everybody has what a store or a living producer has.
func (s *simulation) whole() bool {
	for i, p := range s.producers {
		most := uint64(0)
		if p.up {
			most = uint64(len(p.contents))
		}
		for _, t := range s.stores {
			most = max(most, t.records(i))
		}
		for _, t := range s.stores {
			if t.records(i) < most {
				return false
			}
		}
		for _, c := range s.consumers {
			if c.given[i] < most {
				return false
			}
		}
		if most < p.acked || p.up && p.acked < p.sent {
			return false
		}
	}
	return true
}

// run lets time pass until the faults have stopped and everybody has everything.
func (s *simulation) run() {
	for s.wrong == "" {
		m := heap.Pop(&s.arrivals).(*letter)
		s.now = m.at
		if s.now > time.Hour {
			s.fail("records are still missing: %s", s.state())
			return
		}
		switch {
		case m.call != nil:
			m.call()
		case !m.to.up || m.life != m.to.life:
		case s.now < m.to.stopped:
			m.at = m.to.stopped
			s.post(m)
		case m.kind == meeting && m.from != nil:
			if m.from.up && m.from.connected[m.to.id] <= s.now {
				m.to.node.meet(m.from)
			}
		case m.kind == meeting:
			if m.to.wake == s.now {
				m.to.wake = -1
				m.to.node.round()
			} else if m.to.wake > 0 && m.to.wake < s.now {
				// It was due while the host was stopped.
				m.to.wake = -1
				m.to.node.round()
			}
		default:
			m.to.node.hear(m)
		}
		if !s.faulty && s.letters%16 == 0 && s.settled() && s.whole() {
			return
		}
	}
}

// state is who has how many records of each partition.
func (s *simulation) state() string {
	state := ""
	for i, p := range s.producers {
		state += fmt.Sprintf("partition %d: up %v, %d sent of %d, %d acked;", i, p.up, p.sent, len(p.contents), p.acked)
		for _, t := range s.stores {
			state += fmt.Sprintf(" %s has %d,", t.name, t.records(i))
		}
		for _, c := range s.consumers {
			state += fmt.Sprintf(" %s gave %d,", c.name, c.given[i])
		}
	}
	return state
}

// settled says that all stores and consumers are up again.
func (s *simulation) settled() bool {
	for _, t := range s.stores {
		if !t.up {
			return false
		}
	}
	for _, c := range s.consumers {
		if !c.up {
			return false
		}
	}
	return true
}

// simulations is how many seeds are tried; TestSimulation says how to have more.
var simulations = 10_000

// TestSimulation tries 10,000 seeds, and 500 more for each round of DAFKA_TORTURE. DAFKA_SEED replays one, and says what
// happens in it.
func TestSimulation(t *testing.T) {
	t.Parallel()
	first, seeds := uint64(0), uint64(simulations)
	if testing.Short() {
		seeds /= 10
	}
	if rounds, err := strconv.ParseUint(os.Getenv("DAFKA_TORTURE"), 10, 32); err == nil {
		seeds += 500 * rounds
	}
	replayed, err := strconv.ParseUint(os.Getenv("DAFKA_SEED"), 10, 64)
	if err == nil {
		first, seeds = replayed, 1
	}
	records, faults := 0, 0
	for seed := first; seed < first+seeds; seed++ {
		s := newSimulation(seed, nothingBroken)
		if os.Getenv("DAFKA_SEED") != "" {
			s.trace = t.Logf
		}
		s.run()
		records, faults = records+s.records, faults+s.faults
		if s.wrong != "" {
			t.Fatalf("seed %d: %s\nto replay it: DAFKA_SEED=%d go test -v -run '^TestSimulation$' ./zmqwire", seed, s.wrong, seed)
		}
	}
	t.Logf("%d seeds: %d faults besides those of the network, %d records compared, none lost", seeds, faults, records)
}

// Whoever breaks a node on purpose is found out, and soon.
func TestSimulationFindsFaults(t *testing.T) {
	t.Parallel()
	for what, broken := range map[string]sabotage{
		"a store acks before it has synced":              ackBeforeSync,
		"a producer is content with one ACK":             quorumOfOne,
		"stores do not copy from each other":             storesDoNotCopy,
		"a store takes what is not next":                 gapsAreSkipped,
		"a store that restarts begins at record 0 again": restartsAtZero,
	} {
		found := false
		for seed := uint64(0); seed < 500 && !found; seed++ {
			s := newSimulation(seed, broken)
			s.run()
			found = s.wrong != ""
			if found {
				t.Logf("%s: seed %d, %s", what, seed, s.wrong)
			}
		}
		if !found {
			t.Errorf("%s, and 500 seeds find nothing wrong", what)
		}
	}
}
