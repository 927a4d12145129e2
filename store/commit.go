package store

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

// maxCommitBytes is how much a commit gathers: with 8 MiB a partition that grows fast has commits that are tables.
const maxCommitBytes = 8 << 20

// retainedBytes is how large a batch's memory may be to be used again: that of any commit but one of huge records.
const retainedBytes = 2 * maxCommitBytes

// appended is what one commit adds to one partition.
type appended struct {
	topic, address string
	runs           []*zmqwire.Run
	records        uint64 // how many the partition then has
	table          bool   // the runs are a table of their own
}

// size is how many bytes of contents there are.
func (a *appended) size() (size int) {
	for _, run := range a.runs {
		size += len(run.Contents)
	}
	return size
}

// commits writes what a writer appends, one commit at a time, in memory that it keeps.
type commits struct {
	db     *database
	batch  *pebble.Batch
	key    []byte
	marked map[string]bool // the partitions with marks, by what the keys of their runs begin with
}

func (d *database) newCommits() *commits {
	return &commits{
		db: d, batch: d.pebble.NewBatch(pebble.WithMaxRetainedSizeBytes(retainedBytes)), marked: make(map[string]bool),
	}
}

// commit writes runs of some partitions and their heads, and returns when they are on disk. A partition has all of its
// runs then and its head, or neither, or it has a mark. After an error nothing can be committed any more.
func (c *commits) commit(appends []*appended) (err error) {
	c.db.commit.Lock()
	defer c.db.commit.Unlock()
	if err := c.db.ground.attempt(func() error { return c.write(appends) }); err != nil {
		return err
	}
	return c.db.ground.stands()
}

func (c *commits) write(appends []*appended) error {
	if err := c.putTables(appends); err != nil {
		return err
	}
	c.batch.Reset()
	for _, a := range appends {
		if !a.table {
			if err := c.putRuns(a); err != nil {
				return err
			}
		}
		c.key = appendPartition(c.key[:0], headPrefix, a.topic, a.address)
		op := c.batch.SetDeferred(len(c.key), sequenceSize)
		copy(op.Key, c.key)
		binary.BigEndian.PutUint64(op.Value, a.records)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return c.batch.Commit(c.db.sync)
}

// putRuns adds a partition's runs to the batch.
func (c *commits) putRuns(a *appended) error {
	for _, run := range a.runs {
		c.key = appendRunKey(c.key[:0], a.topic, a.address, run.First)
		op := c.batch.SetDeferred(len(c.key), runSize(run))
		copy(op.Key, c.key)
		encodeRun(op.Value, c.key, run)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	c.key = appendPartition(c.key[:0], runPrefix, a.topic, a.address)
	c.db.borders.put(c.key, a.size())
	if c.large(a) {
		return c.mark(a)
	}
	return nil
}

func (c *commits) close() {
	if c.db.ground.gone() == nil { // else a commit may stand still that uses it
		c.batch.Close()
	}
}
