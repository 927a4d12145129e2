package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

const (
	// pendingBytes bounds what is received and not yet committed. Beyond it the writer stops listening to live
	// records, and TCP slows the producers down to what the disk takes.
	pendingBytes = partdb.MaxCommitBytes
	// A commit for which gatherFrom bytes are ready waits for gatherTo, as long as more comes without a pause, but not for
	// longer than gatherFor: large commits cost less for each record.
	gatherFrom  = 128 << 10
	gatherTo    = 4 << 20
	gatherFor   = 25 * time.Millisecond
	gatherPause = time.Millisecond
	// earlyBytes bounds the live records kept because records before them are missing.
	earlyBytes = 64 << 20
	// fetchBytes bounds what is asked for and not yet here.
	fetchBytes = 16 << 20
	// spareRuns is how many empty runs are kept for the next records.
	spareRuns = 256
	// maxClaims bounds the partitions known from one peer of which no record came yet: anyone can make them up.
	maxClaims = 16384
	// How often the other stores are asked for what they have: after one of them has come, at the earliest, and anyway.
	copyAfter = 200 * time.Millisecond
	copyEvery = time.Minute
	// sweepEvery is how often at most the claims are looked through for those of peers that have left.
	sweepEvery = time.Second
	// forgetEvery is how long at least a partition is kept in mind that nothing is heard of.
	forgetEvery = time.Minute
	// longWait bounds a sleep without a reason to wake; libzmq up to 4.3.4 can miss a message after a signal.
	longWait = time.Second
)

// The writer's SUB sockets: what it asked for does not wait behind what is live.
const (
	direct = iota
	live
)

// writer is the half of a store that records what is published: it appends each partition in order, acks what is on
// disk, and fetches what it missed. So that it learns of what it missed from producers that are gone, it asks the other
// stores for the heads of all they have.
//
// Two goroutines pass work round. The node's takes records from the sockets into the partitions' pending runs; while
// the committing one waits for the disk with one set of runs, the next set fills. An ACK is sent only for what a
// commit that returned without error holds.
type writer struct {
	node *node.Node
	db   *partdb.Database
	log  *slog.Logger

	// Of the node's goroutine.
	received   *zsock.Batch
	out        *zsock.Batch
	message    zmqwire.Message
	partitions map[string]*partition // by the beginning of its keys
	producers  map[string]*partition // by address; of several that share one, the last heard of
	sources    map[string]source     // by record header
	lastHeader []byte
	last       source
	backlog    flow.Backlog // of partitions in which something is published
	copies     flow.Backlog // of the others
	pace       pace         // of copies
	claims     flow.Shares  // partitions without a record
	nextSweep  time.Time    // when to look for claims of those that have left
	nextCopy   time.Time    // when to ask the other stores for their heads
	untaken    bool         // since they were asked last, some of their heads had no room among the claims
	copied     bool         // once, all of their heads had
	lastHead   time.Time    // when one of them came last
	news       bool         // since the last survey a store came, or was asked for its heads
	nextSurvey time.Time
	nextForget time.Time
	pending    []*partition // those with runs to commit
	owing      []*partition // those with an ACK to repeat
	bytes      int          // in pending runs
	early      int          // bytes kept before their turn
	spare      []*zmqwire.Run
	committing bool
	gathered   int       // bytes when the writer looked last whether more comes
	gathering  time.Time // since when it waits for more; zero when it does not
	full       bool      // the disk is: nothing is committed
	deaf       bool

	loss   *loss      // whose gaps are being filled; nil when there is none
	losses chan *loss // of the mender

	commits   chan task
	done      chan committed // capacity 1: the committing goroutine never waits for the node
	committer sync.WaitGroup
	stats     *counters

	comparison comparison // of duplicates
	now        time.Time  // when the round began
}

// partition is one producer's records of one topic, as the writer knows it.
type partition struct {
	flow.Order
	runs   []*zmqwire.Run // taken and not handed to the committing goroutine
	stored uint64         // records before it are on disk
	owed   bool           // an ACK is to be sent again
	heard  bool           // since forgetIdle looked last
	live   bool           // its producer was heard
	owner  node.Owner     // who may say what is live
	claim  int            // the connection that made it known
	gap    *gap           // what of it is fetched again; nil when nothing is

	refusal            // of its producer
	compared time.Time // when a duplicate of it was last read
}

// source is what a record's header says: the partition, and whether the record is live or was asked for.
type source struct {
	partition *partition
	live      bool
}

// task is what the committing goroutine does at a time: it commits what was appended, or replaces a damaged table.
type task struct {
	partitions []*partition       // whose records are committed
	appended   []*partdb.Appended // what of each
	loss       *loss
}

// committed is a task's outcome.
type committed struct {
	task
	err error
}

func newWriter(config tower.NodeConfig, db *partdb.Database, stats *counters) (*writer, error) {
	node, err := node.Join(config, node.Sockets{
		Publish: zsock.XPUB,
		Send:    zsock.Options{SendLimit: 1 << 16},
		Subscribe: []zsock.Options{
			direct: {Sources: true},
			live:   {Sources: true},
		},
	})
	if err != nil {
		return nil, err
	}
	w := &writer{
		node: node, db: db, log: config.Logger, stats: stats,
		received:   zsock.NewBatch(),
		out:        zsock.NewBatch(),
		partitions: make(map[string]*partition),
		producers:  make(map[string]*partition),
		sources:    make(map[string]source),
		claims:     flow.NewShares(maxClaims),
		losses:     make(chan *loss, 1),
		comparison: comparison{runs: partdb.Finder{DB: db}},
		commits:    make(chan task),
		done:       make(chan committed, 1),
		nextCopy:   time.Now().Add(copyEvery),
		nextForget: time.Now().Add(forgetEvery),
	}
	subscriptions := errors.Join(
		node.Sub[direct].Subscribe(string(byte(zmqwire.DirectRecord))+node.Address()),
		node.Sub[direct].Subscribe(string(byte(zmqwire.DirectHead))+node.Address()),
		node.Sub[live].Subscribe(string(byte(zmqwire.Head))),
		node.Sub[live].Subscribe(string(byte(zmqwire.Record))),
	)
	if subscriptions != nil {
		node.Close()
		return nil, subscriptions
	}
	return w, nil
}

// commit is the committing goroutine. It ends when commits is closed.
func (w *writer) commit() {
	commits := w.db.NewCommits()
	defer commits.Close()
	for t := range w.commits {
		var err error
		if t.loss != nil {
			err = t.loss.replace(w.db)
		} else {
			begin := time.Now()
			err = commits.Commit(t.appended)
			w.stats.commits.add(time.Since(begin))
		}
		w.done <- committed{t, err}
		w.node.Wake()
	}
}

// run is the node. It returns when stopping says so, with what it took committed and acked, or when a commit failed:
// then nothing more is acked.
func (w *writer) run(stopping func() bool) error {
	w.committer.Go(w.commit)
	defer func() {
		close(w.commits)
		w.committer.Wait()
		w.comparison.runs.Close()
	}()
	wait := longWait
	for !stopping() {
		ready, err := w.node.Wait(wait, func() bool { return stopping() || len(w.done) > 0 })
		if err != nil {
			return err
		}
		w.out.Reset()
		now := time.Now()
		w.now = now
		w.comparison.begin(now)
		if ready.Pub() {
			if err := w.meet(now); err != nil {
				return err
			}
		}
		for i := range w.node.Sub {
			if !ready.Sub(i) {
				continue
			}
			if err := w.receive(i); err != nil {
				return err
			}
		}
		if err := w.takeDone(); err != nil {
			return err
		}
		w.beginMending(now)
		wait = longWait
		if w.gathers(now) {
			wait = gatherPause
		} else {
			w.handOver(now)
		}
		w.repeatAcks()
		w.askStores(now)
		if now.After(w.nextForget) {
			w.forgetIdle()
			w.nextForget = now.Add(forgetEvery)
		}
		if !w.full {
			wait = min(wait, w.fetch(now), max(0, w.nextCopy.Sub(now)))
		}
		w.survey(now)
		if _, err := w.node.Pub.Send(w.out); err != nil {
			return err
		}
	}
	return w.finish()
}

// finish commits and acks what was taken, if there is room for it. Where the disk takes its time, the node goes on telling
// that it is there: nobody waits for the ACKs of one that is silent.
func (w *writer) finish() error {
	for i := range w.node.Sub {
		w.node.Listen(i, false)
	}
	for w.handOver(time.Now()); w.committing; w.handOver(time.Now()) {
		w.out.Reset()
		ready, err := w.node.Wait(longWait, func() bool { return len(w.done) > 0 })
		if err == nil && ready.Pub() {
			err = w.meet(time.Now())
		}
		if err == nil {
			err = w.takeDone()
		}
		if err != nil {
			return err
		}
		if _, err := w.node.Pub.Send(w.out); err != nil {
			return err
		}
	}
	return nil
}

// meet notices who has just come: a producer hears ACKs and FETCHes only from now on, and whoever subscribes to GET-HEADS
// for all topics is a store, which answers it.
func (w *writer) meet(now time.Time) error {
	subscriptions, err := w.node.Subscriptions(w.received)
	if err != nil {
		return err
	}
	for s := range subscriptions {
		if len(s.Prefix) == 0 {
			continue
		}
		address := string(s.Prefix[1:])
		switch zmqwire.Kind(s.Prefix[0]) {
		case zmqwire.Ack:
			if p := w.producers[address]; p != nil && p.stored > 0 {
				w.owe(p)
			}
		case zmqwire.Fetch:
			w.backlog.Came(address)
			w.copies.Came(address)
		case zmqwire.GetHeads:
			if soon := now.Add(copyAfter); address == "" && soon.Before(w.nextCopy) {
				w.nextCopy = soon
				w.news = true
			}
		}
	}
	return nil
}

// askStores asks the other stores for the heads of all they have, when it is time.
func (w *writer) askStores(now time.Time) {
	if w.full || now.Before(w.nextCopy) {
		return
	}
	w.nextCopy = now.Add(copyEvery)
	w.news, w.untaken = true, false
	w.say(&zmqwire.Message{Kind: zmqwire.GetHeads, Address: []byte(w.node.Address())})
}

// receive takes what has arrived at one of the sockets: records, mostly.
func (w *writer) receive(socket int) error {
	if err := w.node.Sub[socket].Drain(w.received); err != nil {
		return err
	}
	for frames := w.received.Next(); frames != nil; frames = w.received.Next() {
		if len(frames) == 2 {
			// The header, but for the sequence, is the same in all records of a partition: it is decoded once.
			header, sequence := zmqwire.SplitRecord(frames[0])
			if !bytes.Equal(header, w.lastHeader) {
				w.lastHeader, w.last = append(w.lastHeader[:0], header...), w.sources[string(header)]
			}
			if p := w.last.partition; p != nil {
				if w.last.live && !w.node.Admits(&p.owner, p.Partition, w.received) {
					w.node.Faults().Note(node.ErrOwner)
					continue
				}
				p.heard = true
				w.record(w.last, sequence, frames[1])
				continue
			}
		}
		if err := w.hear(frames); err != nil {
			w.node.Faults().Note(err)
		}
	}
	return nil
}

// hear takes any message but a record of a known partition.
func (w *writer) hear(frames [][]byte) error {
	m := &w.message
	if err := m.Decode(frames); err != nil {
		return err
	}
	if err := m.Check(w.node.Address()); err != nil {
		return err
	}
	p, err := w.partition(m)
	if p == nil {
		return err
	}
	if (m.Kind == zmqwire.Record || m.Kind == zmqwire.Head) && !w.node.Admits(&p.owner, p.Partition, w.received) {
		return node.ErrOwner
	}
	p.heard = true
	switch m.Kind {
	case zmqwire.Record, zmqwire.DirectRecord:
		s := source{p, m.Kind == zmqwire.Record}
		header, _ := zmqwire.SplitRecord(frames[0])
		w.sources[string(header)] = s
		w.lastHeader = w.lastHeader[:0]
		w.record(s, m.Sequence, m.Content)
	case zmqwire.Head, zmqwire.DirectHead:
		if m.Kind == zmqwire.Head && w.refuses(p) {
			return ErrContent
		}
		// A producer that tells of its head may have missed the ACK.
		if m.Kind == zmqwire.Head && m.Sequence < p.stored {
			w.owe(p)
		}
		p.live = p.live || m.Kind == zmqwire.Head
		p.Saw(m.Sequence)
		w.lacks(p)
	}
	return nil
}

// lacks puts a partition that is behind where it is fetched.
func (w *writer) lacks(p *partition) {
	if p.live {
		w.backlog.Add(&p.Order)
	} else {
		w.copies.Add(&p.Order)
	}
}

// partition finds the partition that a message is about; one that was not heard of for a while goes on where the
// database ends. It gives nil when another store tells of nothing new, as it does of all it has.
func (w *writer) partition(m *zmqwire.Message) (*partition, error) {
	topic, address := string(m.Subject), string(m.Address)
	key := string(partdb.AppendPartition(nil, partdb.HeadPrefix, topic, address))
	if p := w.partitions[key]; p != nil {
		return p, nil
	}
	if m.Kind == zmqwire.DirectHead {
		w.lastHead = time.Now()
	}
	records, err := w.db.Records(topic, address)
	if err != nil || m.Kind == zmqwire.DirectHead && m.Sequence < records {
		return nil, err
	}
	from := w.received.Origin()
	if records == 0 && !w.claims.Take(from) && !(w.sweep() && w.claims.Take(from)) {
		w.untaken = w.untaken || m.Kind == zmqwire.DirectHead
		return nil, ErrClaims
	}
	p := &partition{Order: flow.NewOrder(topic, address, records), stored: records, claim: w.received.Connection()}
	p.From = from
	w.partitions[key], w.producers[address] = p, p
	return p, nil
}

// forgetIdle forgets the partitions that nothing was heard of since the last time, but for those that wait for their
// turn to be fetched: they are in the database, and whoever has more of them will say so again.
func (w *writer) forgetIdle() {
	w.forget(func(p *partition) bool {
		idle := !p.heard && (!p.Behind() || p.Asked(p.Next()))
		p.heard = false
		return idle
	})
}

// sweep forgets, once a second at most, the claims of those whose connections have ended, and reports whether it did. One
// that comes again and again would use up the claims of all.
func (w *writer) sweep() bool {
	now := time.Now()
	if now.Before(w.nextSweep) {
		return false
	}
	w.nextSweep = now.Add(sweepEvery)
	lives := make(map[int]netip.AddrPort)
	w.forget(func(p *partition) bool {
		if p.Next() > 0 || p.claim < 0 {
			return false
		}
		peer, looked := lives[p.claim]
		if !looked {
			peer, _ = zsock.PeerOf(p.claim)
			lives[p.claim] = peer
		}
		return peer != p.From
	})
	return true
}

// forget forgets the partitions that are of no use, but for those about which something is still to be done.
func (w *writer) forget(useless func(p *partition) bool) {
	for key, p := range w.partitions {
		if !useless(p) || p.stored < p.Next() || p.owed || p.gap != nil {
			continue
		}
		if p.Next() == 0 {
			w.claims.Return(p.From)
		}
		w.early -= p.Forget()
		delete(w.partitions, key)
		if w.producers[p.Partition] == p {
			delete(w.producers, p.Partition)
		}
	}
	for header, s := range w.sources {
		key := partdb.AppendPartition(nil, partdb.HeadPrefix, s.partition.Topic, s.partition.Partition)
		if w.partitions[string(key)] != s.partition {
			delete(w.sources, header)
		}
	}
	w.lastHeader, w.last = w.lastHeader[:0], source{}
}

// record takes a record of a known partition: to be committed, to be kept until its turn, or to be fetched later.
func (w *writer) record(s source, sequence uint64, content []byte) {
	p := s.partition
	if s.live && w.refuses(p) {
		w.node.Faults().Note(ErrContent)
		return
	}
	p.live = p.live || s.live
	w.pace.took(p.live, len(content))
	switch next := p.Next(); {
	case sequence < next:
		if p.gap != nil && !s.live {
			w.mend(p.gap, sequence, content)
			return
		}
		if s.live {
			w.duplicate(p, sequence, content)
			return
		}
		w.stats.duplicates.Add(1)
		if sequence < p.stored {
			w.owe(p)
		}
		return
	case !s.live && !p.Asked(sequence):
		// A C store sends one record more than it is asked for.
		if sequence == 0 || !p.Asked(sequence-1) {
			w.node.Faults().Note(ErrUnasked)
		}
		return
	case sequence == next:
		w.take(p, content)
		for kept, ok := p.Kept(); ok; kept, ok = p.Kept() {
			w.early -= len(kept) + zmqwire.RecordOverhead
			w.take(p, kept)
		}
	case w.early+len(content) <= earlyBytes:
		w.early += p.Keep(sequence, content)
	default:
		p.Saw(sequence)
	}
	w.lacks(p)
}

// take appends a partition's next record to what is to be committed.
func (w *writer) take(p *partition, content []byte) {
	if p.Next() == 0 {
		w.claims.Return(p.From)
	}
	if len(p.runs) == 0 {
		w.pending = append(w.pending, p)
	}
	if n := len(p.runs); n == 0 || p.runs[n-1].Full(len(content)) {
		p.runs = append(p.runs, w.newRun(p.Next()))
	}
	p.runs[len(p.runs)-1].Append(content)
	w.bytes += len(content) + zmqwire.RecordOverhead
	p.Took(len(content))
}

func (w *writer) newRun(first uint64) *zmqwire.Run {
	run := &zmqwire.Run{}
	if n := len(w.spare); n > 0 {
		run, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	run.Reset(first)
	return run
}

// gathers says whether to wait for more before the next commit.
func (w *writer) gathers(now time.Time) bool {
	came := w.bytes > w.gathered
	w.gathered = w.bytes
	if w.committing || !came || w.bytes < gatherFrom || w.bytes >= gatherTo {
		w.gathering = time.Time{}
		return false
	}
	if w.gathering.IsZero() {
		w.gathering = now
	}
	return now.Sub(w.gathering) < gatherFor
}

// handOver gives what was taken to the committing goroutine, if that is idle and the disk has room, and decides whether
// more may be taken.
func (w *writer) handOver(now time.Time) {
	if !w.committing {
		w.full = !w.db.Room.Take(now, w.bytes)
	}
	switch {
	case w.committing || w.full:
	case w.loss != nil && w.loss.left == 0:
		w.committing = true
		w.commits <- task{loss: w.loss}
	case len(w.pending) > 0:
		t := task{partitions: slices.Clone(w.pending), appended: make([]*partdb.Appended, len(w.pending))}
		for i, p := range w.pending {
			t.appended[i] = &partdb.Appended{Topic: p.Topic, Address: p.Partition, Runs: p.runs, Records: p.Next()}
			p.runs = nil
		}
		w.pending, w.bytes = w.pending[:0], 0
		w.committing = true
		w.commits <- t
	}
	if deaf := w.full || w.bytes >= pendingBytes; deaf != w.deaf {
		w.deaf = deaf
		w.node.Listen(direct, !deaf)
		w.node.Listen(live, !deaf)
	}
}

// takeDone settles a commit that has returned, if one has.
func (w *writer) takeDone() error {
	select {
	case c := <-w.done:
		return w.settle(c)
	default:
		return nil
	}
}

// settle acks what was committed, and keeps the runs for the next records.
func (w *writer) settle(c committed) error {
	w.committing = false
	if c.loss != nil {
		w.endMending(c.err)
		if !errors.As(c.err, new(partdb.FatalError)) {
			return nil
		}
	}
	if c.err != nil {
		return fmt.Errorf("commit: %w: nothing more is acked", c.err)
	}
	logged := w.log.Enabled(context.Background(), slog.LevelDebug)
	var size uint64
	for i, a := range c.appended {
		p := c.partitions[i]
		w.stats.records.Add(a.Records - p.stored)
		p.stored = a.Records
		w.ack(p)
		if logged {
			w.log.Debug("acked", "topic", a.Topic, "partition", a.Address, "sequence", a.Records-1)
		}
		for _, run := range a.Runs {
			size += uint64(len(run.Contents))
			// One that grew for a large record is not kept.
			if len(w.spare) < spareRuns && cap(run.Contents) <= 2*zmqwire.RunBytes {
				w.spare = append(w.spare, run)
			}
		}
	}
	w.stats.bytes.Add(size)
	return nil
}

// owe notes that a partition's ACK is to be sent again.
func (w *writer) owe(p *partition) {
	if !p.owed {
		p.owed = true
		w.owing = append(w.owing, p)
	}
}

func (w *writer) repeatAcks() {
	for _, p := range w.owing {
		p.owed = false
		w.ack(p)
	}
	w.owing = w.owing[:0]
}

// ack says that a partition's records are on disk, all of them up to the last that was stored.
func (w *writer) ack(p *partition) {
	if p.refused {
		return
	}
	w.say(&zmqwire.Message{
		Kind: zmqwire.Ack, Routing: []byte(p.Partition), Subject: []byte(p.Topic), Sequence: p.stored - 1,
	})
}

// fetch asks for what is missing and returns when to ask again.
func (w *writer) fetch(now time.Time) time.Duration {
	ask := func(o *flow.Order, first uint64, count uint32) {
		w.say(&zmqwire.Message{
			Kind: zmqwire.Fetch, Routing: []byte(o.Partition), Address: []byte(w.node.Address()),
			Subject: []byte(o.Topic), Sequence: first, Count: count,
		})
	}
	wait := w.backlog.Ask(now, fetchBytes, ask)
	if budget := w.pace.allow(now); budget > 0 {
		return min(wait, w.copies.Ask(now, budget, ask))
	}
	return min(wait, paceWait)
}

// survey leaves for Stats, about once a second, how the writer stands.
func (w *writer) survey(now time.Time) {
	if now.Before(w.nextSurvey) {
		return
	}
	w.nextSurvey = now.Add(longWait)
	behind, unanswered := w.backlog.Lacking()
	copying, inVain := w.copies.Lacking()
	behind, unanswered = behind+copying, unanswered+inVain
	if w.loss != nil && w.loss.left > 0 && now.Sub(w.loss.moved) > mendPatience {
		w.endMending(errors.New("no other store gives all of what is lacking"))
	}
	w.stats.behind.Store(int64(behind))
	w.stats.unanswered.Store(int64(unanswered))
	w.stats.pending.Store(int64(w.bytes))
	w.stats.early.Store(int64(w.early))
	w.stats.writing.Set(now)
	// What had no room is asked for again when there is some, or when nothing is on its way.
	again := w.untaken && now.Sub(w.lastHead) > copyAfter && (copying == 0 || w.claims.Total() <= w.claims.Most()/2)
	if again {
		w.nextCopy = now
	}
	lacking := behind > 0 || w.news || again || !w.node.Settled(now) || !w.copied && now.Sub(w.lastHead) < longWait
	w.copied = w.copied || !lacking
	w.stats.caughtUp.look(now, lacking)
	w.news = false
}

// say queues a message made of names that were checked; it is sent at the end of the round.
func (w *writer) say(m *zmqwire.Message) {
	if err := w.out.AddMessage(m); err != nil {
		w.node.Faults().Note(err)
	}
}
