package partdb

import (
	"bytes"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

// Finder reads runs, mostly one after another. It keeps its place in the database, so that whoever reads on, or had no room
// for all of a run, costs no second search and no second reading. What it keeps open holds on to tables and memory that
// Pebble has replaced, so its owner closes it now and then.
type Finder struct {
	DB       *Database
	Records  *pebble.Iterator // nil when closed
	Opened   time.Time        // it sees what was committed before
	Found    *zmqwire.Run     // the last one, stored or gathered; nil when there is none
	stored   zmqwire.Run
	gathered zmqwire.Run

	// What was looked for last.
	Topic, Address string
	key            []byte // with the sequence

	// What could not be read, by key, when to try that again, and how many tables were mended before it was tried.
	unread map[string]error
	retry  time.Time
	mended uint64
}

const (
	// damagePatience is how much longer than a search that failed takes nothing is tried again that could not be read
	// before. Of a block of 64 KB that is damaged, Pebble turns every bit to find the one that fits: that takes seconds, and
	// who lacks a record asks for it again and again.
	damagePatience = 20
	// maxUnread is how many keys are remembered.
	maxUnread = 1024
)

// Find gives the run that holds a partition's record; nil when it is not stored. Where a partition grew slowly its runs are
// small, and it gathers some of them. The run lives until the next find or close.
func (f *Finder) Find(topic, address string, sequence uint64) (*zmqwire.Run, error) {
	if f.Found != nil && topic == f.Topic && address == f.Address && f.Found.First <= sequence && sequence < f.Found.End() {
		return f.Found, nil
	}
	f.Topic, f.Address, f.key = topic, address, AppendRunKey(f.key[:0], topic, address, sequence)
	f.Found = nil
	if err := f.known(); err != nil {
		return nil, err
	}
	kept, begin := f.Records != nil, time.Now()
	run, err := f.search(sequence)
	if run == nil && err == nil && kept {
		// It may have been committed since.
		f.Close()
		run, err = f.search(sequence)
	}
	if err != nil {
		f.DB.Suspect(f.key)
		f.note(err, time.Since(begin))
	}
	f.Found = run
	return run, err
}

// known is why the record of f.key could not be read when it was tried last; nil when it is to be tried.
func (f *Finder) known() error {
	if len(f.unread) == 0 {
		return nil
	}
	if f.mended != f.DB.mended.Load() || time.Now().After(f.retry) {
		clear(f.unread)
		f.Close() // to see what there is now
	}
	return f.unread[string(f.key)]
}

// note remembers that the record of f.key could not be read, which it took so long to find out.
func (f *Finder) note(err error, took time.Duration) {
	if f.unread == nil || len(f.unread) >= maxUnread {
		f.unread = make(map[string]error)
	}
	f.unread[string(f.key)] = err
	f.retry, f.mended = time.Now().Add(damagePatience*took), f.DB.mended.Load()
}

// search looks for the run that holds the record of f.key.
func (f *Finder) search(sequence uint64) (*zmqwire.Run, error) {
	if f.Records == nil {
		records, err := f.DB.Iterate(RunPrefix)
		if err != nil {
			return nil, err
		}
		f.Records, f.Opened = records, time.Now()
	}
	// Most begin where the last one ended. Looking for the last key that is not above costs twice as much: Pebble then
	// reads the one before it, too.
	var damage error
	if !f.Records.SeekGE(f.key) || !bytes.Equal(f.Records.Key(), f.key) {
		// What is damaged may be this run, or the next one.
		damage = f.Records.Error()
		if !f.Records.SeekLT(f.key) {
			return nil, errors.Join(damage, f.Records.Error())
		}
		if !f.here() {
			return nil, damage
		}
	}
	if err := readRun(f.Records, &f.stored); err != nil {
		return nil, err
	}
	if f.stored.End() <= sequence {
		return nil, damage
	}
	if f.stored.Size() >= zmqwire.RunBytes/4 {
		return &f.stored, nil
	}
	return f.gather(), nil
}

func (f *Finder) gather() *zmqwire.Run {
	g := &f.gathered
	g.Reset(f.stored.First)
	for {
		for i := range f.stored.Len() {
			g.Append(f.stored.Content(i))
		}
		if !f.Records.Next() || !f.here() || g.Size()+len(f.Records.Value()) > zmqwire.RunBytes {
			return g
		}
		// What is damaged ends this run; who looks for it is told.
		if err := readRun(f.Records, &f.stored); err != nil || f.stored.First != g.End() {
			return g
		}
	}
}

// here says whether the iterator is in the partition of f.key.
func (f *Finder) here() bool {
	partition := f.key[:len(f.key)-SequenceSize]
	return len(f.Records.Key()) == len(f.key) && bytes.HasPrefix(f.Records.Key(), partition)
}

func (f *Finder) Close() {
	f.Found = nil
	if f.Records != nil {
		f.Records.Close()
		f.Records = nil
	}
}
