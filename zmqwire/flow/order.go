package flow

import (
	"github.com/godafka/dafka/zmqwire"
	"iter"
	"net/netip"
	"slices"
	"time"
)

const (
	// A block is what one FETCH asks for: so many records at most, and so many bytes as far as they can be told.
	blockRecords = 8192
	blockBytes   = 2 << 20

	// How long to wait for an answer before asking again; doubled after each silence.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 4 * time.Second

	// earlyRuns bounds the pieces in which early records lie, so that hostile orders cost no more than honest ones.
	earlyRuns = 1024
)

// Order puts the records of one partition in order: it knows which record is next, keeps those that came before their
// turn, and decides which to fetch, and when. It holds no socket and no clock.
//
// Invariant: everything before Next was taken once; everything kept lies at Next or beyond.
type Order struct {
	Topic     string
	Partition string
	From      netip.AddrPort // the peer that made it known: in a Backlog it takes that one's turns

	next  uint64
	known uint64        // the sequence after the highest record that is known, or claimed, to exist
	early []zmqwire.Run // ascending, without overlap

	asked   uint64        // records before it are on their way
	ever    uint64        // records before it were asked for once
	from    uint64        // where next stood when it was last seen to move, while an answer is awaited
	heard   time.Time     // when that was
	patient time.Duration // how long to wait from then
	size    int           // a record's usual size, once there was one

	list *Backlog // in which it stands
}

// NewOrder begins a partition with the record that is to come first.
func NewOrder(topic, partition string, next uint64) Order {
	return Order{Topic: topic, Partition: partition, next: next, known: next}
}

// Next is the sequence of the record whose turn it is.
func (o *Order) Next() uint64 { return o.next }

// Forget drops what is kept and what is wanted, and returns how many bytes that frees, as Keep counted them. The
// partition is of no interest any more, or begins anew with Restart.
func (o *Order) Forget() (freed int) {
	for i := range o.early {
		run := &o.early[i]
		for j := range run.Len() {
			if run.First+uint64(j) >= o.next {
				freed += len(run.Content(j)) + zmqwire.RecordOverhead
			}
		}
	}
	o.known, o.early, o.asked = o.next, nil, o.next
	return freed
}

// Restart begins the partition again with another record.
func (o *Order) Restart(next uint64) {
	o.next, o.known, o.asked, o.ever = next, next, next, 0
}

// Saw notes that a record exists, or is claimed to. The highest claim there can be is ignored: nothing can follow it.
func (o *Order) Saw(sequence uint64) {
	if sequence+1 > o.known {
		o.known = sequence + 1
	}
}

// Took notes that the next record, of so many bytes, was taken.
func (o *Order) Took(size int) {
	o.next++
	o.known = max(o.known, o.next)
	if o.size == 0 {
		o.size = size + 1
	} else {
		o.size += (size - o.size) / 8
	}
	if len(o.early) > 0 && o.early[0].End() <= o.next {
		o.early = slices.Delete(o.early, 0, 1)
	}
}

// Behind says that records are known to exist that were not taken.
func (o *Order) Behind() bool { return o.known > o.next }

// Missing is how many records are known to exist that were not taken.
func (o *Order) Missing() uint64 { return o.known - o.next }

// Asked says that the record was asked for, now or earlier: an answer may come late.
func (o *Order) Asked(sequence uint64) bool { return sequence < o.ever }

// Keep keeps a copy of a record that is not to be taken yet, and returns how many bytes it takes: 0 when it is kept
// already, or when the records kept lie in too many pieces, so that it will be fetched.
func (o *Order) Keep(sequence uint64, content []byte) int {
	if sequence < o.next || sequence == 1<<64-1 {
		return 0
	}
	o.Saw(sequence)
	i := len(o.early)
	for i > 0 && o.early[i-1].First > sequence {
		i--
	}
	// Run i-1 is the last that begins at or below the sequence.
	if i > 0 && sequence < o.early[i-1].End() {
		return 0
	}
	if i == 0 || o.early[i-1].End() != sequence || o.early[i-1].Full(len(content)) {
		if len(o.early) == earlyRuns && (i < len(o.early) || o.early[i-1].End() != sequence) {
			return 0
		}
		o.early = slices.Insert(o.early, i, zmqwire.Run{First: sequence})
		i++
	}
	run := &o.early[i-1]
	before := run.Size()
	run.Append(content)
	return run.Size() - before
}

// Kept gives the next record, when it came before its turn. It lives until Took.
func (o *Order) Kept() (content []byte, ok bool) {
	if len(o.early) == 0 || o.early[0].First > o.next {
		return nil, false
	}
	return o.early[0].Content(int(o.next - o.early[0].First)), true
}

// FirstKept is the first record that came before its turn.
func (o *Order) FirstKept() (sequence uint64, ok bool) {
	if len(o.early) == 0 {
		return 0, false
	}
	return o.early[0].First, true
}

// Probe notes that a record was asked for out of turn.
func (o *Order) Probe(sequence uint64) { o.ever = max(o.ever, sequence+1) }

// Skip gives up the records before the first that is kept, and returns how many those are.
func (o *Order) Skip() (records uint64) {
	first, ok := o.FirstKept()
	if !ok {
		return 0
	}
	records = first - o.next
	o.next, o.asked = first, max(o.asked, first)
	return records
}

// missingEnd is where the records to fetch end: at the first that is kept, else behind the last known.
func (o *Order) missingEnd() uint64 {
	if len(o.early) > 0 {
		return min(o.known, o.early[0].First)
	}
	return o.known
}

// lacks says that records are to be fetched: some are known that were neither taken nor kept.
func (o *Order) lacks() bool { return o.missingEnd() > o.next }

// ask decides what to ask for now, if anything: the records missing, block after block, the next block while the one
// before it is still arriving, and everything again from the next record on when nothing arrived for a while. Only
// what is known to exist is asked for: a C producer that is asked for more never comes back.
func (o *Order) ask(now time.Time) (first uint64, count uint32, ok bool) {
	o.asked = max(o.asked, o.next)
	end := o.missingEnd()
	if end <= o.next {
		o.asked = o.next
		return 0, 0, false
	}
	if o.from != o.next {
		o.from, o.heard, o.patient = o.next, now, firstRetry
	}
	block := uint64(blockRecords)
	if o.size > 0 {
		block = min(block, max(1, blockBytes/uint64(o.size)))
	} else {
		block = 64 // until a record has shown how large they are
	}
	switch inFlight := o.asked - o.next; {
	case inFlight == 0:
		o.heard, o.patient = now, firstRetry
	case now.Sub(o.heard) >= o.patient:
		o.asked = o.next
		o.heard, o.patient = now, min(2*o.patient, lastRetry)
	case inFlight > block:
		return 0, 0, false
	}
	first = o.asked
	if first >= end {
		return 0, 0, false
	}
	count = uint32(min(block, end-first))
	o.asked = first + uint64(count)
	o.ever = max(o.ever, o.asked)
	return first, count, true
}

// silent says that an answer is overdue.
func (o *Order) silent(now time.Time) bool { return o.hope(now) == silent }

// hope is what may be hoped of those who are asked.
type hope int

const (
	promising hope = iota // they answer, or were not asked yet
	awaited               // they were asked again and may answer
	silent                // an answer is overdue
)

func (o *Order) hope(now time.Time) hope {
	switch {
	case o.asked <= o.next || o.from != o.next:
		return promising
	case now.Sub(o.heard) >= o.patient:
		return silent
	case o.patient > firstRetry:
		return awaited
	}
	return promising
}

// backlogTurns is how many partitions fetch at the same time. The others wait: what is asked for all at once arrives
// all at once, and none of it sooner.
const backlogTurns = 32

// Backlog is the partitions of one node that lack records. Some of them fetch, the others wait for a turn; one that gets
// no answer gives its turn away, so that partitions nobody has left do not hold up those that somebody has. The peers that
// made them known take turns, so that what one of them makes up does not hold up what another tells of.
type Backlog struct {
	fetching []*Order // at most backlogTurns
	waiting  Turns[*Order]
}

// Add puts a partition into the backlog when it lacks records and is not yet there. It leaves another one, where it is counted
// until that is asked.
func (b *Backlog) Add(o *Order) {
	if o.list == b || !o.lacks() {
		return
	}
	o.list = b
	if len(b.fetching) < backlogTurns {
		b.fetching = append(b.fetching, o)
	} else {
		b.waiting.Push(o.From, o)
	}
}

// Came notes that whoever answers for a partition listens only now: what was asked before, it has not heard.
func (b *Backlog) Came(partition string) {
	for _, o := range b.fetching {
		if o.Partition == partition {
			o.asked = o.next
		}
	}
}

// All are the partitions that lack records, and some that lack none any more.
func (b *Backlog) All() iter.Seq[*Order] {
	return func(yield func(*Order) bool) {
		for _, o := range b.fetching {
			if !yield(o) {
				return
			}
		}
		b.waiting.All()(yield)
	}
}

// Len is the number of partitions that lack records.
func (b *Backlog) Len() int { return len(b.fetching) + b.waiting.Len() }

// Lacking tells how many partitions lack records that may still come, and how many lack what nobody gave for some
// seconds, though it was asked for again and again. It looks at each of them.
func (b *Backlog) Lacking() (hoped, unanswered int) {
	for o := range b.All() {
		switch {
		case !o.Behind():
		case o.from == o.next && o.patient == lastRetry:
			unanswered++
		default:
			hoped++
		}
	}
	return hoped, unanswered
}

// Ask calls fetch for what is to be asked for now, and returns when to call it again at the latest: after records have
// arrived it should be called at once. budget is how many bytes may be on their way at the same time.
func (b *Backlog) Ask(now time.Time, budget int, fetch func(o *Order, first uint64, count uint32)) time.Duration {
	// However many wait, they cost nothing: there may be a hundred thousand, and records arrive a thousand times a second.
	fetching := b.fetching[:0]
	for _, o := range b.fetching {
		switch {
		case o.list != b:
		case !o.lacks():
			o.list = nil
		case b.waiting.Len() > 0 && o.silent(now):
			b.waiting.Push(o.From, o)
		default:
			fetching = append(fetching, o)
		}
	}
	clear(b.fetching[len(fetching):])
	b.fetching = fetching
	for len(b.fetching) < backlogTurns && b.waiting.Len() > 0 {
		switch o, _ := b.waiting.Pop(); {
		case o.list != b:
		case o.lacks():
			b.fetching = append(b.fetching, o)
		default:
			o.list = nil
		}
	}
	// What was asked for in vain counts as on its way, and would use up the budget for ever. So those who get no answer
	// come last, and of them first who has waited longest.
	slices.SortStableFunc(b.fetching, func(x, y *Order) int {
		hope, other := x.hope(now), y.hope(now)
		if hope == silent && other == silent {
			return x.heard.Compare(y.heard)
		}
		return int(hope - other)
	})

	wait := lastRetry
	for _, o := range b.fetching {
		for budget > 0 {
			first, count, ok := o.ask(now)
			if !ok {
				break
			}
			fetch(o, first, count)
			if o.asked-o.next > uint64(count) {
				break
			}
		}
		budget -= int(min(o.asked-o.next, blockRecords*2)) * max(o.size, 1)
		// One that there was no budget to ask for again waits for what is on its way to the others.
		if o.asked > o.next && !o.silent(now) {
			wait = min(wait, o.patient-now.Sub(o.heard))
		}
	}
	return max(wait, time.Millisecond)
}
