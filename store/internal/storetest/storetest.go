package storetest

import (
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// Kept is what a database holds: the contents of each partition's records, by topic and address.
type Kept map[[2]string][]string

// MakeStore fills a store's folder with some partitions in several tables and a log, the way a store does: in commits
// of several partitions. unfinished is called before the database is closed.
func MakeStore(t testing.TB, dir string, size int, unfinished func()) Kept {
	t.Helper()
	db := DatabaseIn(t, dir)
	const turns = 600 // Pebble looks for a flipped bit in the square of the time that reading a commit takes
	perTurn := 2 * size / turns / 8
	db.TableFrom = perTurn // some of the largest become tables
	commits := db.NewCommits()
	dice := rand.New(rand.NewPCG(1, 2))
	want := make(Kept)
	for turn := range turns {
		var appends []*partdb.Appended
		for p := range 8 {
			if dice.IntN(2) == 0 && p > 1 {
				continue
			}
			name := [2]string{fmt.Sprintf("topic %d", p/3), fmt.Sprintf("P%d", p)}
			if p == 7 {
				name = [2]string{"\xff\xfe", "\x01"}
			}
			a := &partdb.Appended{Topic: name[0], Address: name[1]}
			run := &zmqwire.Run{First: uint64(len(want[name]))}
			for n := dice.IntN(perTurn) + 1; n > 0; {
				content := fmt.Sprintf("%d of %q ", len(want[name]), name)
				content += strings.Repeat(string(rune('a'+dice.IntN(26))), dice.IntN(300))
				if run.Full(len(content)) {
					a.Runs = append(a.Runs, run)
					run = &zmqwire.Run{First: uint64(len(want[name]))}
				}
				run.Append([]byte(content))
				want[name] = append(want[name], content)
				n -= len(content)
			}
			a.Runs, a.Records = append(a.Runs, run), uint64(len(want[name]))
			appends = append(appends, a)
		}
		if err := commits.Commit(appends); err != nil {
			t.Fatal(err)
		}
		if turn%100 == 99 && turn < 450 {
			if err := db.Pebble.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	commits.Close()
	if n := db.Pebble.Metrics().Ingest.Count; n < 10 {
		t.Fatalf("%d commits became tables, want some", n)
	}
	if unfinished != nil {
		if err := db.Pebble.LogData(nil, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		towertest.Eventually(t, "Pebble is at rest", func() bool {
			m := db.Pebble.Metrics()
			return m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 && m.Table.ObsoleteCount == 0
		})
		unfinished()
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// ReadStore reads through the database as a store does. What cannot be read is left out; the errors say so.
func ReadStore(t testing.TB, dir string) (got Kept, failures []error) {
	t.Helper()
	f, err := partdb.HoldFolder(dir)
	if err != nil {
		return nil, []error{err}
	}
	defer f.Release()
	db, err := f.Open()
	if err != nil {
		return nil, []error{err}
	}
	defer db.Pebble.Close()
	return ReadDatabase(t, db)
}

// ReadDatabase reads record after record of each partition, up to the first that cannot be read.
func ReadDatabase(t testing.TB, db *partdb.Database) (got Kept, failures []error) {
	t.Helper()
	got = make(Kept)
	heads, err := db.Iterate(partdb.HeadPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer heads.Close()
	for ok := heads.First(); ok; ok = heads.Next() {
		topic, address, err := partdb.SplitHeadKey(heads.Key())
		if err != nil {
			failures = append(failures, err)
			continue
		}
		records, err := partdb.DecodeHead(heads.Key(), heads.Value())
		if err != nil {
			failures = append(failures, err)
			continue
		}
		contents, err := ReadPartition(t, db, string(topic), string(address), records)
		if err != nil {
			failures = append(failures, err)
		}
		got[[2]string{string(topic), string(address)}] = contents
	}
	if err := heads.Error(); err != nil {
		failures = append(failures, err)
	}
	return got, failures
}

// ReadPartition asks for record after record, as one who fetches.
func ReadPartition(
	t testing.TB, db *partdb.Database, topic, address string, records uint64,
) (contents []string, err error) {
	r := partdb.Finder{DB: db}
	defer r.Close()
	answers := flow.Answers{}
	answers.Add(&zmqwire.Message{
		Kind: zmqwire.Fetch, Subject: []byte(topic), Routing: []byte(address), Address: []byte("R"), Count: uint32(records),
	}, netip.AddrPort{})
	for answers.Len() > 0 {
		answers.Serve(
			time.Now(),
			func(c *flow.Cursor) *zmqwire.Run {
				var run *zmqwire.Run
				if run, err = r.Find(c.Topic, c.Partition, c.Next()); run == nil && err == nil {
					err = fmt.Errorf("record %d of %q %q is not there", c.Next(), topic, address)
				}
				return run
			},
			func(c *flow.Cursor, run *zmqwire.Run, from, to int) int {
				for i := from; i < to; i++ {
					contents = append(contents, string(run.Content(i)))
				}
				return to - from
			},
			func(*flow.Cursor) {},
		)
	}
	return contents, err
}

// Prefixes says where got holds anything but the first records of want's partitions.
func Prefixes(want, got Kept) error {
	for name, contents := range got {
		if len(contents) > len(want[name]) {
			return fmt.Errorf("%q has %d records instead of %d", name, len(contents), len(want[name]))
		}
		for i := range contents {
			if contents[i] != want[name][i] {
				return fmt.Errorf("record %d of %q is %.60q instead of %.60q", i, name, contents[i], want[name][i])
			}
		}
	}
	return nil
}

// Same says whether nothing is missing.
func Same(want, got Kept) bool {
	return maps.EqualFunc(want, got, func(a, b []string) bool { return len(a) == len(b) })
}

func FilesIn(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func CopyFiles(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func DatabaseOver(t testing.TB, fs vfs.FS) *partdb.Database {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: partdb.PebbleLog{Log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &partdb.Database{Pebble: db, FS: fs, Sync: pebble.Sync, Log: log, TableFrom: partdb.OwnTableBytes}
	if err := d.CompleteHeads(); err != nil {
		t.Fatal(err)
	}
	return d
}

// DatabaseIn opens a database on disk.
func DatabaseIn(t testing.TB, dir string) *partdb.Database {
	t.Helper()
	db, err := partdb.Open(dir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Stored reads a partition from a database, and insists on runs without holes and overlaps.
func Stored(t testing.TB, db *partdb.Database, topic, address string) (contents []string) {
	t.Helper()
	first := partdb.AppendPartition(nil, partdb.RunPrefix, topic, address)
	records, err := db.Pebble.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: append(slices.Clone(first[:len(first)-1]), 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	var run zmqwire.Run
	for ok := records.First(); ok; ok = records.Next() {
		if err := partdb.DecodeRun(records.Key(), records.Value(), &run); err != nil {
			t.Fatal(err)
		}
		if run.First != uint64(len(contents)) {
			t.Fatalf("%s %s: a run begins at %d behind %d records", topic, address, run.First, len(contents))
		}
		contents = append(contents, ContentsOf(&run)...)
	}
	n, err := db.Records(topic, address)
	if err != nil || n != uint64(len(contents)) {
		t.Fatalf("%s %s: head says %d records, runs hold %d (%v)", topic, address, n, len(contents), err)
	}
	return contents
}

func RunOf(first uint64, contents ...string) *zmqwire.Run {
	run := &zmqwire.Run{}
	run.Reset(first)
	for _, content := range contents {
		run.Append([]byte(content))
	}
	return run
}

func ContentsOf(run *zmqwire.Run) (contents []string) {
	for i := range run.Len() {
		contents = append(contents, string(run.Content(i)))
	}
	return contents
}

func Encoded(key []byte, run *zmqwire.Run) []byte {
	value := make([]byte, partdb.RunSize(run))
	partdb.EncodeRun(value, key, run)
	return value
}

// Grow gives what a commit appends to a partition that has some records already.
func Grow(topic, address string, from uint64, contents ...string) *partdb.Appended {
	run := RunOf(from, contents...)
	return &partdb.Appended{Topic: topic, Address: address, Runs: []*zmqwire.Run{run}, Records: run.End()}
}

// MakeRuns makes a database of one partition whose runs are those contents, and lets change spoil it.
func MakeRuns(t *testing.T, dir string, change func(db *pebble.DB) error, runs ...[]string) {
	t.Helper()
	db, err := partdb.Open(dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fill := partdb.NewFiller(db)
	for _, run := range runs {
		for _, content := range run {
			if err := fill.Append("hello", "P", []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := fill.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fill.Close(); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		if err := change(db.Pebble); err != nil {
			t.Fatal(err)
		}
	}
	// Once more, so that no log is left from which what change took away could be read again.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	options := partdb.DatabaseOptions(db.Log)
	if db.Pebble, err = pebble.Open(dir, options); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
