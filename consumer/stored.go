package consumer

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

const (
	// heldLook is how often the records that wait for a store are looked at.
	heldLook = 250 * time.Millisecond
	// askPatience is how long a record waits for an ACK before the stores are asked for heads: the ACK may have been sent
	// before the consumer subscribed to it. A C store repeats none.
	askPatience = 500 * time.Millisecond
	// The stores are asked again after these times; a topic may have many heads.
	firstAskGap = time.Second
	lastAskGap  = 8 * time.Second
	// heldAtMost is how long a record waits in the consumer's memory. When a store has it later, it is fetched from there.
	heldAtMost = 30 * time.Second
	// maxAckTopics bounds the subscriptions to ACKs of single partitions: with more, the consumer subscribes to all ACKs.
	maxAckTopics = 1024
	// maxHolders bounds the stores that are told apart for each partition.
	maxHolders = 64
)

// storage is how a consumer under StoredOnly finds out what the stores have. A live record, and one that was fetched from
// a producer, is kept before its turn until a store's ACK or DIRECT-HEAD covers it.
type storage struct {
	only    bool
	stores  int                      // how many must have a record
	held    map[*partition]time.Time // the partitions with records that wait, and since when
	look    time.Time                // when to look at them again
	ask     time.Time                // not before it are stores asked
	gap     time.Duration            // after it they are asked again
	acks    map[string]int           // the subscriptions to ACKs: how many partitions have this address
	allAcks bool                     // there is one for all
}

// holders is how many records each store has of a partition. A store is the endpoint that its message came from, for no
// message names it. Its two halves send different messages, so these are counted apart.
type holders []holder

type holder struct {
	store   netip.AddrPort
	records uint64
}

// note notes that a store has so many records, and returns how many so many stores have.
func (h *holders) note(store netip.AddrPort, records uint64, stores int) uint64 {
	i := slices.IndexFunc(*h, func(h holder) bool { return h.store == store })
	switch {
	case i >= 0:
		(*h)[i].records = max((*h)[i].records, records)
	case len(*h) < maxHolders:
		*h = append(*h, holder{store, records})
	default:
		least := (*h)[len(*h)-1]
		if records <= least.records {
			break
		}
		(*h)[len(*h)-1] = holder{store, records}
	}
	slices.SortFunc(*h, func(a, b holder) int {
		switch {
		case a.records > b.records:
			return -1
		case a.records < b.records:
			return 1
		}
		return 0
	})
	if len(*h) < stores {
		return 0
	}
	return (*h)[stores-1].records
}

// storedAtFirst is how many records of a new partition may be delivered.
func (c *Consumer) storedAtFirst() uint64 {
	if c.storage.only {
		return 0
	}
	return math.MaxUint64
}

// hold notes that a record of the partition waits for a store.
func (c *Consumer) hold(p *partition) {
	s := &c.storage
	if _, ok := s.held[p]; ok {
		return
	}
	s.held[p] = time.Now()
	if p.listens || s.allAcks {
		return
	}
	p.listens = true
	if s.acks[p.Partition]++; s.acks[p.Partition] > 1 {
		return
	}
	ack := string(byte(zmqwire.Ack))
	if len(s.acks) > maxAckTopics {
		s.allAcks = true
	} else {
		ack += p.Partition
	}
	if err := c.node.Sub[0].Subscribe(ack); err != nil {
		c.node.Faults().Note(err)
	}
}

// unhold forgets a partition.
func (c *Consumer) unhold(p *partition) {
	s := &c.storage
	delete(s.held, p)
	if !p.listens {
		return
	}
	if s.acks[p.Partition]--; s.acks[p.Partition] > 0 {
		return
	}
	delete(s.acks, p.Partition)
	if err := c.node.Sub[0].Unsubscribe(string(byte(zmqwire.Ack)) + p.Partition); err != nil {
		c.node.Faults().Note(err)
	}
}

// confirm notes that the store which sent the message at hand has the partition's records up to sequence, and delivers
// what waited for that. It reports whether more records are stored than before.
func (c *Consumer) confirm(p *partition, by *holders, sequence uint64) (more bool) {
	s := &c.storage
	records := sequence + 1
	if !s.only || records == 0 {
		return false
	}
	if s.stores > 1 {
		store, _ := c.received.Source()
		records = by.note(store, records, s.stores)
	}
	if records <= p.stored {
		return false
	}
	p.stored = records
	p.Saw(records - 1)
	if !p.full {
		c.giveKept(p)
	}
	if _, held := s.held[p]; held {
		if p.Behind() {
			s.held[p] = time.Now()
		} else {
			delete(s.held, p)
		}
	}
	c.backlog.Add(&p.Order)
	return true
}

// lookAtHeld asks the stores for the heads of the topics whose records wait for long, and drops those that waited too
// long: they would take the place of others.
func (c *Consumer) lookAtHeld(now time.Time) {
	s := &c.storage
	if len(s.held) == 0 || now.Before(s.look) {
		return
	}
	s.look = now.Add(heldLook)
	topics, late := make(map[string]bool), false
	for p, since := range s.held {
		age := now.Sub(since)
		switch {
		case !p.Behind():
			delete(s.held, p)
		case age >= heldAtMost && !p.full:
			c.early -= int64(p.Forget())
			delete(s.held, p)
		case age >= askPatience:
			topics[p.Topic], late = true, true
		}
	}
	switch {
	case !late:
		s.gap = firstAskGap
	case !now.Before(s.ask):
		s.ask = now.Add(s.gap)
		s.gap = min(2*s.gap, lastAskGap)
		for topic := range topics {
			c.say(&zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(c.Address())})
		}
	}
}
