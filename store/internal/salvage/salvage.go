package salvage

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/block/blockkind"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/zmqwire"
)

// Reader reads the tables and logs of a store's folder one by one, without the manifest that makes a database of them.
//
// That is sound because a store deletes nothing and never changes a run: each run carries a checksum of its place and
// its contents, so that a run is right wherever it is found, in a table that the manifest forgot as well.
type Reader struct {
	Tables, Logs []string
	Fault        func(file string, err error) // hears what cannot be read; may hear of one file several times
	Enough       func() bool                  // asked after each fault, if not nil: whether to leave the table's rest
	Found        partdb.Inventory             // so far
	partdb.Steps
}

// New prepares to read the folder's files; what cannot be read is passed over, unless fault is set.
func New(f *partdb.Folder, progress func(done, total uint64)) (s *Reader, err error) {
	s = &Reader{Fault: func(string, error) {}}
	s.Steps.Report = progress
	if s.Tables, err = f.Files(partdb.IsTable); err != nil {
		return nil, err
	}
	if s.Logs, err = f.Files(partdb.IsLog); err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(s.Tables, s.Logs) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		s.Total += uint64(info.Size())
	}
	return s, nil
}

// entries are keys and values in the order of keys. Both are valid until the next step.
type entries = iter.Seq2[[]byte, []byte]

// all are the entries of all files in the order of keys. A key may come several times, once from each file that has it.
//
// The runs are not looked at before all heads are through: the partitions' names are what reading goes on with behind
// damage, also in a table whose heads were in another file.
func (s *Reader) all() entries {
	return func(yield func(key, value []byte) bool) {
		goesOn := true
		each := func(key, value []byte) bool {
			goesOn = yield(key, value)
			return goesOn
		}
		s.Between([]byte{}, []byte{partdb.RunPrefix})(each)
		if goesOn {
			s.Between([]byte{partdb.RunPrefix}, nil)(each)
		}
	}
}

// Between are the entries from one key on to below another, or to the end.
func (s *Reader) Between(lower, upper []byte) entries {
	return func(yield func(key, value []byte) bool) {
		var m merge
		defer func() {
			for _, p := range m {
				p.stop()
			}
		}()
		add := func(of entries) {
			p := &pulled{}
			p.next, p.stop = iter.Pull2(of)
			if p.step() {
				m = append(m, p)
			}
		}
		for _, path := range s.Tables {
			add(s.Table(path, lower, upper))
		}
		for _, path := range s.Logs {
			add(s.log(path, lower, upper))
		}
		heap.Init(&m)
		for len(m) > 0 {
			if !yield(m[0].key, m[0].value) {
				return
			}
			if m[0].step() {
				heap.Fix(&m, 0)
			} else {
				heap.Pop(&m)
			}
		}
	}
}

// pulled are entries at one of them.
type pulled struct {
	next       func() (key, value []byte, ok bool)
	stop       func()
	key, value []byte
}

func (p *pulled) step() (ok bool) {
	p.key, p.value, ok = p.next()
	return ok
}

// merge is a heap: the smallest key comes first.
type merge []*pulled

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return bytes.Compare(m[i].key, m[j].key) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*pulled)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// OpenTable opens a table by itself. Pebble may panic where a damaged length leads it astray.
func OpenTable(path string) (*sstable.Reader, error) {
	file, err := vfs.Default.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	options := &pebble.Options{}
	options.EnsureDefaults()
	return sstable.NewReader(context.Background(), readable, options.MakeReaderOptions()) // closes readable when it fails
}

// Table gives the entries of a table between two keys. A block that cannot be read is left out.
func (s *Reader) Table(path string, lower, upper []byte) entries {
	return func(yield func(key, value []byte) bool) {
		fault := func(err error) { s.Fault(filepath.Base(path), err) }
		var t *sstable.Reader
		err := partdb.Guard(func() (err error) {
			t, err = OpenTable(path)
			return err
		})
		if err != nil {
			fault(err)
			return
		}
		defer t.Close()
		var ends [][]byte
		err = partdb.Guard(func() (err error) {
			ends, err = blockEnds(t)
			return err
		})
		if err != nil {
			fault(err) // blocks can be read, but not passed over
		}
		records, err := t.NewIter(block.NoTransforms, lower, upper, sstable.AssertNoBlobHandles)
		if err != nil {
			fault(err)
			return
		}
		defer records.Close()

		// Pebble's positions are moved by functions that may panic, too.
		kv := records.First()
		move := func(how func()) error {
			kv = nil
			return cmp.Or(partdb.Guard(func() error { how(); return nil }), records.Error())
		}
		for from := lower; from != nil && (upper == nil || bytes.Compare(from, upper) < 0); {
			err := move(func() { kv = records.SeekGE(from, 0) })
			last, read := bytes.Clone(from), false
			for ; kv != nil; err = move(func() { kv = records.Next() }) {
				last, read = append(last[:0], kv.K.UserKey...), true
				if kind := kv.K.Kind(); kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindSetWithDelete {
					continue
				}
				value, _, err := kv.Value(nil)
				if err != nil {
					fault(err)
					continue
				}
				s.Step(uint64(len(last) + len(value)))
				if !yield(last, value) {
					return
				}
			}
			if err == nil {
				return
			}
			fault(err)
			if s.Enough != nil && s.Enough() {
				return
			}
			from = s.behind(ends, last, read)
		}
	}
}

// behind says where to go on in a table when what follows a key cannot be read, or, when that key was not read, what
// begins there. Where the ends of blocks are not known, it is at the next partition that is.
func (s *Reader) behind(ends [][]byte, last []byte, read bool) []byte {
	if len(ends) == 0 {
		return s.Found.After(last)
	}
	bad, _ := slices.BinarySearchFunc(ends, last, bytes.Compare)
	if read {
		bad++
	}
	if bad >= len(ends)-1 {
		return nil
	}
	return append(bytes.Clone(ends[bad]), 0)
}

// blockEnds gives for each block of a table a key that is not below its last and below the next block's first.
func blockEnds(t *sstable.Reader) (ends [][]byte, err error) {
	layout, err := t.Layout()
	if err != nil {
		return nil, err
	}
	for _, index := range layout.Index {
		data, err := t.BlockReader().Read(context.Background(), block.NoReadEnv, nil, index, blockkind.SSTableIndex,
			func(*block.Metadata, []byte) error { return nil })
		if err != nil {
			return nil, err
		}
		var i colblk.IndexIter
		if err := i.Init(t.Comparer, data.BlockData(), block.NoTransforms); err != nil {
			data.Release()
			return nil, err
		}
		for ok := i.First(); ok; ok = i.Next() {
			ends = append(ends, bytes.Clone(i.Separator()))
		}
		data.Release()
	}
	return ends, nil
}

// log gives the entries of a log between two keys. A commit that cannot be read is left out.
func (s *Reader) log(path string, lower, upper []byte) entries {
	return func(yield func(key, value []byte) bool) {
		type entry struct{ key, value []byte }
		var all []entry
		l, err := partdb.OpenLog(path)
		if err != nil {
			s.Fault(filepath.Base(path), err)
			return
		}
		r := l.Read(func(batch []byte) error {
			return EachSet(bytes.Clone(batch), func(key, value []byte) {
				if bytes.Compare(key, lower) >= 0 && (upper == nil || bytes.Compare(key, upper) < 0) {
					all = append(all, entry{key, value})
				}
			})
		})
		for _, fault := range r.Faults {
			s.Fault(filepath.Base(path), fault)
		}
		slices.SortStableFunc(all, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
		for _, e := range all {
			s.Step(uint64(len(e.key) + len(e.value)))
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

// EachSet gives the keys and values that a batch sets; they point into it.
func EachSet(batch []byte, set func(key, value []byte)) error {
	if len(batch) < batchrepr.HeaderLen {
		return fmt.Errorf("%w: a commit of %d bytes", partdb.ErrDamaged, len(batch))
	}
	for r := batchrepr.Read(batch); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if kind == pebble.InternalKeyKindSet {
			set(key, value)
		}
	}
}

// Tally reads all files, and gives keep each record that follows those which it has had of its partition, in order.
func (s *Reader) Tally(ctx context.Context, keep func(topic, address string, content []byte) error) error {
	c := &s.Found
	var stored zmqwire.Run
	for key, value := range s.all() {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case string(key) == partdb.VersionKey:
			c.Ours = true
			if !partdb.Readable(string(value)) {
				return &partdb.VersionError{Version: string(value)}
			}
		case len(key) > 0 && key[0] == partdb.HeadPrefix:
			if err := c.Head(key, value); err != nil {
				c.Strange++
				continue
			}
			c.Ours = true
		case len(key) > 0 && key[0] == partdb.RunPrefix:
			if err := c.Run(key, value, &stored, keep); err != nil {
				return err
			}
		case len(key) > 0 && key[0] == partdb.MarkPrefix:
			// The runs that it is about are read anyway.
		default:
			c.Strange++
		}
	}
	for _, t := range c.Partitions {
		if t.Records < t.Known {
			t.Fail("records %d to %d are missing", t.Records, t.Known-1)
		}
	}
	return nil
}
