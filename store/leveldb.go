package store

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

// ImportLevelDB brings all records of a C store, which does not run, into the database of a store, which does not run
// either, and then compares them one by one, those of the C store's logs with the logs as well. The folder of the C store
// is not changed. What is there already must be the same. The error is of what kept the import from its end; where single
// partitions could not be brought in, or not whole, or the logs are damaged, the report says so.
func ImportLevelDB(ctx context.Context, from, dir string, progress Progress) (*Report, error) {
	report, err := importLevelDB(ctx, from, dir, progress)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return report, nil
}

func importLevelDB(ctx context.Context, from, dir string, progress Progress) (*Report, error) {
	if _, err := os.Stat(filepath.Join(from, "CURRENT")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s holds no C store's database: name one that does", from)
	}
	// LevelDB in C locks as Pebble does, and goleveldb in another way, which does not see it.
	lock, err := vfs.Default.Lock(filepath.Join(from, lockFile))
	if err != nil && isHeld(err) {
		return nil, fmt.Errorf("the C store %s is %w: stop it first", from, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("the C store %s cannot be locked: %w; %s", from, err, hindrance(err))
	}
	defer lock.Close()
	old, logs, release, err := openLevelDB(from)
	if remedy := hindrance(err); remedy != "" {
		return nil, fmt.Errorf("the C store %s cannot be opened: %w; %s", from, err, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("the C store %s cannot be opened: %w", from, err)
	}
	defer release()

	i := &importOfC{old: old, logs: logs, ctx: ctx}
	i.report = progress
	if err := i.heads(); err != nil {
		return nil, fmt.Errorf("the C store %s: %w", from, err)
	}
	into, err := OpenImporter(dir)
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
	steps
	old   *leveldb.DB
	logs  *logsOfC
	ctx   context.Context // of one call, which this type does not outlive
	found contents        // by the beginning of the keys of C's records
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
	if len(i.found.partitions) == 0 {
		return errors.New("it holds no records of a Dafka store")
	}
	for _, t := range i.found.partitions {
		i.total += 2 * t.known
	}
	return nil
}

func (i *importOfC) head(key, value []byte) error {
	t, err := i.found.partition(under(recordOfC, key))
	switch {
	case err != nil:
		return err
	case len(value) != sequenceSize:
		t.fail("its head has %d bytes", len(value))
	default:
		t.known = max(t.known, binary.BigEndian.Uint64(value)+1)
	}
	return nil
}

// records brings them in, in the order of keys: topic, partition, sequence.
func (i *importOfC) records(into *Importer) error {
	records := i.old.NewIterator(util.BytesPrefix([]byte{recordOfC}), nil)
	defer records.Release()
	for records.Next() {
		if err := i.ctx.Err(); err != nil {
			return err
		}
		key, sequence, err := splitRunKey(records.Key())
		if err != nil {
			return err
		}
		t, err := i.found.partition(key)
		if err != nil {
			return err
		}
		i.step(1)
		if t.known <= sequence {
			t.known = sequence + 1
		}
		if sequence != t.records {
			t.fail("records %d to %d are missing", t.records, sequence-1)
			continue
		}
		r := &Record{Topic: t.topic, Partition: t.address, Sequence: sequence, Content: records.Value()}
		switch _, err := into.Add(r); {
		case errors.Is(err, ErrOther), errors.Is(err, zmqwire.ErrName):
			t.fail("%v", err)
			continue
		case err != nil:
			return err
		}
		t.records++
	}
	for _, t := range i.found.partitions {
		if t.records < t.known {
			t.fail("records %d to %d are missing", t.records, t.known-1)
		}
	}
	return records.Error()
}

// compare reads both databases.
func (i *importOfC) compare(dir string) (*Report, error) {
	f, err := holdFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.release()
	db, err := f.open()
	if err != nil {
		return nil, err
	}
	defer db.pebble.Close()
	for _, key := range i.found.keys() {
		if err := i.comparePartition(db, []byte(key)); err != nil {
			return nil, err
		}
	}
	if err := i.compareLogs(db); err != nil {
		return nil, err
	}
	i.step(i.total)
	report := &Report{Faults: i.logs.faults}
	for _, t := range i.found.inOrder() {
		report.Partitions = append(report.Partitions, PartitionReport{
			Topic: t.topic, Partition: t.address, Records: t.records, Lost: t.lost(), Fault: t.fault,
		})
	}
	return report, nil
}

// compareLogs looks in the store for each record that the C store's logs hold, as they were read by themselves: not by
// what replayed them for the import.
func (i *importOfC) compareLogs(db *database) error {
	f := finder{db: db}
	defer f.close()
	for _, key := range slices.Sorted(maps.Keys(i.logs.values)) {
		content := i.logs.values[key]
		if content == nil || key == "" || key[0] != recordOfC {
			continue
		}
		partition, sequence, err := splitRunKey([]byte(key))
		if err != nil {
			return err
		}
		t, err := i.found.partition(partition)
		if err != nil {
			return err
		}
		if t.known = max(t.known, sequence+1); sequence >= t.records {
			t.fail("records %d to %d are missing", t.records, sequence)
			continue
		}
		run, err := f.find(t.topic, t.address, sequence)
		if err != nil {
			return err
		}
		if run == nil || !bytes.Equal(run.Content(int(sequence-run.First)), content) {
			r := Record{Topic: t.topic, Partition: t.address, Sequence: sequence}
			return fmt.Errorf("%v is not what the C store's log has: import into a new folder", &r)
		}
	}
	return nil
}

func (i *importOfC) comparePartition(db *database, key []byte) error {
	t := i.found.partitions[string(key)]
	records := i.old.NewIterator(util.BytesPrefix(key), nil)
	defer records.Release()
	compared := uint64(0)
	err := db.eachRecord(i.ctx, t.topic, t.address, func(sequence uint64, content []byte) error {
		if compared == t.records {
			return nil // the store has more than C has
		}
		if !records.Next() || !bytes.Equal(records.Key(), binary.BigEndian.AppendUint64(key, sequence)) ||
			!bytes.Equal(records.Value(), content) {
			r := Record{Topic: t.topic, Partition: t.address, Sequence: sequence}
			return fmt.Errorf("%v is not what the C store has: import into a new folder", &r)
		}
		compared++
		i.step(1)
		return nil
	})
	if err == nil && compared < t.records {
		err = fmt.Errorf("%w: topic %q, partition %q: record %d is not there", ErrDamaged, t.topic, t.address, compared)
	}
	return errors.Join(err, records.Error())
}
