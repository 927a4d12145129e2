package partdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/zmqwire"
)

// Pebble writes everything twice, to its log and later to a table. Of a partition that grows as fast as it can, whole
// tables come in one commit, and these are written once: as a table that Pebble takes as it is.
//
// Such a table is in the database before the head that counts its records, which goes through the log. So a crash can
// leave a partition with more runs than its head says. It has a mark then: the first commit that is large enough to be a
// table goes through the log too, and brings the mark along. When the database is opened, the partitions with marks get
// the heads that their runs say.

// tableSyncBytes is after how many bytes of a table the disk begins to write them. Otherwise it would begin at the end.
const tableSyncBytes = 512 << 10

// TablePath is the path of a table's file.
func (d *Database) TablePath(table *pebble.SSTableInfo) string {
	return filepath.Join(d.dir, fmt.Sprintf("%06d.sst", uint64(table.BackingSSTNum)))
}

// newTable begins a table for the lowest level, in a file that Pebble does not yet know.
func (d *Database) newTable(path string) (*sstable.Writer, error) {
	file, err := d.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: tableSyncBytes})
	options := DatabaseOptions(d.Log)
	options.EnsureDefaults()
	written := options.MakeWriterOptions(len(options.Levels)-1, d.Pebble.TableFormat())
	return sstable.NewWriter(objstorageprovider.NewFileWritable(file), written), nil
}

// HalfTable is what the files of such tables are called while they are written.
const HalfTable = "table-%d.tmp"

// removeHalfTables removes the tables that were being written when the store was killed.
func removeHalfTables(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, strings.ReplaceAll(HalfTable, "%d", "*")))
	for _, path := range left {
		os.Remove(path)
	}
}

// large says whether what is appended to a partition is enough for a table. Who does not sync has no use for one.
func (c *Commits) large(a *Appended) bool {
	return a.size() >= c.db.TableFrom && c.db.Sync.Sync && !c.db.copying
}

// PutTables puts into the database what is large enough for tables, of partitions that are marked, and says so in appends.
func (c *Commits) PutTables(appends []*Appended) error {
	var paths []string
	defer func() {
		for _, path := range paths {
			c.db.FS.Remove(path) // Pebble has made it its own, or it is of no use
		}
	}()
	for _, a := range appends {
		c.key = AppendPartition(c.key[:0], RunPrefix, a.Topic, a.Address)
		if !c.marked[string(c.key)] || !c.large(a) {
			continue
		}
		path := c.db.FS.PathJoin(c.db.dir, fmt.Sprintf(HalfTable, len(paths)))
		paths = append(paths, path)
		if err := c.WriteTable(path, a); err != nil {
			return err
		}
		a.table = true
	}
	if len(paths) == 0 {
		return nil
	}
	err := c.db.Pebble.Ingest(context.Background(), paths)
	if !pebble.IsCorruptionError(err) {
		return err
	}
	// Pebble looks for a place among the tables that are there, and could not read one. The log takes what comes all the
	// same, and the damaged table is for the mender.
	for _, a := range appends {
		if a.table {
			a.table = false
			c.db.Suspect(AppendRunKey(nil, a.Topic, a.Address, a.Runs[0].First))
		}
	}
	return nil
}

// WriteTable writes a partition's runs to a table, and returns when it is on disk.
func (c *Commits) WriteTable(path string, a *Appended) error {
	table, err := c.db.newTable(path)
	if err != nil {
		return err
	}
	if err := WriteRuns(a.Topic, a.Address, a.Runs, table.Set); err != nil {
		table.Close()
		return err
	}
	return table.Close()
}

// WriteRuns gives write a partition's runs, in memory that is used again for the next.
func WriteRuns(topic, address string, runs []*zmqwire.Run, write func(key, value []byte) error) error {
	var key, value []byte
	for _, run := range runs {
		key = AppendRunKey(key[:0], topic, address, run.First)
		value = slices.Grow(value[:0], RunSize(run))[:RunSize(run)]
		EncodeRun(value, key, run)
		if err := write(key, value); err != nil {
			return err
		}
	}
	return nil
}

// mark adds to the batch that the partition's next commits may be tables.
func (c *Commits) mark(a *Appended) error {
	c.key = AppendPartition(c.key[:0], MarkPrefix, a.Topic, a.Address)
	if err := c.batch.Set(c.key, nil, nil); err != nil {
		return err
	}
	c.key[0] = RunPrefix
	c.marked[string(c.key)] = true
	return nil
}

// ReplaceTables puts one table in the place of all that the database holds from one key up to another, both included.
// fill writes what it is to hold, in the order of keys. Nothing may be committed meanwhile.
func (d *Database) ReplaceTables(first, last []byte, fill func(write func(key, value []byte) error) error) error {
	return d.Ground.Attempt(func() error {
		path := d.FS.PathJoin(d.dir, fmt.Sprintf(HalfTable, 0))
		table, err := d.newTable(path)
		if err != nil {
			return err
		}
		defer d.FS.Remove(path) // Pebble has made it its own, or it is of no use
		if err := errors.Join(fill(table.Set), table.Close()); err != nil {
			return err
		}
		span := pebble.KeyRange{Start: first, End: KeySuccessor(last)}
		_, err = d.Pebble.IngestAndExcise(context.Background(), []string{path}, nil, nil, span)
		d.mended.Add(1)
		return err
	})
}

// CompleteHeads counts the runs that a crash left without a head, in a database that was just opened.
func (d *Database) CompleteHeads() error {
	marks, err := d.Iterate(MarkPrefix)
	if err != nil {
		return err
	}
	defer marks.Close()
	runs, err := d.Iterate(RunPrefix)
	if err != nil {
		return err
	}
	defer runs.Close()
	batch := d.Pebble.NewBatch()
	defer batch.Close()
	for ok := marks.First(); ok; ok = marks.Next() {
		head, partition := WithPrefix(HeadPrefix, marks.Key()), WithPrefix(RunPrefix, marks.Key())
		records, err := d.RecordsAt(head)
		var last zmqwire.Run
		if err == nil {
			err = LastRun(runs, partition, &last)
		}
		if err != nil {
			d.Suspect(binary.BigEndian.AppendUint64(partition, math.MaxUint64))
			continue // with its mark
		}
		if last.End() > records {
			if err := batch.Set(head, binary.BigEndian.AppendUint64(nil, last.End()), nil); err != nil {
				return err
			}
		}
		if err := batch.Delete(marks.Key(), nil); err != nil {
			return err
		}
	}
	if err := marks.Error(); err != nil || batch.Empty() {
		return err
	}
	return batch.Commit(d.Sync)
}

// LastRun reads the last run of a partition, whose runs' keys begin so; an empty one when it has none.
func LastRun(runs *pebble.Iterator, partition []byte, run *zmqwire.Run) error {
	run.Reset(0)
	if !runs.SeekLT(PrefixEnd(partition)) || !bytes.HasPrefix(runs.Key(), partition) {
		return runs.Error()
	}
	return readRun(runs, run)
}
