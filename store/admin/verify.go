package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/salvage"
	"github.com/godafka/dafka/zmqwire"
)

// Report is what was found in a store's folder.
type Report struct {
	Partitions []PartitionReport // in the order of topics and addresses
	Faults     []string          // what is wrong besides, file by file
	// Killed says that the store was not closed. Then the end of its log cannot be vouched for: a commit that was under
	// way and damage look alike there.
	Killed bool
}

// PartitionReport is what was found of one partition.
type PartitionReport struct {
	Topic, Partition string
	Records          uint64 // sound: from 0 up to it
	Lost             uint64 // further ones that are known of: they cannot be read, or lie behind a hole
	Fault            string // what is wrong; empty when nothing is
}

// partitionReports are of all partitions, in the order of topics and addresses.
func partitionReports(found *partdb.Inventory) (reports []PartitionReport) {
	for _, t := range found.InOrder() {
		reports = append(reports, PartitionReport{t.Topic, t.Address, t.Records, t.Lost(), t.Fault})
	}
	return reports
}

// Sound says that nothing is wrong.
func (r *Report) Sound() bool {
	return len(r.Faults) == 0 && !slices.ContainsFunc(r.Partitions, func(p PartitionReport) bool { return p.Fault != "" })
}

// Progress hears how far a long piece of work is, in units of its own. It is called often and must not wait.
type Progress func(done, total uint64)

// Verify checks the whole database of a store that does not run: every block and every run, each partition's records
// from 0 to its head without holes and overlaps, the end of the log, the manifest, and that no file holds records that
// the database has lost. It changes nothing in the folder. The error is of what could not be checked; what was found
// wrong is in the report.
func Verify(ctx context.Context, dir string, progress Progress) (*Report, error) {
	f, err := partdb.HoldFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer f.Release()
	report, err := verify(ctx, f, progress)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return report, nil
}

func verify(ctx context.Context, f *partdb.Folder, progress Progress) (*Report, error) {
	s, err := salvage.New(f, progress)
	if err != nil {
		return nil, err
	}
	v := &verification{Folder: f, ctx: ctx, Reader: s}
	s.Fault = v.fault
	s.Total *= 2 // once for the blocks, once for the records
	closed, faults, err := partdb.CheckSeal(f.Dir)
	if err == nil && !closed {
		faults, err = partdb.CheckKilled(f.Dir)
	}
	v.report.Killed, v.report.Faults = !closed, faults
	if err == nil {
		err = v.run()
	}
	if err = cmp.Or(err, v.hindered); err != nil {
		if remedy := partdb.Hindrance(err); remedy != "" {
			err = fmt.Errorf("database %s cannot be checked: %w; %s", f.Dir, err, remedy)
		}
		return nil, err
	}
	v.report.Partitions = partitionReports(&v.Found)
	v.Step(v.Total)
	return &v.report, nil
}

// verification is one under way.
type verification struct {
	*partdb.Folder
	*salvage.Reader
	ctx      context.Context // of one call, which this type does not outlive
	report   Report
	hindered error // an error that is no damage, and kept something from being read
	stored   zmqwire.Run
}

func (v *verification) fault(file string, err error) {
	if v.hindered == nil && partdb.Hindrance(err) != "" {
		v.hindered = err
	}
	text := partdb.OneLine(err)
	if !strings.Contains(text, file) {
		text = file + ": " + text
	}
	if !slices.Contains(v.report.Faults, text) {
		v.report.Faults = append(v.report.Faults, text)
	}
}

func (v *verification) run() error {
	if name, err := salvage.CheckManifest(v.Dir); err != nil {
		v.fault(name, err)
	}
	db, err := v.Open()
	var version *partdb.VersionError
	switch {
	case errors.As(err, &version):
		return err
	case err != nil:
		// What can be read without Pebble's help tells the operator what a repair would keep.
		v.fault("the database cannot be opened", err)
		return v.Tally(v.ctx, nil)
	}
	defer db.Pebble.Close()
	if err := v.checkTables(db); err != nil {
		return err
	}
	if err := v.checkRecords(db); err != nil {
		return err
	}
	if err := v.checkLogs(db); err != nil {
		return err
	}
	if len(v.report.Faults) == 0 {
		if err := db.Pebble.CheckLevels(nil); err != nil {
			v.fault("the tables contradict each other", err)
		}
	}
	return nil
}

// checkTables reads every block of every table, and looks for records in tables that the manifest does not name. Those
// are left when a store was killed as it wrote them, and hold nothing then that is not in the log, or that was acked; but
// a manifest that was cut short forgets tables too.
func (v *verification) checkTables(db *partdb.Database) error {
	levels, err := db.Pebble.SSTables()
	if err != nil {
		return err
	}
	named := make(map[string]bool)
	for _, level := range levels {
		for _, table := range level {
			named[filepath.Base(db.TablePath(&table))] = true
		}
	}
	for _, path := range v.Tables {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		name := filepath.Base(path)
		if !named[name] {
			unnamed := salvage.Reader{Fault: func(string, error) {}}
			for key, value := range unnamed.Table(path, []byte{}, nil) {
				v.compare(db, name, key, value)
			}
			continue
		}
		err := partdb.Guard(func() error {
			table, err := salvage.OpenTable(path)
			if err != nil {
				return err
			}
			defer table.Close()
			return table.ValidateBlockChecksums()
		})
		if err != nil {
			v.fault(name, err)
		}
		if info, err := os.Stat(path); err == nil {
			v.Step(uint64(info.Size()))
		}
	}
	return nil
}

// checkLogs reads the logs to their ends. The newest may end in the middle of something when the store was killed, and
// damage shows by what is behind it. An older one is damaged without harm when its contents have long been in tables:
// Pebble, which knows, has opened the database. But it passes over what looks like the end of a log.
func (v *verification) checkLogs(db *partdb.Database) error {
	for i, path := range v.Logs {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		name := filepath.Base(path)
		l, err := partdb.OpenLog(path)
		if err != nil {
			v.fault(name, err)
			continue
		}
		// A commit that Pebble passed over is one that the database lacks.
		r := l.Read(func(batch []byte) error {
			return salvage.EachSet(batch, func(key, value []byte) {
				v.Step(uint64(len(key) + len(value)))
				v.compare(db, name, key, value)
			})
		})
		if err := r.Damaged(i == len(v.Logs)-1); err != nil {
			v.fault(name, err)
		}
	}
	return nil
}

// compare looks for what a file holds in the database.
func (v *verification) compare(db *partdb.Database, file string, key, value []byte) {
	if len(key) == 0 || key[0] != partdb.RunPrefix || partdb.DecodeRun(key, value, &v.stored) != nil {
		return
	}
	got, closer, err := db.Pebble.Get(key)
	if err == nil {
		same := bytes.Equal(got, value)
		closer.Close()
		if same {
			return
		}
		err = errors.New("it has another run there")
	}
	partition, first, splitErr := partdb.SplitRunKey(key)
	if splitErr != nil || v.elsewhere(db, partition) || v.unfinished(db, partition, first) {
		return
	}
	t, splitErr := v.Found.Partition(partition)
	if splitErr != nil {
		return
	}
	t.Known = max(t.Known, v.stored.End())
	t.Fail("%s holds records %d to %d, and the database does not: %v", file, first, v.stored.End()-1, err)
}

// checkRecords walks through heads and runs.
func (v *verification) checkRecords(db *partdb.Database) error {
	heads, err := db.Iterate(partdb.HeadPrefix)
	if err != nil {
		return err
	}
	defer heads.Close()
	for ok := heads.First(); ok; ok = heads.Next() {
		if err := v.Found.Head(heads.Key(), heads.Value()); err != nil {
			v.fault("a head", err)
		}
	}
	if err := heads.Error(); err != nil {
		v.fault("heads", err)
	}

	marks, err := db.Iterate(partdb.MarkPrefix)
	if err != nil {
		return err
	}
	defer marks.Close()
	for ok := marks.First(); ok; ok = marks.Next() {
		t, err := v.Found.Partition(partdb.WithPrefix(partdb.RunPrefix, marks.Key()))
		if err != nil {
			v.fault("a mark", err)
			continue
		}
		t.Marked = true
	}
	if err := marks.Error(); err != nil {
		v.fault("marks", err)
	}

	runs, err := db.Iterate(partdb.RunPrefix)
	if err != nil {
		return err
	}
	defer runs.Close()
	// Each partition is sought by itself, so that what cannot be read in one does not hide the next.
	known := v.Found.Keys()
	for from := []byte{partdb.RunPrefix}; ; {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if !runs.SeekGE(from) {
			if runs.Error() == nil {
				break
			}
			i, _ := slices.BinarySearch(known, string(from))
			if i == len(known) {
				v.fault("runs", runs.Error())
				break
			}
			v.Found.Partitions[known[i]].Fail("no record can be read: %s", partdb.OneLine(runs.Error()))
			from = partdb.PrefixEnd([]byte(known[i]))
			continue
		}
		partition, _, err := partdb.SplitRunKey(runs.Key())
		var t *partdb.Tally
		if err == nil {
			partition = bytes.Clone(partition)
			t, err = v.Found.Partition(partition)
		}
		if err != nil {
			v.fault("a run", err)
			from = append(bytes.Clone(runs.Key()), 0)
			continue
		}
		v.checkPartition(t, partition, runs)
		from = partdb.PrefixEnd(partition)
	}
	for _, t := range v.Found.Partitions {
		switch {
		case t.Records < t.Known:
			t.Fail("its head says %d records", t.Known)
		case t.Known < t.Records && !(t.Marked && v.report.Killed):
			t.Fail("its head says %d records, and there are %d", t.Known, t.Records)
		}
	}
	return nil
}

// checkPartition reads the runs of one partition, from where the iterator stands.
func (v *verification) checkPartition(t *partdb.Tally, partition []byte, runs *pebble.Iterator) {
	whole := true // up to here
	bad := func(format string, args ...any) {
		whole = false
		t.Fail(format, args...)
	}
	end := t.Known // what the head says must be found again
	for ok := true; ok && bytes.HasPrefix(runs.Key(), partition) && v.ctx.Err() == nil; ok = runs.Next() {
		_, first, err := partdb.SplitRunKey(runs.Key())
		var value []byte
		if err == nil {
			value, err = runs.ValueAndErr()
		}
		if err == nil {
			v.Step(uint64(len(runs.Key()) + len(value)))
			err = partdb.DecodeRun(runs.Key(), value, &v.stored)
		}
		switch {
		case err != nil:
			bad("record %d: %s", first, partdb.OneLine(err))
			continue
		case whole && first > t.Records:
			bad("records %d to %d are missing", t.Records, first-1)
		case whole && first < t.Records:
			bad("record %d is there twice", first)
		}
		if whole {
			t.Records = v.stored.End()
		}
		end = max(end, v.stored.End())
	}
	if err := runs.Error(); err != nil {
		bad("record %d: %s", t.Records, partdb.OneLine(err))
	}
	if !whole {
		t.Known = end
	}
}

// elsewhere says that the database has all records of the run that was read last, in other runs: records that were given
// again, in the place of damaged ones, come in other pieces.
func (v *verification) elsewhere(db *partdb.Database, partition []byte) bool {
	topic, address, err := partdb.SplitHeadKey(partition)
	if err != nil {
		return false
	}
	f := partdb.Finder{DB: db}
	defer f.Close()
	for i := range v.stored.Len() {
		sequence := v.stored.First + uint64(i)
		run, err := f.Find(string(topic), string(address), sequence)
		if err != nil || run == nil || !bytes.Equal(run.Content(int(sequence-run.First)), v.stored.Content(i)) {
			return false
		}
	}
	return true
}

// unfinished says that a record may be one that the store was killed with before it was the database's: of a partition
// with a mark, behind its head.
func (v *verification) unfinished(db *partdb.Database, partition []byte, sequence uint64) bool {
	if !v.report.Killed {
		return false
	}
	_, closer, err := db.Pebble.Get(partdb.WithPrefix(partdb.MarkPrefix, partition))
	if err != nil {
		return false
	}
	closer.Close()
	records, err := db.RecordsAt(partdb.WithPrefix(partdb.HeadPrefix, partition))
	return err == nil && records <= sequence
}
