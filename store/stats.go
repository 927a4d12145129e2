package store

import (
	"sync/atomic"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// Stats is what a store has done since it was opened, and how it stands.
type Stats struct {
	Records    uint64 // stored and acked
	Bytes      uint64 // of their contents
	Duplicates uint64 // records received again
	Commits    Latency
	Fetches    uint64 // requests for records
	Answered   uint64 // records sent to those who asked
	Damaged    uint64 // runs and heads that could not be read
	Mended     uint64 // records that other stores gave again, in the place of damaged ones

	PendingBytes int64 // received, and waiting for a commit to end; at 8 MiB the store lets producers wait
	EarlyBytes   int64 // received before their turn, because records before them are missing
	Behind       int   // partitions of which records are known to exist that are not here yet
	Unanswered   int   // and those whose missing records nobody gave for some seconds, though asked again and again
	// CaughtUp says that the other nodes were heard of and asked for what they have, and that in the last 10 seconds
	// there was a moment when the store lacked nothing of it but what Unanswered counts.
	CaughtUp bool

	Disk      Disk
	Towers    int // towers heard
	Peers     int // other nodes known
	Faults    map[zmqwire.Fault]uint64
	LastRound time.Time // when both of its goroutines had last gone round: they do so every second at least
}

// Latency is how long commits took, until the disk had them.
type Latency struct {
	Count  uint64
	Sum    time.Duration
	Within map[time.Duration]uint64 // how many took so long at most
}

// Disk is what the database takes of the disk, zero once the store was closed.
type Disk struct {
	Used      uint64 // by the database, its log included
	Log       uint64 // what is in the log only
	Debt      uint64 // how much compactions have yet to rewrite
	Free, All uint64 // of the disk
	Full      bool   // it has no room: nothing is stored and acked until it has
}

// Stats is a snapshot; some of it is up to a second old.
func (s *Store) Stats() Stats {
	c := &s.stats
	faults := s.writer.node.Faults().Counts()
	for reason, count := range s.reader.node.Faults().Counts() {
		faults[reason] += count
	}
	return Stats{
		Records: c.records.Load(), Bytes: c.bytes.Load(), Duplicates: c.duplicates.Load(), Commits: c.commits.read(),
		Fetches: c.fetches.Load(), Answered: c.answered.Load(), Damaged: c.damaged.Load(), Mended: c.mended.Load(),
		PendingBytes: c.pending.Load(), EarlyBytes: c.early.Load(),
		Behind: int(c.behind.Load()), Unanswered: int(c.unanswered.Load()), CaughtUp: c.caughtUp.is(time.Now()),
		Disk: Disk(s.db.Usage()), Towers: s.Connected(), Peers: s.writer.node.Peers(), Faults: faults,
		LastRound: earlier(c.writing.Get(), c.reading.Get()),
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// counters are what the store's goroutines leave for Stats.
type counters struct {
	records, bytes, duplicates, fetches, answered, damaged, mended atomic.Uint64
	pending, early, behind, unanswered                             atomic.Int64
	writing, reading                                               flow.Moment // when the goroutines last went round
	commits                                                        latency
	caughtUp                                                       caughtUp
}

// withins are the times of which Latency tells.
var withins = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// latency counts how long something took.
type latency struct {
	counts [len(withins) + 1]atomic.Uint64 // the last is of all that took longer
	sum    atomic.Int64
}

func (l *latency) add(took time.Duration) {
	i := 0
	for i < len(withins) && took > withins[i] {
		i++
	}
	l.counts[i].Add(1)
	l.sum.Add(int64(took))
}

func (l *latency) read() Latency {
	read := Latency{Sum: time.Duration(l.sum.Load()), Within: make(map[time.Duration]uint64, len(withins))}
	for i := range l.counts {
		read.Count += l.counts[i].Load()
		if i < len(withins) {
			read.Within[withins[i]] = read.Count
		}
	}
	return read
}

const (
	// calmLooks is at how many looks in a row nothing may be missing or new until the store has caught up: what other
	// stores tell of when asked comes at once, and not all in one message.
	calmLooks = 2
	// lackingFor is for how long something may be missing until it has not any more. Under load something is lost, and
	// fetched, now and then.
	lackingFor = 10 * time.Second
)

// caughtUp decides whether a store has all that it knows of, from what the writer sees when it looks every second.
type caughtUp struct {
	calm int
	at   flow.Moment // when it last had all
}

// look notes whether something is missing, or about to be heard of.
func (c *caughtUp) look(now time.Time, lacking bool) {
	c.calm++
	if lacking {
		c.calm = 0
	}
	if c.calm >= calmLooks {
		c.at.Set(now)
	}
}

func (c *caughtUp) is(now time.Time) bool { return now.Sub(c.at.Get()) < lackingFor }
