package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/salvage"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

const (
	// mendPatience is how long other stores may give nothing of what a table lacks, mendAgain how soon it is tried again:
	// at first, and at last. To read what is damaged takes seconds, so that it is not done again for mendRest times as long.
	mendPatience   = 5 * time.Second
	mendAgain      = 10 * time.Second
	mendAgainLater = time.Minute
	mendRest       = 5
	// mendBytes and mendFaults bound what is replaced while the store runs, for nothing is committed meanwhile: the tables
	// that lie, wholly or in part, where the damaged one does, and the blocks in them that cannot be read, of which each
	// takes Pebble a second or more.
	mendBytes  = 512 << 20
	mendFaults = 8
)

// mender replaces damaged tables of the running database: by what can still be read of them, and by what other stores
// give of the rest.
//
// To write the records again would not do. Pebble looks for a key in all levels, so that a block which cannot be read
// also hides what lies near it in newer tables. So a table is replaced whole, in one step, when nothing of it is lacking
// any more. Until then nothing changes: what nobody can give is left for the operator, who may know of a backup.
type mender struct {
	db     *partdb.Database
	writer *writer
	log    *slog.Logger
	tried  map[string]attempt // by table
}

// attempt is one to mend a table that failed.
type attempt struct {
	wait time.Duration // before the next
	next time.Time
}

// loss is a damaged table, and what of its records cannot be read.
type loss struct {
	table        string // the file's name
	lower, upper []byte // its first key and its last
	gaps         []*gap
	took         time.Duration // to find out
	done         chan error    // capacity 1: how it ended
	ending       func() bool   // the store is to end

	// The writer's.
	left  int       // gaps that are not filled
	moved time.Time // when a record came last
	room  int       // how many bytes may still come
}

// gap is what is lacking of one partition, in one piece: the records from the first to the last that cannot be read.
type gap struct {
	flow.Order
	first, end uint64
	runs       []*zmqwire.Run // what came, from first up to Next
}

// stretch is what a table's keys span of one partition: its records from..to-1.
type stretch struct {
	topic, address string
	partition      []byte // what the keys of its runs begin with
	from, to       uint64
}

// run mends what is suspected, one table at a time, until ctx ends.
func (m *mender) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-m.db.Suspects:
			l, err := m.mend(ctx, key)
			switch {
			case err != nil && ctx.Err() == nil:
				wait := m.failed(l)
				m.log.Warn("a damaged table cannot be mended yet: it is tried again", "in", wait, "error", err.Error())
				time.AfterFunc(wait, func() { m.db.Suspect(key) })
			case l != nil && err == nil:
				m.log.Warn("a damaged table was replaced: nothing of it is lost", "table", l.table, "fetched", l.records())
			}
		}
	}
}

// failed notes that a table, if it was found, could not be mended, and returns how long to wait before it is tried again.
func (m *mender) failed(l *loss) time.Duration {
	if l == nil {
		return mendAgain
	}
	a := m.tried[l.table]
	a.wait = max(mendAgain, mendRest*l.took, min(2*a.wait, mendAgainLater))
	a.next = time.Now().Add(a.wait)
	m.tried[l.table] = a
	return a.wait
}

// mend finds the damaged table that holds a key and replaces it; nil when there is none, or it is too soon to try again.
func (m *mender) mend(ctx context.Context, key []byte) (l *loss, err error) {
	begin := time.Now()
	l, err = findLoss(m.db, key, func(table string) bool { return time.Now().Before(m.tried[table].next) })
	if l == nil || err != nil {
		return nil, err
	}
	l.ending = func() bool { return ctx.Err() != nil }
	defer func() {
		if err != nil {
			err = fmt.Errorf("table %s: %w", l.table, err)
		}
	}()
	l.gaps, err = l.walk(m.db, nil)
	if l.took = time.Since(begin); err != nil {
		return l, err
	}
	m.log.Warn("a table is damaged: what cannot be read of it is fetched from other stores",
		"table", l.table, "records", l.records(), "partitions", len(l.gaps))
	select {
	case m.writer.losses <- l:
		m.writer.node.Wake()
	case <-ctx.Done():
		return l, ctx.Err()
	}
	select {
	case err = <-l.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		delete(m.tried, l.table)
	}
	return l, err
}

// records is how many records are fetched.
func (l *loss) records() (records uint64) {
	for _, g := range l.gaps {
		records += g.end - g.first
	}
	return records
}

// findLoss reads the tables in which the record at a key may be, or for a head the tables of heads, which are small; but
// not those that leave says to leave alone. It gives the first that is damaged; nil when none is.
func findLoss(d *partdb.Database, key []byte, leave func(table string) bool) (*loss, error) {
	levels, err := d.Pebble.SSTables()
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		// A record's run begins at or below its key: in a table that spans it, or in the last one before.
		var before *pebble.SSTableInfo
		var candidates []*pebble.SSTableInfo
		for i := range level {
			switch table := &level[i]; {
			case table.Smallest.UserKey[0] != key[0]:
			case key[0] == partdb.HeadPrefix:
				candidates = append(candidates, table)
			case bytes.Compare(table.Smallest.UserKey, key) > 0:
			case bytes.Compare(table.Largest.UserKey, key) >= 0:
				candidates = append(candidates, table)
			case before == nil || bytes.Compare(table.Largest.UserKey, before.Largest.UserKey) > 0:
				before = table
			}
		}
		if before != nil {
			candidates = append(candidates, before)
		}
		for _, table := range candidates {
			name := filepath.Base(d.TablePath(table))
			if !leave(name) && tableDamaged(d, table) {
				return &loss{
					table: name,
					lower: bytes.Clone(table.Smallest.UserKey), upper: bytes.Clone(table.Largest.UserKey),
					room: 4*int(table.Size) + fetchBytes, done: make(chan error, 1),
				}, nil
			}
		}
	}
	return nil, nil
}

// tableDamaged reads a whole table, and reports whether something in it is damaged. A table that Pebble has removed
// meanwhile is not.
func tableDamaged(d *partdb.Database, table *pebble.SSTableInfo) bool {
	damaged, path := false, d.TablePath(table)
	s := salvage.Reader{
		Tables: []string{path},
		Fault:  func(string, error) { damaged = true },
		Enough: func() bool { return true },
	}
	var run zmqwire.Run
	for key, value := range s.Between(table.Smallest.UserKey, partdb.KeySuccessor(table.Largest.UserKey)) {
		if key[0] == partdb.RunPrefix && partdb.DecodeRun(key, value, &run) != nil {
			damaged = true
		}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return damaged
}

// walk goes in order through all that the table's keys span: what can be read, in whatever table, and what fills the
// gaps. write, if not nil, gets each key and value of a table that replaces it. What then is still lacking is returned.
func (l *loss) walk(d *partdb.Database, write func(key, value []byte) error) (lacking []*gap, err error) {
	if l.lower[0] == partdb.HeadPrefix {
		return nil, l.walkHeads(d, write)
	}
	stretches, err := l.stretches(d)
	if err != nil {
		return nil, err
	}
	faults := 0
	s := salvage.Reader{
		Fault:  func(string, error) { faults++ },
		Enough: func() bool { return faults > mendFaults || l.ending() },
	}
	for _, stretch := range stretches {
		if _, err := s.Found.Partition(stretch.partition); err != nil {
			return nil, err
		}
	}
	// What the heads say is in tables from here on, where it can be read table by table.
	if err := d.Pebble.Flush(); err != nil {
		return nil, err
	}
	levels, err := d.Pebble.SSTables()
	if err != nil {
		return nil, err
	}
	size := uint64(0)
	for _, level := range levels {
		for i := range level {
			table := &level[i]
			if bytes.Compare(table.Smallest.UserKey, l.upper) <= 0 && bytes.Compare(l.lower, table.Largest.UserKey) <= 0 {
				s.Tables = append(s.Tables, d.TablePath(table))
				size += table.Size
			}
		}
	}
	if size > mendBytes {
		return nil, fmt.Errorf("%d MiB would have to be replaced with it, and %d may be while the store runs", size>>20, mendBytes>>20)
	}
	next, stop := iter.Pull2(s.Between(l.lower, partdb.KeySuccessor(l.upper)))
	defer stop()
	key, value, more := next()
	for _, stretch := range stretches {
		f := &filling{stretch: stretch, at: stretch.from, gap: l.gap(stretch), write: write}
		var run zmqwire.Run
		for ; more && bytes.Compare(key, stretch.partition) < 0 && write == nil; key, value, more = next() {
			// A partition that has just begun.
		}
		for ; more && bytes.HasPrefix(key, stretch.partition); key, value, more = next() {
			if partdb.DecodeRun(key, value, &run) != nil {
				continue
			}
			if err := f.run(&run, key, value); err != nil {
				return nil, err
			}
		}
		if err := f.end(); err != nil {
			return nil, err
		}
		if f.lacking != nil {
			lacking = append(lacking, f.lacking)
		}
	}
	switch {
	case l.ending():
		return nil, errors.New("the store ends")
	case faults > mendFaults:
		return nil, fmt.Errorf("more than %d of its blocks cannot be read", mendFaults)
	case more && write != nil:
		return nil, fmt.Errorf("%w: run %q belongs to no partition", partdb.ErrDamaged, key)
	}
	return lacking, nil
}

// gap is what was fetched of a stretch, nil when nothing was.
func (l *loss) gap(s stretch) *gap {
	for _, g := range l.gaps {
		if g.Topic == s.topic && g.Partition == s.address {
			return g
		}
	}
	return nil
}

// stretches are what the table spans, as the heads and its neighbours have it: all of the partitions between its first
// and its last, the first one from the table's first record on, the last one up to the next table's.
func (l *loss) stretches(d *partdb.Database) (stretches []stretch, err error) {
	first, from, err := partdb.SplitRunKey(l.lower)
	if err != nil {
		return nil, err
	}
	last, _, err := partdb.SplitRunKey(l.upper)
	if err != nil {
		return nil, err
	}
	heads, err := d.Pebble.NewIter(&pebble.IterOptions{
		LowerBound: partdb.WithPrefix(partdb.HeadPrefix, first),
		UpperBound: partdb.KeySuccessor(partdb.WithPrefix(partdb.HeadPrefix, last)),
	})
	if err != nil {
		return nil, err
	}
	defer heads.Close()
	for ok := heads.First(); ok; ok = heads.Next() {
		topic, address, err := partdb.SplitHeadKey(heads.Key())
		if err != nil {
			return nil, err
		}
		s := stretch{
			topic: string(topic), address: string(address), partition: partdb.WithPrefix(partdb.RunPrefix, heads.Key()),
		}
		if s.to, err = partdb.DecodeHead(heads.Key(), heads.Value()); err != nil {
			return nil, err
		}
		if bytes.Equal(s.partition, first) {
			s.from = from
		}
		stretches = append(stretches, s)
	}
	if err := heads.Error(); err != nil {
		return nil, err
	}
	runs, err := d.Pebble.NewIter(&pebble.IterOptions{
		LowerBound: partdb.KeySuccessor(l.upper), UpperBound: partdb.PrefixEnd(last),
	})
	if err != nil {
		return nil, err
	}
	defer runs.Close()
	if n := len(stretches); n > 0 && bytes.Equal(stretches[n-1].partition, last) && runs.First() {
		if _, stretches[n-1].to, err = partdb.SplitRunKey(runs.Key()); err != nil {
			return nil, err
		}
	}
	return stretches, runs.Error()
}

// filling is one stretch on its way through walk.
type filling struct {
	stretch
	at      uint64 // records before it are there
	gap     *gap   // fetched; nil when there is none
	lacking *gap
	write   func(key, value []byte) error
}

// run takes the next run that can be read. One within the gap was fetched with it.
func (f *filling) run(run *zmqwire.Run, key, value []byte) error {
	if g := f.gap; g != nil && run.First < g.end && run.End() > g.first {
		return nil
	}
	if err := f.fill(run.First); err != nil || run.First < f.at {
		return err // a run that is there already
	}
	f.lack(run.First)
	f.at = run.End()
	if f.write == nil {
		return nil
	}
	return f.write(key, value)
}

// fill takes what was fetched, when its turn has come before that of the record at.
func (f *filling) fill(at uint64) error {
	g := f.gap
	if g == nil || f.at != g.first || at < g.end {
		return nil
	}
	f.at = g.end
	return partdb.WriteRuns(f.topic, f.address, g.runs, f.write)
}

// lack notes that the records up to another cannot be read.
func (f *filling) lack(to uint64) {
	if f.at >= to {
		return
	}
	if f.lacking == nil {
		f.lacking = &gap{Order: flow.NewOrder(f.topic, f.address, f.at), first: f.at}
	}
	f.lacking.end = to
	f.lacking.Saw(to - 1)
}

func (f *filling) end() error {
	if err := f.fill(f.to); err != nil {
		return err
	}
	if f.at > f.to && f.write != nil {
		return fmt.Errorf("%w: partition %q of topic %q has %d records, and its head says %d", partdb.ErrDamaged, f.address, f.topic, f.at, f.to)
	}
	f.lack(f.to)
	return nil
}

// walkHeads gives write the heads that the table's keys span, made again from the partitions' last runs.
func (l *loss) walkHeads(d *partdb.Database, write func(key, value []byte) error) error {
	if write == nil {
		return nil
	}
	upper := partdb.WithPrefix(partdb.RunPrefix, l.upper)
	runs, err := d.Pebble.NewIter(&pebble.IterOptions{
		LowerBound: partdb.WithPrefix(partdb.RunPrefix, l.lower), UpperBound: partdb.PrefixEnd(upper),
	})
	if err != nil {
		return err
	}
	defer runs.Close()
	var run zmqwire.Run
	for ok := runs.First(); ok; {
		partition, _, err := partdb.SplitRunKey(runs.Key())
		if err != nil {
			return err
		}
		partition = bytes.Clone(partition)
		if err = partdb.LastRun(runs, partition, &run); err == nil {
			err = write(partdb.WithPrefix(partdb.HeadPrefix, partition), binary.BigEndian.AppendUint64(nil, run.End()))
		}
		if err != nil {
			return err
		}
		ok = runs.SeekGE(partdb.PrefixEnd(partition))
	}
	return runs.Error()
}

// replace puts a new table in the place of a damaged one whose gaps are filled. Nothing may be committed meanwhile.
func (l *loss) replace(d *partdb.Database) error {
	return d.ReplaceTables(l.lower, l.upper, func(write func(key, value []byte) error) error {
		lacking, err := l.walk(d, write)
		if err == nil && len(lacking) > 0 {
			err = fmt.Errorf("%d more partitions lack records", len(lacking))
		}
		return err
	})
}

// beginMending begins to fetch what a damaged table lacks, if there is one.
func (w *writer) beginMending(now time.Time) {
	if w.loss != nil {
		return
	}
	select {
	case w.loss = <-w.losses:
	default:
		return
	}
	w.loss.moved = now
	for _, g := range w.loss.gaps {
		p, err := w.partition(&zmqwire.Message{Kind: zmqwire.Record, Subject: []byte(g.Topic), Address: []byte(g.Partition)})
		if err != nil {
			w.endMending(err)
			return
		}
		w.loss.left++
		p.gap = g
		w.backlog.Add(&g.Order)
	}
}

// mend takes a record that fills a gap.
func (w *writer) mend(g *gap, sequence uint64, content []byte) {
	l := w.loss
	if sequence != g.Next() || !g.Behind() || !g.Asked(sequence) {
		return
	}
	if l.room -= len(content) + zmqwire.RecordOverhead; l.room < 0 {
		w.endMending(errors.New("other stores give more than the table can have held"))
		return
	}
	if n := len(g.runs); n == 0 || g.runs[n-1].Full(len(content)) {
		g.runs = append(g.runs, &zmqwire.Run{First: sequence})
	}
	g.runs[len(g.runs)-1].Append(content)
	g.Took(len(content))
	l.moved = time.Now()
	if !g.Behind() {
		l.left--
	}
}

// endMending says how the mending of a table ended.
func (w *writer) endMending(err error) {
	for _, g := range w.loss.gaps {
		g.Forget()
		if p := w.partitions[string(partdb.AppendPartition(nil, partdb.HeadPrefix, g.Topic, g.Partition))]; p != nil {
			p.gap = nil
		}
		if err == nil {
			w.stats.mended.Add(g.end - g.first)
		}
	}
	w.loss.done <- err
	w.loss = nil
}
