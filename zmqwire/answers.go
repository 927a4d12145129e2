package zmqwire

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// ErrTooMany is the reason to drop a FETCH. Its requester asks again, as everybody does on this wire.
const ErrTooMany Fault = "too_many_requests"

// Answers is what one node has been asked for and not yet sent: a cursor for each requester and partition, and turns
// among the requesters, so that one that asks for much, or takes it slowly, costs the others nothing. Memory does not
// depend on how much was asked for. It holds no socket. The zero value has no bounds.
type Answers struct {
	// MaxRequests is how many requests are answered at a time; 0 is any number.
	MaxRequests int
	// MaxPeerBytes bounds the contents on their way to one requester, and MaxBytes those to all of them; 0 is no bound. A
	// requester that reads takes its bytes at once, so they are used up by those that do not.
	MaxPeerBytes, MaxBytes int64

	load       *Load // of all requesters
	requesters []*requester
	cursors    map[cursorKey]*Cursor
	standstill Standstill
}

// requester is a node that has asked; its partitions take turns among themselves.
type requester struct {
	address string
	load    *Load
	handed  map[partitionKey]uint64 // before which records may be on their way
	cursors []*Cursor
	turn    int
}

// Cursor is one request on its way.
type Cursor struct {
	Topic     string
	Requester string
	Partition string
	Header    []byte // of the records sent (AppendRunHeader)
	Load      *Load  // of the requester

	next, end uint64 // the next record to send, and the one after the last asked for
}

type cursorKey struct{ requester, topic, partition string }

type partitionKey struct{ topic, partition string }

// Next is the sequence of the next record to send.
func (c *Cursor) Next() uint64 { return c.next }

// Len is the number of requests under way.
func (a *Answers) Len() int { return len(a.cursors) }

// Add takes a FETCH. A request for what is being sent already changes nothing: what was handed to libzmq arrives, or
// the connection is gone and the request comes again. One that goes on where the last one ends extends it. The error
// wraps ErrTooMany: it was not taken.
func (a *Answers) Add(fetch *Message) error {
	first, end := fetch.Sequence, fetch.Sequence+uint64(fetch.Count)
	if end < first {
		end = 1<<64 - 1
	}
	key := cursorKey{string(fetch.Address), string(fetch.Subject), string(fetch.Routing)}
	if c := a.cursors[key]; c != nil {
		if first > c.end {
			c.next = first
		}
		c.end = max(c.end, end)
		return nil
	}
	if a.MaxRequests > 0 && len(a.cursors) >= a.MaxRequests {
		return fmt.Errorf("%w: the limit requests is %d", ErrTooMany, a.MaxRequests)
	}
	r := a.requester(key.requester)
	if handed := r.handed[partitionKey{key.topic, key.partition}]; first < handed && r.load.Bytes() > 0 {
		// A large record takes long, and its requester cannot see that it is coming.
		if first = handed; first >= end {
			return nil
		}
	}
	c := &Cursor{
		Topic: key.topic, Requester: key.requester, Partition: key.partition,
		Header: AppendRunHeader(nil, DirectRecord, key.requester, key.partition, key.topic),
		Load:   r.load,
		next:   first, end: end,
	}
	a.cursors[key] = c
	r.cursors = append(r.cursors, c)
	return nil
}

func (a *Answers) requester(address string) *requester {
	if a.cursors == nil {
		a.cursors = make(map[cursorKey]*Cursor)
		a.load = NewLoad(orUnbounded(a.MaxBytes), nil)
	}
	for _, r := range a.requesters {
		if r.address == address {
			return r
		}
	}
	r := &requester{address: address, load: NewLoad(orUnbounded(a.MaxPeerBytes), a.load), handed: make(map[partitionKey]uint64)}
	a.requesters = append(a.requesters, r)
	return r
}

func orUnbounded(bytes int64) int64 {
	if bytes == 0 {
		return math.MaxInt64
	}
	return bytes
}

// Serve gives each requester one turn: what is left of one run, to be sent to it. read finds the run that holds the
// cursor's next record; nil ends the answer, there is no such record. send sends records from..to-1 of the run and
// returns how many the requester had room for. done is told of each answer that ended.
//
// It returns whether a record was sent or an answer ended: if not although Len is not 0, no requester has room.
func (a *Answers) Serve(
	now time.Time,
	read func(*Cursor) *Run,
	send func(c *Cursor, run *Run, from, to int) int,
	done func(*Cursor),
) (moved bool) {
	offered, taken := false, false
	for _, r := range a.requesters {
		if len(r.handed) > 0 && r.load.Bytes() == 0 {
			clear(r.handed)
		}
		if len(r.cursors) == 0 {
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
		delete(a.cursors, cursorKey{c.Requester, c.Topic, c.Partition})
		done(c)
	}
	// Who has taken nothing yet of what it asked for is remembered: asking again gives it no more room.
	a.requesters = slices.DeleteFunc(a.requesters, func(r *requester) bool {
		return len(r.cursors) == 0 && r.load.Bytes() == 0
	})
	if offered {
		a.standstill.Offered(taken, now)
	}
	return moved
}

// Regardless says that answers are to be sent without a look at who has room; see Standstill.
func (a *Answers) Regardless(now time.Time) bool { return a.standstill.Regardless(now) }
