package consumer

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

const (
	// holeInterval is how often the partitions that do not go on are looked at.
	holeInterval = 250 * time.Millisecond
	// holeTold is when a log line says that records do not come.
	holeTold = 10 * time.Second
	// probePatience is how long a record that was asked for alone is waited for: as long as between two requests.
	probePatience = 4 * time.Second
)

// hole is a place where a partition does not go on: the next record is known to exist and nobody gives it. Under
// SkipAfter the first record behind it is searched for, one request after the other: with growing steps until one is
// answered, then halving what lies between the last that was not and the first that was.
type hole struct {
	at    uint64    // the record that does not come
	since time.Time // when that was seen
	told  bool      // by the log

	lost  uint64    // the last record that nobody gave
	step  uint64    // how far behind it the next one to ask for lies, until one was given
	probe uint64    // the record that was asked for
	asked time.Time // when; zero before the search
}

// lookForHoles looks at the partitions that do not go on. Those of a user who is slow do not count: nothing is asked for.
func (c *Consumer) lookForHoles(now time.Time) {
	if now.Before(c.nextLook) {
		return
	}
	c.nextLook = now.Add(holeInterval)
	slow := c.handover.held.Load() >= c.most/2
	for p, h := range c.holes {
		if slow || p.Next() != h.at || !p.lacks() || c.topics[p.Topic][p.Partition] != p {
			delete(c.holes, p)
		}
	}
	if slow {
		return
	}
	for o := range c.backlog.All() {
		if !o.Asked(o.Next()) {
			continue // first, for there may be many
		}
		p := c.topics[o.Topic][o.Partition]
		if p == nil || o != &p.Order || p.full || !p.lacks() {
			continue
		}
		h := c.holes[p]
		if h == nil {
			c.holes[p] = &hole{at: p.Next(), since: now}
			continue
		}
		if now.Sub(h.since) >= holeTold && !h.told {
			h.told = true
			c.log.Warn("records are known that nobody gives", "topic", p.Topic, "partition", p.Partition, "first", h.at,
				"known", p.Next()+p.Missing())
		}
		if c.skipAfter > 0 && now.Sub(h.since) >= c.skipAfter {
			c.search(p, h, now)
		}
	}
}

// search goes on with the search for the record behind a hole, and skips the hole when it is found.
func (c *Consumer) search(p *partition, h *hole, now time.Time) {
	first, given := p.FirstKept()
	switch {
	case h.asked.IsZero():
		h.lost, h.step = h.at, 1
	case given && first <= h.probe:
	case now.Sub(h.asked) < probePatience:
		return
	default:
		h.lost = h.probe
		h.step = 8 * min(h.step, 1<<60)
	}
	if given && first <= h.lost {
		h.lost = h.at // what was given up came after all
	}
	known := p.Next() + p.Missing()
	switch {
	case given && first-h.lost == 1:
		c.skip(p)
		return
	case given:
		h.probe = h.lost + (first-h.lost)/2
	case h.lost == known-1:
		c.giveUp(p)
		return
	default:
		h.probe = h.lost + min(h.step, known-1-h.lost)
	}
	h.asked = now
	p.Probe(h.probe)
	c.ask(&p.Order, h.probe, 1)
}

// skip gives up the records before the first that was given.
func (c *Consumer) skip(p *partition) {
	delete(c.holes, p)
	first, records := p.Next(), p.Skip()
	p.skipped += records
	c.skipped.Store(addUp(c.skipped.Load(), records))
	c.log.Warn("records skipped that nobody has", "topic", p.Topic, "partition", p.Partition, "first", first, "records", records)
	c.giveKept(p)
}

// giveUp forgets that there is more of a partition than was given. Whoever has it will tell of it.
func (c *Consumer) giveUp(p *partition) {
	delete(c.holes, p)
	c.log.Warn("records given up that nobody has", "topic", p.Topic, "partition", p.Partition, "first", p.Next(), "records", p.Missing())
	c.lost = addUp(c.lost, p.Missing())
	c.early -= int64(p.Forget())
	p.ends, p.end = true, p.Next()
}

// addUp is the sum, or the largest number where that is larger: heads may be anything.
func addUp(a, b uint64) uint64 { return a + min(b, math.MaxUint64-a) }

// lacks reports whether the partition's next record is known to exist, is not here, and is one to deliver.
func (p *partition) lacks() bool {
	kept, ok := p.FirstKept()
	return p.Behind() && p.Next() < p.stored && !p.givenUp() && !(ok && kept == p.Next())
}

// givenUp reports whether the partition's next record and all behind it were given up: claims of them change nothing.
func (p *partition) givenUp() bool { return p.ends && p.end == p.Next() }

// end is what the end is reached with.
func (c *Consumer) end() error {
	if c.lost > 0 {
		return fmt.Errorf("consumer: %w: the last %d", ErrLost, c.lost)
	}
	return io.EOF
}

// ask asks everyone who has a partition for some records of it.
func (c *Consumer) ask(o *flow.Order, first uint64, count uint32) {
	c.say(&zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(o.Partition), Address: []byte(c.Address()),
		Subject: []byte(o.Topic), Sequence: first, Count: count,
	})
}
