package partdb

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

// Filler appends records to partitions of a database on which no store runs. What it appended is on disk when close
// has returned without an error; before, some of each partition's first may be.
type Filler struct {
	db      *Database
	commits *Commits
	next    map[string]uint64    // of each partition, by the beginning of its keys: how many records it has
	pending map[string]*Appended // to be committed
	bytes   int
	failed  bool // a commit has, and no other is tried
	key     []byte
}

// NewFiller fills a database that was opened without syncs: one at the end is enough.
func NewFiller(db *Database) *Filler {
	return &Filler{
		db: db, commits: db.NewCommits(),
		next: make(map[string]uint64), pending: make(map[string]*Appended),
	}
}

// Records is how many records a partition has, with those that were appended.
func (f *Filler) Records(topic, address string) (uint64, error) {
	f.key = AppendPartition(f.key[:0], HeadPrefix, topic, address)
	if records, ok := f.next[string(f.key)]; ok {
		return records, nil
	}
	records, err := f.db.Records(topic, address)
	if err != nil {
		return 0, err
	}
	f.next[string(f.key)] = records
	return records, nil
}

// Append adds a copy of content as a partition's next record.
func (f *Filler) Append(topic, address string, content []byte) error {
	records, err := f.Records(topic, address)
	if err != nil {
		return err
	}
	a := f.pending[string(f.key)]
	if a == nil {
		a = &Appended{Topic: topic, Address: address}
		f.pending[string(f.key)] = a
	}
	if n := len(a.Runs); n == 0 || a.Runs[n-1].Full(len(content)) {
		a.Runs = append(a.Runs, &zmqwire.Run{First: records})
	}
	a.Runs[len(a.Runs)-1].Append(content)
	a.Records = records + 1
	f.next[string(f.key)] = a.Records
	if f.bytes += len(content) + zmqwire.RecordOverhead; f.bytes < MaxCommitBytes {
		return nil
	}
	return f.Commit()
}

func (f *Filler) Commit() (err error) {
	defer func() { f.failed = err != nil }()
	appends := make([]*Appended, 0, len(f.pending))
	for _, a := range f.pending {
		appends = append(appends, a)
	}
	// Without room Pebble tries again and again, and says nothing.
	if !f.db.Room.Take(time.Now(), f.bytes) {
		return fmt.Errorf("commit: the disk is full: make room for %d MiB", (roomyBytes+2*f.bytes)>>20)
	}
	if err := f.commits.Commit(appends); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	clear(f.pending)
	f.bytes = 0
	return nil
}

// Close commits what is pending and returns when all is on disk. The database stays open. An error of append is not said
// again.
func (f *Filler) Close() error {
	defer f.commits.Close()
	if f.failed {
		return nil
	}
	if err := f.Commit(); err != nil {
		return err
	}
	if err := f.db.Pebble.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
