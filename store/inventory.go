package store

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/godafka/dafka/zmqwire"
)

// contents tallies the entries of a store: which partitions there are, and how far each is sound. Heads come before
// runs, in the order of keys, so all partitions whose heads can be read are known before the first run.
type contents struct {
	partitions map[string]*tally // by the beginning of its runs' keys
	ours       bool              // something of a Dafka store was seen
	strange    uint64            // keys that are not a Dafka store's
}

// tally is one partition's.
type tally struct {
	topic, address string
	records        uint64 // sound: from 0 up to it, without a hole
	known          uint64 // there were so many, says the head, or a run behind a hole
	marked         bool   // a crash may have left runs behind the head
	fault          string // the first thing wrong
}

func (c *contents) partition(key []byte) (*tally, error) {
	if t := c.partitions[string(key)]; t != nil {
		return t, nil
	}
	topic, address, err := splitHeadKey(key)
	if err != nil {
		return nil, err
	}
	if c.partitions == nil {
		c.partitions = make(map[string]*tally)
	}
	t := &tally{topic: string(topic), address: string(address)}
	c.partitions[string(key)] = t
	return t, nil
}

// head takes note of a partition's head. It returns nil when that is damaged.
func (c *contents) head(key, value []byte) error {
	runs := under(runPrefix, key)
	t, err := c.partition(runs)
	if err != nil {
		return err
	}
	records, err := decodeHead(key, value)
	if err != nil {
		t.fail("its head is damaged")
		return nil
	}
	t.known = max(t.known, records)
	return nil
}

// after is the first key behind key at which a known partition's runs may begin; nil when there is none.
func (c *contents) after(key []byte) (next []byte) {
	if bytes.Compare(key, []byte{runPrefix}) < 0 {
		return []byte{runPrefix}
	}
	for partition := range c.partitions {
		if partition > string(key) && (next == nil || partition < string(next)) {
			next = []byte(partition)
		}
	}
	return next
}

func (t *tally) fail(format string, args ...any) {
	if t.fault == "" {
		t.fault = fmt.Sprintf(format, args...)
	}
}

// lost is how many records are known of and not sound.
func (t *tally) lost() uint64 { return t.known - min(t.known, t.records) }

// keys are the partitions' in order.
func (c *contents) keys() []string {
	keys := make([]string, 0, len(c.partitions))
	for key := range c.partitions {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// inOrder gives the partitions in the order of topics and addresses.
func (c *contents) inOrder() []*tally {
	return slices.SortedFunc(maps.Values(c.partitions), func(a, b *tally) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.address, b.address))
	})
}

// run tallies a run. One that begins below the partition's end is as good as one that begins there: a record is the
// same in both.
func (c *contents) run(key, value []byte, stored *zmqwire.Run, keep func(topic, address string, content []byte) error) error {
	partition, first, err := splitRunKey(key)
	if err != nil {
		c.strange++
		return nil
	}
	t, err := c.partition(partition)
	if err != nil {
		c.strange++
		return nil
	}
	if err := decodeRun(key, value, stored); err != nil {
		t.known = max(t.known, first+1)
		return nil
	}
	c.ours = true
	t.known = max(t.known, stored.End())
	if first > t.records {
		return nil
	}
	for t.records < stored.End() {
		if keep != nil {
			if err := keep(t.topic, t.address, stored.Content(int(t.records-first))); err != nil {
				return err
			}
		}
		t.records++
	}
	return nil
}
