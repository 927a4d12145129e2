package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/zmqwire"
)

// Record is one record with its place.
type Record struct {
	Topic, Partition string
	Sequence         uint64
	Content          []byte
}

// String is the record's place.
func (r *Record) String() string {
	return fmt.Sprintf("record %d of topic %q, partition %q", r.Sequence, r.Topic, r.Partition)
}

// ErrOther is wrapped by errors about a record that is to be added and is there already.
var ErrOther = errors.New("it is there already, with another content")

// Export gives each all records of a topic, one partition after the other, in order, while no store runs on the
// folder. A record is valid until each returns; an error of each's ends it. A topic that is not there is an error, and
// so is anything damaged.
func Export(ctx context.Context, dir, topic string, each func(*Record) error, progress Progress) error {
	f, err := partdb.HoldFolder(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Release()
	db, err := f.Open()
	if err != nil {
		return fmt.Errorf("store: %w", partdb.OpenError(dir, err))
	}
	defer db.Pebble.Close()
	if err := export(ctx, db, topic, each, progress); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func export(ctx context.Context, db *partdb.Database, topic string, each func(*Record) error, progress Progress) error {
	lower, upper := partdb.TopicBounds(topic)
	heads, err := db.Pebble.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer heads.Close()
	var s partdb.Steps
	s.Report = progress
	ok := heads.First()
	if !ok && heads.Error() == nil {
		return fmt.Errorf("there is no topic %q", topic)
	}
	for ; ok; ok = heads.Next() {
		records, err := partdb.DecodeHead(heads.Key(), heads.Value())
		if err != nil {
			return err
		}
		s.Total += records
	}
	for ok := heads.First(); ok; ok = heads.Next() {
		topic, address, err := partdb.SplitHeadKey(heads.Key())
		if err != nil {
			return err
		}
		r := Record{Topic: string(topic), Partition: string(address)}
		err = db.EachRecord(ctx, r.Topic, r.Partition, func(sequence uint64, content []byte) error {
			s.Step(1)
			r.Sequence, r.Content = sequence, content
			return each(&r)
		})
		if err != nil {
			return err
		}
	}
	return heads.Error()
}

// Importer appends records to the database of a store that does not run. They may come from several partitions at
// once; those of one partition come in order. What was added is on disk when Close has returned without an error.
type Importer struct {
	db   *partdb.Database
	fill *partdb.Filler
	run  zmqwire.Run // that was last read
	of   []byte      // the partition whose run it is
}

// OpenImporter opens the database; it is made when it is not there.
func OpenImporter(dir string) (*Importer, error) {
	if partdb.Locked(dir) {
		return nil, fmt.Errorf("store: database %s is %w: stop it first", dir, partdb.ErrInUse)
	}
	db, err := partdb.Open(dir, true, partdb.Quiet)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Importer{db: db, fill: partdb.NewFiller(db)}, nil
}

// Add appends a record and takes a copy of its content. One that is there already must be the same. Where the records
// before it are missing there is an error, for the records of a partition have no holes.
func (i *Importer) Add(r *Record) (added bool, err error) {
	if err := errors.Join(zmqwire.CheckName("topic", r.Topic), zmqwire.CheckName("partition", r.Partition)); err != nil {
		return false, err
	}
	records, err := i.fill.Records(r.Topic, r.Partition)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	switch {
	case r.Sequence > records:
		return false, fmt.Errorf("store: %v: the records before it are missing, from %d on", r, records)
	case r.Sequence == records:
		if err := i.fill.Append(r.Topic, r.Partition, r.Content); err != nil {
			return false, fmt.Errorf("store: %w", err)
		}
		return true, nil
	}
	content, err := i.content(r)
	if err != nil {
		return false, fmt.Errorf("store: %v: %w", r, err)
	}
	if !bytes.Equal(content, r.Content) {
		return false, fmt.Errorf("store: %v: %w", r, ErrOther)
	}
	return false, nil
}

// content reads a record that was added before. They are asked for in order, so its run has mostly been read.
func (i *Importer) content(r *Record) ([]byte, error) {
	partition := partdb.AppendPartition(nil, partdb.RunPrefix, r.Topic, r.Partition)
	if !bytes.Equal(partition, i.of) || r.Sequence < i.run.First || r.Sequence >= i.run.End() {
		if err := i.fill.Commit(); err != nil {
			return nil, err
		}
		i.of = nil
		runs, err := i.db.Pebble.NewIter(&pebble.IterOptions{LowerBound: partition, UpperBound: partdb.PrefixEnd(partition)})
		if err != nil {
			return nil, err
		}
		defer runs.Close()
		if !runs.SeekLT(partdb.AppendRunKey(nil, r.Topic, r.Partition, r.Sequence+1)) {
			return nil, errors.Join(runs.Error(), fmt.Errorf("%w: it is missing", partdb.ErrDamaged))
		}
		value, err := runs.ValueAndErr()
		if err == nil {
			err = partdb.DecodeRun(runs.Key(), bytes.Clone(value), &i.run)
		}
		if err != nil {
			return nil, err
		}
		if r.Sequence >= i.run.End() {
			return nil, fmt.Errorf("%w: it is missing", partdb.ErrDamaged)
		}
		i.of = partition
	}
	return i.run.Content(int(r.Sequence - i.run.First)), nil
}

// Close returns when all that was added is on disk.
func (i *Importer) Close() error {
	if err := errors.Join(i.fill.Close(), i.db.Close()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}
