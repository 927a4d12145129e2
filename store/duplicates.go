package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/zmqwire"
)

const (
	// compareGap is how long at least lies between two readings for the duplicates of one partition, and comparesAtOnce
	// how many readings there are in one round of the writer: who repeats records must not make the store read its disk.
	compareGap     = 10 * time.Millisecond
	comparesAtOnce = 8
)

// refusal is a producer whose live records are not those that the store has under their numbers. It has the address of
// an earlier producer. The store acks nothing to it, and takes nothing from it: a mixture of both would be nobody's
// partition. What other stores have of the partition is still fetched. The zero value refuses nobody.
type refusal struct {
	refused bool
	at      netip.AddrPort // where the producer publishes
}

// comparison compares live duplicates with what is stored.
type comparison struct {
	runs  partdb.Finder
	round int // readings in this round
	total int // and ever
}

// begin begins a round of the writer, and lets go of what the last readings kept open.
func (c *comparison) begin(now time.Time) {
	c.round = 0
	if c.runs.Records != nil && now.Sub(c.runs.Opened) > runsOpen {
		c.runs.Close()
	}
}

// differs reports whether the store has another content than this one under the sequence. It reports false when it is
// not to read the disk just now: duplicates that follow each other need few readings, one for each run of records.
func (c *comparison) differs(p *partition, sequence uint64, content []byte, now time.Time) bool {
	run := c.runs.Found
	if run == nil || c.runs.Topic != p.Topic || c.runs.Address != p.Partition || sequence < run.First || sequence >= run.End() {
		if c.round >= comparesAtOnce || now.Sub(p.compared) < compareGap {
			return false
		}
		c.round++
		c.total++
		p.compared = now
		var err error
		if run, err = c.runs.Find(p.Topic, p.Partition, sequence); err != nil || run == nil {
			return false // what is damaged is mended elsewhere
		}
	}
	return !bytes.Equal(run.Content(int(sequence-run.First)), content)
}

// refuses reports whether the live message received last comes from a producer whose records are refused. One that comes
// from elsewhere ends the refusal.
func (w *writer) refuses(p *partition) bool {
	if !p.refused {
		return false
	}
	if from, ok := w.received.Source(); ok && from != p.at {
		p.refusal = refusal{}
		return false
	}
	return true
}

// duplicate takes a live record that the store has: its ACK may have been lost, or it is another producer's.
func (w *writer) duplicate(p *partition, sequence uint64, content []byte) {
	w.stats.duplicates.Add(1)
	if sequence >= p.stored {
		return
	}
	if w.comparison.differs(p, sequence, content, w.now) {
		w.node.Faults().Note(fmt.Errorf("%w: topic %q, partition %q, sequence %d: no two producers may have one Address",
			ErrContent, p.Topic, p.Partition, sequence))
		// A C producer never has the address of another one. It may have given this store wrong contents before, when
		// the store asked for them; what it publishes is right.
		if !zmqwire.MadeInC(p.Partition) {
			from, _ := w.received.Source()
			p.refusal = refusal{true, from}
			return
		}
	}
	w.owe(p)
}
