package producer

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

// log is a producer's records from Send until they are acked. Send appends to it from any goroutine; the node's own
// goroutine reads what is to be sent, and drops what is acked.
//
//	runs:  [ acked | acked  sent | sent  unsent ]     acked <= sent <= next
//
// Records are appended to the last run until it is full, and a run goes when all of it is acked. What was handed out of
// a run stays as it is: appending never changes bytes before its end, and only the node's goroutine lets runs go.
type log struct {
	mu      sync.Mutex
	runs    []*zmqwire.Run
	spare   []*zmqwire.Run // empty ones, for the next records
	acked   uint64         // records before it are acked
	sent    uint64         // records before it were sent
	missed  uint64         // those of them that some peers have to ask for end here
	next    uint64         // the sequence of the next record
	bytes   int64          // that the runs take
	most    int64          // bound of bytes
	closed  error          // why no more records are taken; nil while they are
	overdue bool           // a record has waited for its ACK for longer than the timeout
	timeout time.Duration  // zero: records wait for ever
	marks   []mark         // when records were taken, ascending; empty without a timeout
	changed chan struct{}  // closed when acked or closed changes, or sent once closed; made by those who wait
}

// mark says that a record, and those after it until the next mark, were taken at a time or somewhat later.
type mark struct {
	sequence uint64
	at       time.Time
}

// marksEach is how many marks there are for each timeout.
const marksEach = 64

// marked notes when the next record is taken; mu is held.
func (l *log) marked() {
	if l.timeout == 0 {
		return
	}
	now := time.Now()
	if n := len(l.marks); n == 0 || now.Sub(l.marks[n-1].at) >= l.timeout/marksEach {
		l.marks = append(l.marks, mark{l.next, now})
	}
}

// look finds out whether a record has waited for too long for its ACK, and wakes those who wait when that has changed.
// It returns when to look again.
func (l *log) look(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timeout == 0 {
		return longWait
	}
	for len(l.marks) > 1 && l.marks[1].sequence <= l.acked {
		l.marks = l.marks[1:]
	}
	if l.acked == l.next {
		l.marks = nil
	}
	wait := longWait
	overdue := false
	if len(l.marks) > 0 {
		// Records are up to so much younger than their mark, and none is overdue too early.
		due := l.marks[0].at.Add(l.timeout + l.timeout/marksEach)
		overdue = !now.Before(due)
		wait = max(due.Sub(now), time.Millisecond)
	}
	if overdue {
		wait = longWait
	}
	if overdue != l.overdue {
		l.overdue = overdue
		l.tell()
	}
	return wait
}

// append adds a record and returns its sequence; false when there is no room.
func (l *log) append(content []byte) (uint64, bool) {
	size := int64(len(content)) + zmqwire.RecordOverhead
	// A record larger than the bound is taken alone: refusing it for ever would be no bound but a loss.
	if l.bytes+size > l.most && l.bytes > 0 {
		return 0, false
	}
	run := l.last()
	if run == nil || run.Full(len(content)) {
		run = l.add()
	}
	l.marked()
	run.Append(content)
	l.bytes += size
	l.next++
	return l.next - 1, true
}

func (l *log) last() *zmqwire.Run {
	if len(l.runs) == 0 {
		return nil
	}
	return l.runs[len(l.runs)-1]
}

func (l *log) add() *zmqwire.Run {
	run := &zmqwire.Run{}
	if n := len(l.spare); n > 0 {
		run, l.spare = l.spare[n-1], l.spare[:n-1]
	} else if last := l.last(); last != nil {
		// Who has filled one run fills another: it need not grow.
		run.Ends, run.Contents = make([]uint32, 0, len(last.Ends)), make([]byte, 0, zmqwire.RunBytes)
	}
	run.Reset(l.next)
	l.runs = append(l.runs, run)
	return run
}

// from gives the rest of the run that holds a sequence below end, as it is now; nil when there is no such record any
// more, or not yet. It lives until the node's goroutine calls ack.
func (l *log) from(sequence, end uint64) (run zmqwire.Run, first int) {
	if sequence >= end {
		return zmqwire.Run{}, 0
	}
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].End() > sequence })
	if i == len(l.runs) || l.runs[i].First > sequence {
		return zmqwire.Run{}, 0
	}
	run = *l.runs[i]
	if run.End() > end {
		run.Ends = run.Ends[:end-run.First]
		run.Contents = run.Contents[:run.Ends[len(run.Ends)-1]]
	}
	return run, int(sequence - run.First)
}

// unsent gives the next records to send: those of run from index first on.
func (l *log) unsent() (run zmqwire.Run, first int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from(l.sent, l.next)
}

// kept gives a record that was sent and is not acked, in its run.
func (l *log) kept(sequence uint64) (run zmqwire.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run, _ = l.from(sequence, l.sent)
	return run
}

// markSent notes that so many more records were sent.
func (l *log) markSent(records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent += uint64(records)
	if l.closed != nil {
		l.tell()
	}
}

// markMissed notes that so many more records will not be sent to everybody: who lacks them has to ask.
func (l *log) markMissed(records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed = l.sent + uint64(records)
}

// ack drops the first so many records, all of which were sent; those acked before change nothing.
func (l *log) ack(records uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if records <= l.acked {
		return
	}
	l.acked = records
	gone := 0
	for _, run := range l.runs {
		if run.End() > l.acked {
			break
		}
		gone++
		l.bytes -= int64(run.Size())
		// One that grew for a large record is not kept.
		if cap(run.Contents) <= 2*zmqwire.RunBytes {
			l.spare = append(l.spare, run)
		}
	}
	l.runs = slices.Delete(l.runs, 0, gone)
	l.tell()
}

// positions is where the log stands.
func (l *log) positions() (acked, sent, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked, l.sent, l.next
}

// tell wakes those who wait; mu is held.
func (l *log) tell() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// close refuses further records, because of reason, and wakes those who wait. The last reason counts.
func (l *log) close(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = reason
	l.tell()
}

// wait releases mu until something changed or ctx ends, and takes it again.
func (l *log) wait(ctx context.Context) error {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
