package partdb

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/wiretest"
)

// These are also in storetest, which cannot be imported here.

func databaseOver(t testing.TB, fs vfs.FS) *Database {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: PebbleLog{Log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &Database{Pebble: db, FS: fs, Sync: pebble.Sync, Log: log, TableFrom: OwnTableBytes}
	if err := d.CompleteHeads(); err != nil {
		t.Fatal(err)
	}
	return d
}

// databaseIn opens a database on disk.
func databaseIn(t testing.TB, dir string) *Database {
	t.Helper()
	db, err := Open(dir, false, Quiet)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// stored reads a partition from a database, and insists on runs without holes and overlaps.
func stored(t testing.TB, db *Database, topic, address string) (contents []string) {
	t.Helper()
	first := AppendPartition(nil, RunPrefix, topic, address)
	records, err := db.Pebble.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: append(slices.Clone(first[:len(first)-1]), 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	var run zmqwire.Run
	for ok := records.First(); ok; ok = records.Next() {
		if err := DecodeRun(records.Key(), records.Value(), &run); err != nil {
			t.Fatal(err)
		}
		if run.First != uint64(len(contents)) {
			t.Fatalf("%s %s: a run begins at %d behind %d records", topic, address, run.First, len(contents))
		}
		contents = append(contents, contentsOf(&run)...)
	}
	n, err := db.Records(topic, address)
	if err != nil || n != uint64(len(contents)) {
		t.Fatalf("%s %s: head says %d records, runs hold %d (%v)", topic, address, n, len(contents), err)
	}
	return contents
}

var (
	runOf      = wiretest.NewRun
	contentsOf = wiretest.Contents
)

func encoded(key []byte, run *zmqwire.Run) []byte {
	value := make([]byte, RunSize(run))
	EncodeRun(value, key, run)
	return value
}

// grow gives what a commit appends to a partition that has some records already.
func grow(topic, address string, from uint64, contents ...string) *Appended {
	run := runOf(from, contents...)
	return &Appended{Topic: topic, Address: address, Runs: []*zmqwire.Run{run}, Records: run.End()}
}
