package store

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

// tablePath is the path of a table's file.
func (d *database) tablePath(table *pebble.SSTableInfo) string {
	return filepath.Join(d.dir, fmt.Sprintf("%06d.sst", uint64(table.BackingSSTNum)))
}

// newTable begins a table for the lowest level, in a file that Pebble does not yet know.
func (d *database) newTable(path string) (*sstable.Writer, error) {
	file, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: tableSyncBytes})
	options := databaseOptions(d.log)
	options.EnsureDefaults()
	written := options.MakeWriterOptions(len(options.Levels)-1, d.pebble.TableFormat())
	return sstable.NewWriter(objstorageprovider.NewFileWritable(file), written), nil
}

// halfTable is what the files of such tables are called while they are written.
const halfTable = "table-%d.tmp"

// removeHalfTables removes the tables that were being written when the store was killed.
func removeHalfTables(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, strings.ReplaceAll(halfTable, "%d", "*")))
	for _, path := range left {
		os.Remove(path)
	}
}

// large says whether what is appended to a partition is enough for a table. Who does not sync has no use for one.
func (c *commits) large(a *appended) bool {
	return a.size() >= c.db.tableFrom && c.db.sync.Sync && !c.db.copying
}

// putTables puts into the database what is large enough for tables, of partitions that are marked, and says so in appends.
func (c *commits) putTables(appends []*appended) error {
	var paths []string
	defer func() {
		for _, path := range paths {
			c.db.fs.Remove(path) // Pebble has made it its own, or it is of no use
		}
	}()
	for _, a := range appends {
		c.key = appendPartition(c.key[:0], runPrefix, a.topic, a.address)
		if !c.marked[string(c.key)] || !c.large(a) {
			continue
		}
		path := c.db.fs.PathJoin(c.db.dir, fmt.Sprintf(halfTable, len(paths)))
		paths = append(paths, path)
		if err := c.writeTable(path, a); err != nil {
			return err
		}
		a.table = true
	}
	if len(paths) == 0 {
		return nil
	}
	err := c.db.pebble.Ingest(context.Background(), paths)
	if !pebble.IsCorruptionError(err) {
		return err
	}
	// Pebble looks for a place among the tables that are there, and could not read one. The log takes what comes all the
	// same, and the damaged table is for the mender.
	for _, a := range appends {
		if a.table {
			a.table = false
			c.db.suspect(appendRunKey(nil, a.topic, a.address, a.runs[0].First))
		}
	}
	return nil
}

// writeTable writes a partition's runs to a table, and returns when it is on disk.
func (c *commits) writeTable(path string, a *appended) error {
	table, err := c.db.newTable(path)
	if err != nil {
		return err
	}
	if err := writeRuns(a.topic, a.address, a.runs, table.Set); err != nil {
		table.Close()
		return err
	}
	return table.Close()
}

// writeRuns gives write a partition's runs, in memory that is used again for the next.
func writeRuns(topic, address string, runs []*zmqwire.Run, write func(key, value []byte) error) error {
	var key, value []byte
	for _, run := range runs {
		key = appendRunKey(key[:0], topic, address, run.First)
		value = slices.Grow(value[:0], runSize(run))[:runSize(run)]
		encodeRun(value, key, run)
		if err := write(key, value); err != nil {
			return err
		}
	}
	return nil
}

// mark adds to the batch that the partition's next commits may be tables.
func (c *commits) mark(a *appended) error {
	c.key = appendPartition(c.key[:0], markPrefix, a.topic, a.address)
	if err := c.batch.Set(c.key, nil, nil); err != nil {
		return err
	}
	c.key[0] = runPrefix
	c.marked[string(c.key)] = true
	return nil
}

// replaceTables puts one table in the place of all that the database holds from one key up to another, both included.
// fill writes what it is to hold, in the order of keys. Nothing may be committed meanwhile.
func (d *database) replaceTables(first, last []byte, fill func(write func(key, value []byte) error) error) error {
	return d.ground.attempt(func() error {
		path := d.fs.PathJoin(d.dir, fmt.Sprintf(halfTable, 0))
		table, err := d.newTable(path)
		if err != nil {
			return err
		}
		defer d.fs.Remove(path) // Pebble has made it its own, or it is of no use
		if err := errors.Join(fill(table.Set), table.Close()); err != nil {
			return err
		}
		span := pebble.KeyRange{Start: first, End: after(last)}
		_, err = d.pebble.IngestAndExcise(context.Background(), []string{path}, nil, nil, span)
		d.mended.Add(1)
		return err
	})
}

// completeHeads counts the runs that a crash left without a head, in a database that was just opened.
func (d *database) completeHeads() error {
	marks, err := d.iterate(markPrefix)
	if err != nil {
		return err
	}
	defer marks.Close()
	runs, err := d.iterate(runPrefix)
	if err != nil {
		return err
	}
	defer runs.Close()
	batch := d.pebble.NewBatch()
	defer batch.Close()
	for ok := marks.First(); ok; ok = marks.Next() {
		head, partition := under(headPrefix, marks.Key()), under(runPrefix, marks.Key())
		records, err := d.recordsAt(head)
		var last zmqwire.Run
		if err == nil {
			err = lastRun(runs, partition, &last)
		}
		if err != nil {
			d.suspect(binary.BigEndian.AppendUint64(partition, math.MaxUint64))
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
	return batch.Commit(d.sync)
}

// lastRun reads the last run of a partition, whose runs' keys begin so; an empty one when it has none.
func lastRun(runs *pebble.Iterator, partition []byte, run *zmqwire.Run) error {
	run.Reset(0)
	if !runs.SeekLT(behind(partition)) || !bytes.HasPrefix(runs.Key(), partition) {
		return runs.Error()
	}
	return readRun(runs, run)
}
