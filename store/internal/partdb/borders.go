package partdb

import (
	"bytes"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// OwnTableBytes is how much a partition has to grow by while a table fills up in memory to have tables of its own. What
// grows more slowly would make too many.
const OwnTableBytes = 2 << 20

// borders are where tables end. Where several partitions are in one table, the runs that they write next fall between
// those of the table, and Pebble writes all of them again, once or more at each level. In a table of its own, what a
// partition writes lies behind all that it has written before, and moves down as it is. So partitions that grow fast have
// such tables, and the others share. Heads, which change with every commit, are never in a table with runs.
//
// With 10 partitions and 4 GB, 1.5 GB are written again instead of 13.
type borders struct {
	mu    sync.Mutex
	grown map[string]int // since the last table was full, by what the keys of a partition's runs begin with
	bytes int            // of all
	fast  [][]byte       // the partitions with tables of their own, in order
}

// put counts what is written of a partition, whose runs' keys begin so.
func (b *borders) put(partition []byte, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grown == nil {
		b.grown = make(map[string]int)
	}
	b.grown[string(partition)] += bytes
	if b.bytes += bytes; b.bytes >= memTableBytes {
		b.draw()
	}
}

func (b *borders) draw() {
	b.fast = nil
	for partition, n := range b.grown {
		if n >= OwnTableBytes {
			b.fast = append(b.fast, []byte(partition))
		}
	}
	slices.SortFunc(b.fast, bytes.Compare)
	clear(b.grown)
	b.bytes = 0
}

// next is the first key that may not be in the same table as a key.
func (b *borders) next(key []byte) []byte {
	if key[0] != RunPrefix {
		return []byte{key[0] + 1}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearchFunc(b.fast, key, bytes.Compare)
	if i > 0 && bytes.HasPrefix(key, b.fast[i-1]) {
		return PrefixEnd(b.fast[i-1])
	}
	if i < len(b.fast) {
		return b.fast[i]
	}
	return []byte{RunPrefix + 1}
}

// policy is next as Pebble wants it.
func (b *borders) policy(key []byte) (pebble.SpanPolicy, []byte, error) {
	return pebble.SpanPolicy{}, b.next(key), nil
}
