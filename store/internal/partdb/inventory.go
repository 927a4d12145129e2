package partdb

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/godafka/dafka/zmqwire"
)

// Inventory tallies the entries of a store: which partitions there are, and how far each is sound. Heads come before
// runs, in the order of keys, so all partitions whose heads can be read are known before the first run.
type Inventory struct {
	Partitions map[string]*Tally // by the beginning of its runs' keys
	Ours       bool              // something of a Dafka store was seen
	Strange    uint64            // keys that are not a Dafka store's
}

// Tally is one partition's.
type Tally struct {
	Topic, Address string
	Records        uint64 // sound: from 0 up to it, without a hole
	Known          uint64 // there were so many, says the head, or a run behind a hole
	Marked         bool   // a crash may have left runs behind the head
	Fault          string // the first thing wrong
}

func (c *Inventory) Partition(key []byte) (*Tally, error) {
	if t := c.Partitions[string(key)]; t != nil {
		return t, nil
	}
	topic, address, err := SplitHeadKey(key)
	if err != nil {
		return nil, err
	}
	if c.Partitions == nil {
		c.Partitions = make(map[string]*Tally)
	}
	t := &Tally{Topic: string(topic), Address: string(address)}
	c.Partitions[string(key)] = t
	return t, nil
}

// Head takes note of a partition's head. It returns nil when that is damaged.
func (c *Inventory) Head(key, value []byte) error {
	runs := WithPrefix(RunPrefix, key)
	t, err := c.Partition(runs)
	if err != nil {
		return err
	}
	records, err := DecodeHead(key, value)
	if err != nil {
		t.Fail("its head is damaged")
		return nil
	}
	t.Known = max(t.Known, records)
	return nil
}

// After is the first key behind key at which a known partition's runs may begin; nil when there is none.
func (c *Inventory) After(key []byte) (next []byte) {
	if bytes.Compare(key, []byte{RunPrefix}) < 0 {
		return []byte{RunPrefix}
	}
	for partition := range c.Partitions {
		if partition > string(key) && (next == nil || partition < string(next)) {
			next = []byte(partition)
		}
	}
	return next
}

func (t *Tally) Fail(format string, args ...any) {
	if t.Fault == "" {
		t.Fault = fmt.Sprintf(format, args...)
	}
}

// Lost is how many records are known of and not sound.
func (t *Tally) Lost() uint64 { return t.Known - min(t.Known, t.Records) }

// Keys are the partitions' in order.
func (c *Inventory) Keys() []string {
	keys := make([]string, 0, len(c.Partitions))
	for key := range c.Partitions {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// InOrder gives the partitions in the order of topics and addresses.
func (c *Inventory) InOrder() []*Tally {
	return slices.SortedFunc(maps.Values(c.Partitions), func(a, b *Tally) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Address, b.Address))
	})
}

// Run tallies a run. One that begins below the partition's end is as good as one that begins there: a record is the
// same in both.
func (c *Inventory) Run(key, value []byte, stored *zmqwire.Run, keep func(topic, address string, content []byte) error) error {
	partition, first, err := SplitRunKey(key)
	if err != nil {
		c.Strange++
		return nil
	}
	t, err := c.Partition(partition)
	if err != nil {
		c.Strange++
		return nil
	}
	if err := DecodeRun(key, value, stored); err != nil {
		t.Known = max(t.Known, first+1)
		return nil
	}
	c.Ours = true
	t.Known = max(t.Known, stored.End())
	if first > t.Records {
		return nil
	}
	for t.Records < stored.End() {
		if keep != nil {
			if err := keep(t.Topic, t.Address, stored.Content(int(t.Records-first))); err != nil {
				return err
			}
		}
		t.Records++
	}
	return nil
}
