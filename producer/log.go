package producer

import (
	"context"
	"slices"
	"sort"
	"sync"

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
	changed chan struct{}  // closed when acked or closed changes, or sent once closed; made by those who wait
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
