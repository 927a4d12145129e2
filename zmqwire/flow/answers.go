package flow

import (
	"fmt"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
	"math"
	"net/netip"
	"slices"
	"time"
)

// ErrTooMany is the reason to drop a FETCH. Its requester asks again, as everybody does on this wire.
const ErrTooMany zmqwire.Fault = "too_many_requests"

// Answers is what one node has been asked for and not yet sent: a cursor for each requester and partition, and turns
// among the peers, so that one that asks for much, under however many addresses, or takes it slowly, costs the others
// nothing. Memory does not depend on how much was asked for. It holds no socket. The zero value has no bounds.
type Answers struct {
	// MaxRequests is how many requests of one peer are answered at a time, and half of how many of all (Shares); 0 is any
	// number.
	MaxRequests int
	// MaxPeerBytes bounds the contents on their way to one requester, and MaxBytes those to all of them; 0 is no bound. A
	// requester that reads takes its bytes at once, so they are used up by those that do not.
	MaxPeerBytes, MaxBytes int64

	load       *zsock.Load // of all requesters
	peers      []*asker
	requesters map[requesterKey]*requester
	cursors    map[cursorKey]*Cursor
	shares     Shares
	standstill Standstill
}

// requesterKey is a node's address, and the connection by which it asks. Where that is not known, each node counts as a
// peer of its own.
type requesterKey struct {
	from    netip.AddrPort
	address string
}

// asker is a peer that has asked; the addresses under which it did take turns among themselves.
type asker struct {
	requesters []*requester
	turn       int
}

// requester is a node that has asked; its partitions take turns among themselves.
type requester struct {
	requesterKey
	load    *zsock.Load
	handed  map[partitionKey]uint64 // before which records may be on their way
	cursors []*Cursor
	turn    int
}

// Cursor is one request on its way.
type Cursor struct {
	Topic     string
	Requester string
	Partition string
	Header    []byte      // of the records sent (AppendRunHeader)
	Load      *zsock.Load // of the requester

	from      netip.AddrPort
	next, end uint64 // the next record to send, and the one after the last asked for
}

type cursorKey struct {
	requesterKey
	topic, partition string
}

type partitionKey struct{ topic, partition string }

// Next is the sequence of the next record to send.
func (c *Cursor) Next() uint64 { return c.next }

// Len is the number of requests under way.
func (a *Answers) Len() int { return len(a.cursors) }

// Add takes a FETCH. A request for what is being sent already changes nothing: what was handed to libzmq arrives, or
// the connection is gone and the request comes again. One that goes on where the last one ends extends it. The error
// wraps ErrTooMany: it was not taken. from is the connection by which it came (Batch.Origin).
func (a *Answers) Add(fetch *zmqwire.Message, from netip.AddrPort) error {
	first, end := fetch.Sequence, fetch.Sequence+uint64(fetch.Count)
	if end < first {
		end = 1<<64 - 1
	}
	key := cursorKey{requesterKey{from, string(fetch.Address)}, string(fetch.Subject), string(fetch.Routing)}
	if c := a.cursors[key]; c != nil {
		if first > c.end {
			c.next = first
		}
		c.end = max(c.end, end)
		return nil
	}
	if a.cursors == nil {
		a.cursors = make(map[cursorKey]*Cursor)
		a.requesters = make(map[requesterKey]*requester)
		a.load = zsock.NewLoad(orUnbounded(a.MaxBytes), nil)
		a.shares = NewShares(a.MaxRequests)
	}
	if !a.shares.Take(from) {
		return fmt.Errorf("%w: the limit requests is %d", ErrTooMany, a.MaxRequests)
	}
	r := a.requester(key.requesterKey)
	if handed := r.handed[partitionKey{key.topic, key.partition}]; first < handed && r.load.Bytes() > 0 {
		// A large record takes long, and its requester cannot see that it is coming.
		if first = handed; first >= end {
			a.shares.Return(from)
			return nil
		}
	}
	c := &Cursor{
		Topic: key.topic, Requester: key.address, Partition: key.partition,
		Header: zmqwire.AppendRunHeader(nil, zmqwire.DirectRecord, key.address, key.partition, key.topic),
		Load:   r.load,
		from:   from,
		next:   first, end: end,
	}
	a.cursors[key] = c
	r.cursors = append(r.cursors, c)
	return nil
}

func (a *Answers) requester(key requesterKey) *requester {
	if r := a.requesters[key]; r != nil {
		return r
	}
	r := &requester{
		requesterKey: key, load: zsock.NewLoad(orUnbounded(a.MaxPeerBytes), a.load), handed: make(map[partitionKey]uint64),
	}
	a.requesters[key] = r
	if key.from.IsValid() {
		for _, p := range a.peers {
			if p.requesters[0].from == key.from {
				p.requesters = append(p.requesters, r)
				return r
			}
		}
	}
	a.peers = append(a.peers, &asker{requesters: []*requester{r}})
	return r
}

func orUnbounded(bytes int64) int64 {
	if bytes == 0 {
		return math.MaxInt64
	}
	return bytes
}

// Serve gives each peer one turn: what is left of one run, to be sent to one of its requesters. read finds the run that
// holds the cursor's next record; nil ends the answer, there is no such record. send sends records from..to-1 of the run
// and returns how many the requester had room for. done is told of each answer that ended.
//
// It returns whether a record was sent or an answer ended: if not although Len is not 0, no requester has room.
func (a *Answers) Serve(
	now time.Time,
	read func(*Cursor) *zmqwire.Run,
	send func(c *Cursor, run *zmqwire.Run, from, to int) int,
	done func(*Cursor),
) (moved bool) {
	offered, taken := false, false
	for _, p := range a.peers {
		r := a.next(p)
		if r == nil {
			continue
		}
		c := r.cursors[r.turn]
		if run := read(c); run != nil {
			n := send(c, run, int(c.next-run.First), int(min(run.End(), c.end)-run.First))
			c.next += uint64(n)
			offered = true
			if n > 0 {
				moved, taken = true, true
				r.handed[partitionKey{c.Topic, c.Partition}] = c.next
			}
			if c.next < c.end {
				r.turn = (r.turn + 1) % len(r.cursors)
				continue
			}
		}
		moved = true
		r.cursors = slices.Delete(r.cursors, r.turn, r.turn+1)
		// A request that comes next stands behind those that wait, though its place be the one of this.
		if r.turn == len(r.cursors) {
			r.turn = 0
		}
		delete(a.cursors, cursorKey{r.requesterKey, c.Topic, c.Partition})
		a.shares.Return(c.from)
		done(c)
	}
	a.peers = slices.DeleteFunc(a.peers, func(p *asker) bool {
		if r := p.requesters[0]; len(p.requesters) == 1 && r.gone() {
			delete(a.requesters, r.requesterKey)
			return true
		}
		return false
	})
	if offered {
		a.standstill.Offered(taken, now)
	}
	return moved
}

// looksAtOnce is at how many requesters of a peer Serve looks for one that has asked.
const looksAtOnce = 16

// next returns the requester of a peer whose turn it is, nil when none of those it looks at waits for anything. Those that
// are gone it forgets, but for the last.
func (a *Answers) next(p *asker) *requester {
	for range min(looksAtOnce, len(p.requesters)) {
		p.turn %= len(p.requesters)
		r := p.requesters[p.turn]
		if len(r.handed) > 0 && r.load.Bytes() == 0 {
			clear(r.handed)
		}
		switch {
		case len(r.cursors) > 0:
			p.turn++
			return r
		case len(p.requesters) > 1 && r.gone():
			delete(a.requesters, r.requesterKey)
			last := len(p.requesters) - 1
			p.requesters[p.turn] = p.requesters[last]
			p.requesters = p.requesters[:last]
		default:
			p.turn++
		}
	}
	return nil
}

// gone says that a requester waits for nothing. Who has taken nothing yet of what it asked for is remembered: asking again
// gives it no more room.
func (r *requester) gone() bool { return len(r.cursors) == 0 && r.load.Bytes() == 0 }

// Regardless says that answers are to be sent without a look at who has room; see Standstill.
func (a *Answers) Regardless(now time.Time) bool { return a.standstill.Regardless(now) }
