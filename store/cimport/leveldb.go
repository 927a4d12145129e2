package cimport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/zmqwire"
)

// What a C store's LevelDB database holds:
//
//	key                                        value
//	'H' topic NUL address NUL                  the sequence of the partition's last record (8)
//	'M' topic NUL address NUL sequence (8)     a record's content
//
// Sequences are big endian.
const (
	headOfC   = 'H'
	recordOfC = 'M'
)

// Import brings all records of a C store, which does not run, into the database of a store, which does not run
// either, and then compares them one by one, those of the C store's logs with the logs as well. The folder of the C store
// is not changed. What is there already must be the same. The error is of what kept the import from its end; where single
// partitions could not be brought in, or not whole, or the logs are damaged, the report says so.
func Import(ctx context.Context, from, dir string, progress admin.Progress) (*admin.Report, error) {
	report, err := importLevelDB(ctx, from, dir, progress)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return report, nil
}

func importLevelDB(ctx context.Context, from, dir string, progress admin.Progress) (*admin.Report, error) {
	if _, err := os.Stat(filepath.Join(from, "CURRENT")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s holds no C store's database: name one that does", from)
	}
	// LevelDB in C locks as Pebble does, and goleveldb in another way, which does not see it.
	lock, err := vfs.Default.Lock(filepath.Join(from, partdb.LockFile))
	if err != nil && partdb.IsHeld(err) {
		return nil, fmt.Errorf("the C store %s is %w: stop it first", from, partdb.ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("the C store %s cannot be locked: %w; %s", from, err, partdb.Hindrance(err))
	}
	defer lock.Close()
	old, logs, release, err := openLevelDB(from)
	if remedy := partdb.Hindrance(err); remedy != "" {
		return nil, fmt.Errorf("the C store %s cannot be opened: %w; %s", from, err, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("the C store %s cannot be opened: %w", from, err)
	}
	defer release()

	i := &importOfC{old: old, logs: logs, ctx: ctx}
	i.Report = progress
	if err := i.heads(); err != nil {
		return nil, fmt.Errorf("the C store %s: %w", from, err)
	}
	into, err := admin.OpenImporter(dir)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if err := errors.Join(i.records(into), into.Close()); err != nil {
		return nil, err
	}
	return i.compare(dir)
}

// importOfC is one under way.
type importOfC struct {
	partdb.Steps
	old   *leveldb.DB
	logs  *logsOfC
	ctx   context.Context  // of one call, which this type does not outlive
	found partdb.Inventory // by the beginning of the keys of C's records
}

// heads learns of all partitions, from the database and from the logs.
func (i *importOfC) heads() error {
	heads := i.old.NewIterator(util.BytesPrefix([]byte{headOfC}), nil)
	defer heads.Release()
	for heads.Next() {
		if err := i.head(heads.Key(), heads.Value()); err != nil {
			return err
		}
	}
	if err := heads.Error(); err != nil {
		return err
	}
	for key, value := range i.logs.values {
		if value != nil && key != "" && key[0] == headOfC {
			if err := i.head([]byte(key), value); err != nil {
				return err
			}
		}
	}
	if len(i.found.Partitions) == 0 {
		return errors.New("it holds no records of a Dafka store")
	}
	for _, t := range i.found.Partitions {
		i.Total += 2 * t.Known
	}
	return nil
}

func (i *importOfC) head(key, value []byte) error {
	t, err := i.found.Partition(partdb.WithPrefix(recordOfC, key))
	switch {
	case err != nil:
		return err
	case len(value) != partdb.SequenceSize:
		t.Fail("its head has %d bytes", len(value))
	default:
		t.Known = max(t.Known, binary.BigEndian.Uint64(value)+1)
	}
	return nil
}

// records brings them in, in the order of keys: topic, partition, sequence.
func (i *importOfC) records(into *admin.Importer) error {
	records := i.old.NewIterator(util.BytesPrefix([]byte{recordOfC}), nil)
	defer records.Release()
	for records.Next() {
		if err := i.ctx.Err(); err != nil {
			return err
		}
		key, sequence, err := partdb.SplitRunKey(records.Key())
		if err != nil {
			return err
		}
		t, err := i.found.Partition(key)
		if err != nil {
			return err
		}
		i.Step(1)
		if t.Known <= sequence {
			t.Known = sequence + 1
		}
		if sequence != t.Records {
			t.Fail("records %d to %d are missing", t.Records, sequence-1)
			continue
		}
		r := &admin.Record{Topic: t.Topic, Partition: t.Address, Sequence: sequence, Content: records.Value()}
		switch _, err := into.Add(r); {
		case errors.Is(err, admin.ErrOther), errors.Is(err, zmqwire.ErrName):
			t.Fail("%v", err)
			continue
		case err != nil:
			return err
		}
		t.Records++
	}
	for _, t := range i.found.Partitions {
		if t.Records < t.Known {
			t.Fail("records %d to %d are missing", t.Records, t.Known-1)
		}
	}
	return records.Error()
}

// compare reads both databases.
func (i *importOfC) compare(dir string) (*admin.Report, error) {
	f, err := partdb.HoldFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	db, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer db.Pebble.Close()
	for _, key := range i.found.Keys() {
		if err := i.comparePartition(db, []byte(key)); err != nil {
			return nil, err
		}
	}
	if err := i.compareLogs(db); err != nil {
		return nil, err
	}
	i.Step(i.Total)
	report := &admin.Report{Faults: i.logs.faults}
	for _, t := range i.found.InOrder() {
		report.Partitions = append(report.Partitions, admin.PartitionReport{
			Topic: t.Topic, Partition: t.Address, Records: t.Records, Lost: t.Lost(), Fault: t.Fault,
		})
	}
	return report, nil
}

// compareLogs looks in the store for each record that the C store's logs hold, as they were read by themselves: not by
// what replayed them for the import.
func (i *importOfC) compareLogs(db *partdb.Database) error {
	f := partdb.Finder{DB: db}
	defer f.Close()
	for _, key := range slices.Sorted(maps.Keys(i.logs.values)) {
		content := i.logs.values[key]
		if content == nil || key == "" || key[0] != recordOfC {
			continue
		}
		partition, sequence, err := partdb.SplitRunKey([]byte(key))
		if err != nil {
			return err
		}
		t, err := i.found.Partition(partition)
		if err != nil {
			return err
		}
		if t.Known = max(t.Known, sequence+1); sequence >= t.Records {
			t.Fail("records %d to %d are missing", t.Records, sequence)
			continue
		}
		run, err := f.Find(t.Topic, t.Address, sequence)
		if err != nil {
			return err
		}
		if run == nil || !bytes.Equal(run.Content(int(sequence-run.First)), content) {
			r := admin.Record{Topic: t.Topic, Partition: t.Address, Sequence: sequence}
			return fmt.Errorf("%v is not what the C store's log has: import into a new folder", &r)
		}
	}
	return nil
}

func (i *importOfC) comparePartition(db *partdb.Database, key []byte) error {
	t := i.found.Partitions[string(key)]
	records := i.old.NewIterator(util.BytesPrefix(key), nil)
	defer records.Release()
	compared := uint64(0)
	err := db.EachRecord(i.ctx, t.Topic, t.Address, func(sequence uint64, content []byte) error {
		if compared == t.Records {
			return nil // the store has more than C has
		}
		if !records.Next() || !bytes.Equal(records.Key(), binary.BigEndian.AppendUint64(key, sequence)) ||
			!bytes.Equal(records.Value(), content) {
			r := admin.Record{Topic: t.Topic, Partition: t.Address, Sequence: sequence}
			return fmt.Errorf("%v is not what the C store has: import into a new folder", &r)
		}
		compared++
		i.Step(1)
		return nil
	})
	if err == nil && compared < t.Records {
		err = fmt.Errorf("%w: topic %q, partition %q: record %d is not there", partdb.ErrDamaged, t.Topic, t.Address, compared)
	}
	return errors.Join(err, records.Error())
}
