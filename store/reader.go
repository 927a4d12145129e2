package store

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

const (
	// What waits for one requester within libzmq.
	queueRecords = 4096
	// stalledWait is when requesters whose queues were full are tried again.
	stalledWait = time.Millisecond
	// runsOpen is how long what the reader reads runs with stays open.
	runsOpen = time.Second
	// headsAtOnce is how many heads are told in one turn.
	headsAtOnce = 512
)

// ErrHeadRequests is the reason to drop a request for heads.
const ErrHeadRequests zmqwire.Fault = "too_many_head_requests"

// reader is the half of a store that answers: which partitions there are, and what they hold. It reads nothing but the
// database, so it only ever tells of what is on disk.
type reader struct {
	node *node.Node
	db   *partdb.Database

	// Of the node's goroutine.
	received *zsock.Batch
	out      *zsock.Batch
	message  zmqwire.Message
	answers  flow.Answers
	heads    flow.Turns[*headRequest]
	asked    map[headKey]*headRequest
	shares   flow.Shares     // of requests for heads
	stalled  bool            // no requester has room
	untold   flow.Standstill // of heads
	writer   string          // the address of the store's other half
	runs     partdb.Finder
	stats    *counters
	logged   func(error)
}

// headRequest is a node's question for the heads of one topic, or of all when it is empty.
type headRequest struct {
	headKey
	first []byte // the first key not yet told
}

type headKey struct {
	from             netip.AddrPort // the connection by which it came
	requester, topic string
}

// bounds are the first key of the heads that are asked for, and the first key behind them. Nodes made in C match topics by
// their beginning, as their subscriptions do, and C stores answer them so.
func (k headKey) bounds() (lower, upper []byte) {
	if zmqwire.MadeInC(k.requester) {
		return partdb.BeginningBounds(k.topic)
	}
	return partdb.TopicBounds(k.topic)
}

func newReader(config tower.NodeConfig, db *partdb.Database, stats *counters) (*reader, error) {
	node, err := node.Join(config, node.Sockets{
		Publish: zsock.XPUB,
		// An answer has one taker, so that a full queue holds up that taker's answers only; but for peers that subscribe to
		// what is others' (flow.Standstill). Patience is never used up, because nothing is sent with waiting.
		Send:      zsock.Options{SendLimit: queueRecords, Patience: stalledWait},
		Subscribe: []zsock.Options{{Sources: true}},
	})
	if err != nil {
		return nil, err
	}
	subscriptions := errors.Join(
		node.Sub[0].Subscribe(string(byte(zmqwire.Fetch))),
		node.Sub[0].Subscribe(string(byte(zmqwire.GetHeads))),
		node.Sub[0].Subscribe(string(byte(zmqwire.ConsumerHello))+node.Address()),
	)
	if subscriptions != nil {
		node.Close()
		return nil, subscriptions
	}
	limits := node.Limits()
	return &reader{
		node: node, db: db, stats: stats,
		received: zsock.NewBatch(), out: zsock.NewBatch(),
		runs:    partdb.Finder{DB: db},
		message: zmqwire.Message{MaxTopics: limits.Topics},
		answers: flow.Answers{
			MaxRequests: limits.Requests, MaxPeerBytes: limits.PeerBytes, MaxBytes: limits.Bytes,
		},
		asked: make(map[headKey]*headRequest), shares: flow.NewShares(4 * limits.Topics),
		logged: partdb.LogDamage(config.Logger),
	}, nil
}

// damaged takes note of something that is left out because it cannot be read.
func (r *reader) damaged(err error) {
	r.stats.damaged.Add(1)
	r.logged(err)
}

// run is the node. It returns when stopping says so.
func (r *reader) run(stopping func() bool) error {
	defer r.runs.Close()
	for !stopping() {
		ready, err := r.node.Wait(r.idle(), func() bool { return stopping() || r.busy() && !r.stalled })
		if err != nil {
			return err
		}
		r.stats.reading.Set(time.Now())
		r.out.Reset()
		if ready.Pub() {
			if err := r.greetConsumers(); err != nil {
				return err
			}
		}
		if ready.Sub(0) {
			if err := r.receive(); err != nil {
				return err
			}
		}
		if err := r.flush(); err != nil {
			return err
		}
		if err := r.serve(); err != nil {
			return err
		}
		if time.Since(r.runs.Opened) > runsOpen {
			r.runs.Close()
		}
	}
	return nil
}

func (r *reader) busy() bool { return r.answers.Len() > 0 || r.heads.Len() > 0 }

func (r *reader) idle() time.Duration {
	if r.busy() {
		return stalledWait
	}
	return longWait
}

// greetConsumers answers the subscriptions of consumers that have just connected; they reply with their topics.
func (r *reader) greetConsumers() error {
	subscriptions, err := r.node.Subscriptions(r.received)
	if err != nil {
		return err
	}
	for s := range subscriptions {
		if len(s.Prefix) > 1 && zmqwire.Kind(s.Prefix[0]) == zmqwire.StoreHello {
			r.say(&zmqwire.Message{
				Kind: zmqwire.StoreHello, Routing: s.Prefix[1:], Address: []byte(r.node.Address()),
			})
		}
	}
	return nil
}

// receive takes requests.
func (r *reader) receive() error {
	if err := r.node.Sub[0].Drain(r.received); err != nil {
		return err
	}
	for frames := r.received.Next(); frames != nil; frames = r.received.Next() {
		if err := r.hear(frames); err != nil {
			r.node.Faults().Note(err)
		}
	}
	return nil
}

func (r *reader) hear(frames [][]byte) error {
	m := &r.message
	if err := m.Decode(frames); err != nil {
		return err
	}
	if err := m.Check(r.node.Address()); err != nil {
		return err
	}
	if string(m.Address) == r.writer {
		return nil // what the writer lacks, the reader has not
	}
	r.stalled = false
	switch m.Kind {
	case zmqwire.Fetch:
		if err := r.answers.Add(m, r.received.Origin()); err != nil {
			return err
		}
		r.stats.fetches.Add(1)
	case zmqwire.GetHeads:
		return r.askHeads(string(m.Address), string(m.Routing))
	case zmqwire.ConsumerHello:
		var wrong error
		if m.Surplus > 0 {
			wrong = fmt.Errorf("%w: %d of %d, because the limit topics is %d: raise it",
				ErrTopics, m.Surplus, len(m.Topics)+m.Surplus, m.MaxTopics)
		}
		for _, topic := range m.Topics {
			if err := r.askHeads(string(m.Address), string(topic)); wrong == nil {
				wrong = err
			}
		}
		return wrong
	}
	return nil
}

// askHeads notes a request for heads. One that is under way begins anew, so that no head is older than the request.
func (r *reader) askHeads(requester, topic string) error {
	key := headKey{r.received.Origin(), requester, topic}
	lower, _ := key.bounds()
	if h := r.asked[key]; h != nil {
		h.first = lower
		return nil
	}
	if !r.shares.Take(key.from) {
		return fmt.Errorf("%w: the limit topics is %d, and a peer may have four times as many", ErrHeadRequests, r.message.MaxTopics)
	}
	h := &headRequest{key, lower}
	r.asked[key] = h
	r.heads.Push(key.from, h)
	return nil
}

// serve gives everyone who asked a turn.
func (r *reader) serve() error {
	r.stalled = r.busy()
	now := time.Now()
	if r.heads.Len() > 0 {
		if err := r.tellHeads(now); err != nil {
			return err
		}
	}
	if r.answers.Len() == 0 {
		return nil
	}
	r.out.Reset()
	if err := r.node.Pub.Refuse(!r.answers.Regardless(now)); err != nil {
		return err
	}
	var failure error
	moved := r.answers.Serve(
		now,
		func(c *flow.Cursor) *zmqwire.Run {
			run, err := r.runs.Find(c.Topic, c.Partition, c.Next())
			if err != nil {
				r.damaged(err)
			}
			return run
		},
		func(c *flow.Cursor, run *zmqwire.Run, from, to int) int {
			n, err := r.node.Pub.SendRun(c.Header, run, from, to, c.Load, false)
			failure = errors.Join(failure, err)
			r.stats.answered.Add(uint64(n))
			return n
		},
		r.sayMore,
	)
	if moved || r.answers.Len() == 0 {
		r.stalled = false
	}
	return errors.Join(failure, r.flush())
}

// sayMore ends an answer. A C consumer does not ask for more than it was told of; so when there is more, it is told.
func (r *reader) sayMore(c *flow.Cursor) {
	records, err := r.db.Records(c.Topic, c.Partition)
	if err != nil {
		r.damaged(err)
		return
	}
	if records <= c.Next() {
		return
	}
	r.sayHead(c.Requester, []byte(c.Topic), []byte(c.Partition), records-1)
}

// tellHeads tells the first request some heads, as many as the requester's queue takes; then it is another's turn.
func (r *reader) tellHeads(now time.Time) error {
	h, _ := r.heads.Pop()
	_, upper := h.bounds()
	heads, err := r.db.Pebble.NewIter(&pebble.IterOptions{LowerBound: h.first, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	defer heads.Close()

	r.out.Reset()
	ok := heads.First()
	for ; ok && r.out.Len() < headsAtOnce; ok = heads.Next() {
		if err := r.addHead(h.requester, heads.Key(), heads.Value()); err != nil {
			r.damaged(err)
		}
	}
	if err := heads.Error(); err != nil {
		// Who asked is told what could be read, and asks again.
		r.damaged(err)
		r.db.Suspect(h.first)
	}
	if err := r.node.Pub.Refuse(!r.untold.Regardless(now)); err != nil {
		return err
	}
	told, err := r.node.Pub.Send(r.out)
	if err != nil {
		return err
	}
	if r.out.Len() > 0 {
		r.untold.Offered(told > 0, now)
	}
	switch {
	case told < r.out.Len():
		// Refused heads are told again from the first of them on.
		heads.First()
		for range told {
			heads.Next()
		}
		h.first = bytes.Clone(heads.Key())
	case ok:
		h.first = bytes.Clone(heads.Key())
	default:
		delete(r.asked, h.headKey)
		r.shares.Return(h.from)
		h = nil
	}
	if h != nil {
		r.heads.Push(h.from, h)
	}
	if told > 0 || h == nil {
		r.stalled = false
	}
	return nil
}

func (r *reader) addHead(requester string, key, value []byte) error {
	topic, address, err := partdb.SplitHeadKey(key)
	if err != nil {
		return err
	}
	records, err := partdb.DecodeHead(key, value)
	if err != nil {
		return err
	}
	if records > 0 {
		r.sayHead(requester, topic, address, records-1)
	}
	return nil
}

// flush sends what was said to several peers; what one of them has no room for is dropped for that one, and it asks again.
func (r *reader) flush() error {
	if r.out.Len() == 0 {
		return nil
	}
	if err := r.node.Pub.Refuse(false); err != nil {
		return err
	}
	_, err := r.node.Pub.Send(r.out)
	return err
}

func (r *reader) sayHead(requester string, topic, address []byte, sequence uint64) {
	r.say(&zmqwire.Message{
		Kind: zmqwire.DirectHead, Routing: []byte(requester), Address: address, Subject: topic, Sequence: sequence,
	})
}

// say queues a message made of names that were checked.
func (r *reader) say(m *zmqwire.Message) {
	if err := r.out.AddMessage(m); err != nil {
		r.node.Faults().Note(err)
	}
}
