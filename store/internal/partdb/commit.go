package partdb

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

// MaxCommitBytes is how much a commit gathers: with 8 MiB a partition that grows fast has commits that are tables.
const MaxCommitBytes = 8 << 20

// retainedBytes is how large a batch's memory may be to be used again: that of any commit but one of huge records.
const retainedBytes = 2 * MaxCommitBytes

// Appended is what one commit adds to one partition.
type Appended struct {
	Topic, Address string
	Runs           []*zmqwire.Run
	Records        uint64 // how many the partition then has
	table          bool   // the runs are a table of their own
}

// size is how many bytes of contents there are.
func (a *Appended) size() (size int) {
	for _, run := range a.Runs {
		size += len(run.Contents)
	}
	return size
}

// Commits writes what a writer appends, one commit at a time, in memory that it keeps.
type Commits struct {
	db     *Database
	batch  *pebble.Batch
	key    []byte
	marked map[string]bool // the partitions with marks, by what the keys of their runs begin with
}

func (d *Database) NewCommits() *Commits {
	return &Commits{
		db: d, batch: d.Pebble.NewBatch(pebble.WithMaxRetainedSizeBytes(retainedBytes)), marked: make(map[string]bool),
	}
}

// Commit writes runs of some partitions and their heads, and returns when they are on disk. A partition has all of its
// runs then and its head, or neither, or it has a mark. After an error nothing can be committed any more.
func (c *Commits) Commit(appends []*Appended) (err error) {
	c.db.commit.Lock()
	defer c.db.commit.Unlock()
	if err := c.db.Ground.Attempt(func() error { return c.write(appends) }); err != nil {
		return err
	}
	return c.db.Ground.Stands()
}

func (c *Commits) write(appends []*Appended) error {
	if err := c.PutTables(appends); err != nil {
		return err
	}
	c.batch.Reset()
	for _, a := range appends {
		if !a.table {
			if err := c.putRuns(a); err != nil {
				return err
			}
		}
		c.key = AppendPartition(c.key[:0], HeadPrefix, a.Topic, a.Address)
		op := c.batch.SetDeferred(len(c.key), SequenceSize)
		copy(op.Key, c.key)
		binary.BigEndian.PutUint64(op.Value, a.Records)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return c.batch.Commit(c.db.Sync)
}

// putRuns adds a partition's runs to the batch.
func (c *Commits) putRuns(a *Appended) error {
	for _, run := range a.Runs {
		c.key = AppendRunKey(c.key[:0], a.Topic, a.Address, run.First)
		op := c.batch.SetDeferred(len(c.key), RunSize(run))
		copy(op.Key, c.key)
		EncodeRun(op.Value, c.key, run)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	c.key = AppendPartition(c.key[:0], RunPrefix, a.Topic, a.Address)
	c.db.borders.put(c.key, a.size())
	if c.large(a) {
		return c.mark(a)
	}
	return nil
}

func (c *Commits) Close() {
	if c.db.Ground.gone() == nil { // else a commit may stand still that uses it
		c.batch.Close()
	}
}
