package store

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
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// kept is what a database holds: the contents of each partition's records, by topic and address.
type kept map[[2]string][]string

// makeStore fills a store's folder with some partitions in several tables and a log, the way a store does: in commits
// of several partitions. unfinished is called before the database is closed.
func makeStore(t testing.TB, dir string, size int, unfinished func()) kept {
	t.Helper()
	db := databaseIn(t, dir)
	const turns = 600 // Pebble looks for a flipped bit in the square of the time that reading a commit takes
	perTurn := 2 * size / turns / 8
	db.tableFrom = perTurn // some of the largest become tables
	commits := db.newCommits()
	dice := rand.New(rand.NewPCG(1, 2))
	want := make(kept)
	for turn := range turns {
		var appends []*appended
		for p := range 8 {
			if dice.IntN(2) == 0 && p > 1 {
				continue
			}
			name := [2]string{fmt.Sprintf("topic %d", p/3), fmt.Sprintf("P%d", p)}
			if p == 7 {
				name = [2]string{"\xff\xfe", "\x01"}
			}
			a := &appended{topic: name[0], address: name[1]}
			run := &zmqwire.Run{First: uint64(len(want[name]))}
			for n := dice.IntN(perTurn) + 1; n > 0; {
				content := fmt.Sprintf("%d of %q ", len(want[name]), name)
				content += strings.Repeat(string(rune('a'+dice.IntN(26))), dice.IntN(300))
				if run.Full(len(content)) {
					a.runs = append(a.runs, run)
					run = &zmqwire.Run{First: uint64(len(want[name]))}
				}
				run.Append([]byte(content))
				want[name] = append(want[name], content)
				n -= len(content)
			}
			a.runs, a.records = append(a.runs, run), uint64(len(want[name]))
			appends = append(appends, a)
		}
		if err := commits.commit(appends); err != nil {
			t.Fatal(err)
		}
		if turn%100 == 99 && turn < 450 {
			if err := db.pebble.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	commits.close()
	if n := db.pebble.Metrics().Ingest.Count; n < 10 {
		t.Fatalf("%d commits became tables, want some", n)
	}
	if unfinished != nil {
		if err := db.pebble.LogData(nil, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		towertest.Eventually(t, "Pebble is at rest", func() bool {
			m := db.pebble.Metrics()
			return m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 && m.Table.ObsoleteCount == 0
		})
		unfinished()
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// readStore reads through the database as a store does. What cannot be read is left out; the errors say so.
func readStore(t testing.TB, dir string) (got kept, failures []error) {
	t.Helper()
	f, err := holdFolder(dir)
	if err != nil {
		return nil, []error{err}
	}
	defer f.release()
	db, err := f.open()
	if err != nil {
		return nil, []error{err}
	}
	defer db.pebble.Close()
	return readDatabase(t, db)
}

// readDatabase reads record after record of each partition, up to the first that cannot be read.
func readDatabase(t testing.TB, db *database) (got kept, failures []error) {
	t.Helper()
	got = make(kept)
	heads, err := db.iterate(headPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer heads.Close()
	for ok := heads.First(); ok; ok = heads.Next() {
		topic, address, err := splitHeadKey(heads.Key())
		if err != nil {
			failures = append(failures, err)
			continue
		}
		records, err := decodeHead(heads.Key(), heads.Value())
		if err != nil {
			failures = append(failures, err)
			continue
		}
		contents, err := readPartition(t, db, string(topic), string(address), records)
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

// readPartition asks for record after record, as one who fetches.
func readPartition(t testing.TB, db *database, topic, address string, records uint64) (contents []string, err error) {
	r := finder{db: db}
	defer r.close()
	answers := flow.Answers{}
	answers.Add(&zmqwire.Message{
		Kind: zmqwire.Fetch, Subject: []byte(topic), Routing: []byte(address), Address: []byte("R"), Count: uint32(records),
	}, netip.AddrPort{})
	for answers.Len() > 0 {
		answers.Serve(
			time.Now(),
			func(c *flow.Cursor) *zmqwire.Run {
				var run *zmqwire.Run
				if run, err = r.find(c.Topic, c.Partition, c.Next()); run == nil && err == nil {
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

// prefixes says where got holds anything but the first records of want's partitions.
func prefixes(want, got kept) error {
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

// same says whether nothing is missing.
func same(want, got kept) bool {
	return maps.EqualFunc(want, got, func(a, b []string) bool { return len(a) == len(b) })
}

func filesIn(t testing.TB, dir string) map[string]string {
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

func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func databaseOver(t testing.TB, fs vfs.FS) *database {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLog{log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &database{pebble: db, fs: fs, sync: pebble.Sync, log: log, tableFrom: ownTableBytes}
	if err := d.completeHeads(); err != nil {
		t.Fatal(err)
	}
	return d
}

// databaseIn opens a database on disk.
func databaseIn(t testing.TB, dir string) *database {
	t.Helper()
	db, err := openDatabase(dir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// stored reads a partition from a database, and insists on runs without holes and overlaps.
func stored(t testing.TB, db *database, topic, address string) (contents []string) {
	t.Helper()
	first := appendPartition(nil, runPrefix, topic, address)
	records, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: append(slices.Clone(first[:len(first)-1]), 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	var run zmqwire.Run
	for ok := records.First(); ok; ok = records.Next() {
		if err := decodeRun(records.Key(), records.Value(), &run); err != nil {
			t.Fatal(err)
		}
		if run.First != uint64(len(contents)) {
			t.Fatalf("%s %s: a run begins at %d behind %d records", topic, address, run.First, len(contents))
		}
		contents = append(contents, contentsOf(&run)...)
	}
	n, err := db.records(topic, address)
	if err != nil || n != uint64(len(contents)) {
		t.Fatalf("%s %s: head says %d records, runs hold %d (%v)", topic, address, n, len(contents), err)
	}
	return contents
}

func runOf(first uint64, contents ...string) *zmqwire.Run {
	run := &zmqwire.Run{}
	run.Reset(first)
	for _, content := range contents {
		run.Append([]byte(content))
	}
	return run
}

func contentsOf(run *zmqwire.Run) (contents []string) {
	for i := range run.Len() {
		contents = append(contents, string(run.Content(i)))
	}
	return contents
}

func encoded(key []byte, run *zmqwire.Run) []byte {
	value := make([]byte, runSize(run))
	encodeRun(value, key, run)
	return value
}

// grow gives what a commit appends to a partition that has some records already.
func grow(topic, address string, from uint64, contents ...string) *appended {
	run := runOf(from, contents...)
	return &appended{topic: topic, address: address, runs: []*zmqwire.Run{run}, records: run.End()}
}

// makeRuns makes a database of one partition whose runs are those contents, and lets change spoil it.
func makeRuns(t *testing.T, dir string, change func(db *pebble.DB) error, runs ...[]string) {
	t.Helper()
	db, err := openDatabase(dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fill := newFiller(db)
	for _, run := range runs {
		for _, content := range run {
			if err := fill.append("hello", "P", []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := fill.commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := fill.close(); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		if err := change(db.pebble); err != nil {
			t.Fatal(err)
		}
	}
	// Once more, so that no log is left from which what change took away could be read again.
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	options := databaseOptions(db.log)
	if db.pebble, err = pebble.Open(dir, options); err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
}
