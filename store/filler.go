package store

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

// filler appends records to partitions of a database on which no store runs. What it appended is on disk when close
// has returned without an error; before, some of each partition's first may be.
type filler struct {
	db      *database
	commits *commits
	next    map[string]uint64    // of each partition, by the beginning of its keys: how many records it has
	pending map[string]*appended // to be committed
	bytes   int
	failed  bool // a commit has, and no other is tried
	key     []byte
}

// newFiller fills a database that was opened without syncs: one at the end is enough.
func newFiller(db *database) *filler {
	return &filler{
		db: db, commits: db.newCommits(),
		next: make(map[string]uint64), pending: make(map[string]*appended),
	}
}

// records is how many records a partition has, with those that were appended.
func (f *filler) records(topic, address string) (uint64, error) {
	f.key = appendPartition(f.key[:0], headPrefix, topic, address)
	if records, ok := f.next[string(f.key)]; ok {
		return records, nil
	}
	records, err := f.db.records(topic, address)
	if err != nil {
		return 0, err
	}
	f.next[string(f.key)] = records
	return records, nil
}

// append adds a copy of content as a partition's next record.
func (f *filler) append(topic, address string, content []byte) error {
	records, err := f.records(topic, address)
	if err != nil {
		return err
	}
	a := f.pending[string(f.key)]
	if a == nil {
		a = &appended{topic: topic, address: address}
		f.pending[string(f.key)] = a
	}
	if n := len(a.runs); n == 0 || a.runs[n-1].Full(len(content)) {
		a.runs = append(a.runs, &zmqwire.Run{First: records})
	}
	a.runs[len(a.runs)-1].Append(content)
	a.records = records + 1
	f.next[string(f.key)] = a.records
	if f.bytes += len(content) + zmqwire.RecordOverhead; f.bytes < maxCommitBytes {
		return nil
	}
	return f.commit()
}

func (f *filler) commit() (err error) {
	defer func() { f.failed = err != nil }()
	appends := make([]*appended, 0, len(f.pending))
	for _, a := range f.pending {
		appends = append(appends, a)
	}
	// Without room Pebble tries again and again, and says nothing.
	if !f.db.room.take(time.Now(), f.bytes) {
		return fmt.Errorf("commit: the disk is full: make room for %d MiB", (roomyBytes+2*f.bytes)>>20)
	}
	if err := f.commits.commit(appends); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	clear(f.pending)
	f.bytes = 0
	return nil
}

// close commits what is pending and returns when all is on disk. The database stays open. An error of append is not said
// again.
func (f *filler) close() error {
	defer f.commits.close()
	if f.failed {
		return nil
	}
	if err := f.commit(); err != nil {
		return err
	}
	if err := f.db.pebble.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
