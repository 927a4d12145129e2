package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// grow gives what a commit appends to a partition that has some records already.
func grow(topic, address string, from uint64, contents ...string) *appended {
	run := runOf(from, contents...)
	return &appended{topic: topic, address: address, runs: []*zmqwire.Run{run}, records: run.End()}
}

// verified gives what Verify finds of a folder that it finds sound.
func verified(t *testing.T, dir string, killed bool) []PartitionReport {
	t.Helper()
	report, err := Verify(t.Context(), dir, nil)
	if err != nil || !report.Sound() || report.Killed != killed {
		t.Fatalf("%+v, error %v; want a sound database, killed: %v", report, err, killed)
	}
	return report.Partitions
}

// Of what a commit appends, what is large enough becomes tables, from the second time on; all of it is there, in the
// order of its sequences.
func TestLargeCommitsAreTables(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		noSync bool
		want   uint64 // how often tables were put into the database
	}{{false, 9}, {true, 0}} {
		dir := filepath.Join(t.TempDir(), "db")
		db, err := openDatabase(dir, test.noSync, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		db.tableFrom = 1000
		commits := db.newCommits()
		want := make(map[string][]string)
		for turn := range 10 {
			var appends []*appended
			for _, p := range []struct {
				topic, address string
				size           int
			}{{"hello", "LARGE", 1000}, {"hello", "SMALL", 999}, {"hello", "Z LARGE", 5000}} {
				content := fmt.Sprintf("%d %s ", turn, p.address)
				content += strings.Repeat("x", p.size-len(content))
				appends = append(appends, grow(p.topic, p.address, uint64(turn), content))
				want[p.address] = append(want[p.address], content)
			}
			if err := commits.commit(appends); err != nil {
				t.Fatal(err)
			}
		}
		commits.close()
		for address, contents := range want {
			if diff := cmp.Diff(contents, stored(t, db, "hello", address)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", address, diff)
			}
		}
		if n := db.pebble.Metrics().Ingest.Count; n != test.want {
			t.Errorf("without syncs: %v: tables were put into the database %d times, want %d", test.noSync, n, test.want)
		}
		if err := db.close(); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
		verified(t, dir, false)
	}
}

// A crash between a table and its head loses nothing, and leaves nothing behind: what was not counted counts when the
// database is opened again, and what comes next follows it.
func TestCrashBetweenTableAndHead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	open := func() *database {
		t.Helper()
		db := databaseIn(t, dir)
		db.tableFrom = 1
		return db
	}
	half := filepath.Join(dir, fmt.Sprintf(halfTable, 0))
	crash := func(db *database) {
		t.Helper()
		if err := errors.Join(db.pebble.Close(), os.WriteFile(half, []byte("half a table"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	db := open()
	commits := db.newCommits()
	if err := commits.commit([]*appended{grow("hello", "P", 0, "a", "b"), grow("hello", "Q", 0, "a")}); err != nil {
		t.Fatal(err)
	}
	if err := commits.putTables([]*appended{grow("hello", "P", 2, "c", "d", "e")}); err != nil {
		t.Fatal(err)
	}
	commits.close()
	crash(db)
	want := []PartitionReport{{"hello", "P", 5, 0, ""}, {"hello", "Q", 1, 0, ""}}
	if diff := cmp.Diff(want, verified(t, dir, true)); diff != "" {
		t.Errorf("after the crash (-want +got):\n%s", diff)
	}
	// In a database that was closed, nothing lies behind a head.
	if err := writeSeal(dir); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, nil)
	if err != nil || report.Partitions[0].Fault != "its head says 2 records, and there are 5" {
		t.Errorf("a closed database: %+v, error %v", report, err)
	}

	for i, contents := range [][]string{{"f"}, {"g", "h"}} {
		db = open()
		from, err := db.records("hello", "P")
		if err != nil || from != uint64(5+i) {
			t.Fatalf("%d records, error %v, want %d", from, err, 5+i)
		}
		if marks, closer, err := db.pebble.Get(appendPartition(nil, markPrefix, "hello", "P")); !errors.Is(err, pebble.ErrNotFound) {
			closer.Close()
			t.Errorf("the mark is still there: %q, error %v", marks, err)
		}
		commits = db.newCommits()
		if err := commits.commit([]*appended{grow("hello", "P", from, contents...)}); err != nil {
			t.Fatal(err)
		}
		commits.close()
		crash(db)
	}
	db = open()
	if diff := cmp.Diff(strings.Split("abcdefgh", ""), stored(t, db, "hello", "P")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a table is still there: %v", err)
	}
	want[0].Records = 8
	if diff := cmp.Diff(want, verified(t, dir, false)); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

// A partition whose last run or head cannot be read keeps its mark, and does not keep the database from being opened.
func TestHeadsOfDamagedPartitions(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := databaseIn(t, dir)
	db.tableFrom = 1
	commits := db.newCommits()
	key := appendRunKey(nil, "hello", "P", 1)
	err := errors.Join(
		commits.commit([]*appended{grow("hello", "P", 0, "a"), grow("hello", "Q", 0, "a"), grow("hello", "R", 0, "a")}),
		commits.putTables([]*appended{grow("hello", "Q", 1, "b")}),
		db.pebble.Set(key, bytes.Repeat([]byte{1}, 20), pebble.Sync),
		db.pebble.Set(appendPartition(nil, headPrefix, "hello", "R"), []byte("seven b"), pebble.Sync),
	)
	commits.close()
	if err = errors.Join(err, db.close()); err != nil {
		t.Fatal(err)
	}
	db = databaseIn(t, dir)
	defer db.close()
	for address, want := range map[string]struct {
		records uint64
		marked  bool
		damaged bool
	}{"P": {1, true, false}, "Q": {2, false, false}, "R": {0, true, true}} {
		records, err := db.records("hello", address)
		_, closer, unmarked := db.pebble.Get(appendPartition(nil, markPrefix, "hello", address))
		if closer != nil {
			closer.Close()
		}
		if errors.Is(err, ErrDamaged) != want.damaged || records != want.records || (unmarked == nil) != want.marked {
			t.Errorf("%s: %d records, error %v, mark: %v; want %+v", address, records, err, unmarked, want)
		}
	}
}

// A database of the format before this one becomes one of this format, with all that it holds.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	makeRuns(t, dir, func(db *pebble.DB) error {
		return db.Set([]byte(versionKey), []byte(oldVersion), pebble.Sync)
	}, []string{"a", "b"})
	verified(t, dir, false)
	db := databaseIn(t, dir)
	defer db.close()
	version, closer, err := db.pebble.Get([]byte(versionKey))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if string(version) != formatVersion {
		t.Errorf("format %q, want %q", version, formatVersion)
	}
	if diff := cmp.Diff([]string{"a", "b"}, stored(t, db, "hello", "P")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Whatever fails on the way of a table into the database, the commit says so, and the database has what was committed
// before, and of the rest whole commits or nothing.
func TestFailedTables(t *testing.T) {
	t.Parallel()
	failed := 0
	for nth := int64(1); ; nth++ {
		fs := vfs.NewCrashableMem()
		var left atomic.Int64
		db := databaseOver(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) == 0 {
				return syscall.EIO
			}
			return nil
		})))
		db.tableFrom = 1
		commits := db.newCommits()
		committed := uint64(0)
		var err error
		for committed < 8 {
			if committed == 2 { // from the first table on
				left.Store(nth)
			}
			contents := []string{fmt.Sprint(committed), fmt.Sprint(committed + 1)}
			if err = commits.commit([]*appended{grow("hello", "P", committed, contents...)}); err != nil {
				break
			}
			committed += 2
		}
		over := left.Load() > 0 // there are no more
		if err != nil {
			// Nothing goes on after such a commit: the process ends.
			if failed++; !strings.Contains(err.Error(), syscall.EIO.Error()) {
				t.Errorf("operation %d failed: error %v", nth, err)
			}
		} else {
			left.Store(0)
			commits.close()
			if err := db.close(); err != nil {
				t.Error(err)
			}
		}
		db = databaseOver(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		got := stored(t, db, "hello", "P")
		for i, content := range got {
			if content != fmt.Sprint(i) {
				t.Errorf("operation %d failed: record %d is %q", nth, i, content)
			}
		}
		if n := uint64(len(got)); n != committed && (err == nil || n != committed+2) {
			t.Errorf("operation %d failed: %d records, of which %d were committed", nth, n, committed)
		}
		if err := db.close(); err != nil {
			t.Error(err)
		}
		if over {
			t.Logf("of %d operations that failed in turn, %d made a commit fail", nth-1, failed)
			if failed < 5 {
				t.Error("want more to fail")
			}
			return
		}
	}
}

// An old table that cannot be read keeps no records from being stored: what would be a table goes through the log.
func TestTablesBesideDamage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := databaseIn(t, dir)
	commits := db.newCommits()
	for turn := range uint64(100) {
		content := strings.Repeat(fmt.Sprint(turn), 1000)
		if err := commits.commit([]*appended{grow("hello", "P", turn, content), grow("hello", "Q", turn, content)}); err != nil {
			t.Fatal(err)
		}
	}
	commits.close()
	if err := errors.Join(db.pebble.Flush(), db.close()); err != nil {
		t.Fatal(err)
	}
	// The end of the table is what a table is opened by.
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	damaged := 0
	for _, path := range tables {
		bytes, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes) < 10_000 {
			continue // of heads
		}
		for i := len(bytes) - 1000; i < len(bytes)-100; i++ {
			bytes[i] ^= 0x55
		}
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		damaged++
	}
	if damaged != 1 {
		t.Fatalf("%d tables of runs, want 1", damaged)
	}
	db = databaseIn(t, dir)
	defer db.close()
	db.tableFrom = 1
	commits = db.newCommits()
	defer commits.close()
	for i, content := range []string{"marks", "would be a table", "and again"} {
		if err := commits.commit([]*appended{grow("hello", "P", 100+uint64(i), content)}); err != nil {
			t.Fatalf("%s: %v", content, err)
		}
	}
	if n, err := db.records("hello", "P"); err != nil || n != 103 {
		t.Errorf("%d records, error %v, want 103", n, err)
	}
	if n := db.pebble.Metrics().Ingest.Count; n != 0 {
		t.Errorf("%d tables were put into the database: the damage did not matter", n)
	}
	select {
	case key := <-db.suspects:
		if want := appendPartition(nil, runPrefix, "hello", "P"); !strings.HasPrefix(string(key), string(want)) {
			t.Errorf("%q is suspected, want one of %q", key, want)
		}
	default:
		t.Error("nothing is suspected")
	}
}

// A copy that is made while tables are put into the database is sound, and has all that was committed before.
func TestCheckpointBesideTables(t *testing.T) {
	t.Parallel()
	db := databaseIn(t, filepath.Join(t.TempDir(), "db"))
	defer db.close()
	db.tableFrom = 1
	var committed atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		commits := db.newCommits()
		defer commits.close()
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			n := committed.Load()
			if err := commits.commit([]*appended{grow("hello", "P", n, fmt.Sprint(n))}); err != nil {
				stopped <- err
				return
			}
			committed.Store(n + 1)
		}
	}()
	end := sync.OnceValue(func() error { close(stop); return <-stopped })
	defer end()
	for i := range 20 {
		eventually(t, "more tables", func() bool { return committed.Load() >= uint64(10*i+10) })
		before := committed.Load()
		dir := filepath.Join(t.TempDir(), "copy")
		if err := db.checkpoint(dir); err != nil {
			t.Fatal(err)
		}
		found := verified(t, dir, true)
		if len(found) != 1 || found[0].Records < before {
			t.Errorf("copy %d: %+v, want %d records at least", i, found, before)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if n := db.pebble.Metrics().Ingest.Count; n < 20 {
		t.Errorf("%d tables were put into the database, want more", n)
	}
}

// A store may be killed when Pebble has a table's file and does not name it yet. Nothing of it was acked, so a store that
// was killed is sound with it; one that was closed is not.
func TestTableThatIsNotNamed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := databaseIn(t, dir)
	db.tableFrom = 1
	commits := db.newCommits()
	err := errors.Join(
		commits.commit([]*appended{grow("hello", "P", 0, "a", "b")}),
		commits.writeTable(filepath.Join(dir, "000999.sst"), grow("hello", "P", 2, "c", "d")),
		db.pebble.Close(),
	)
	commits.close()
	if err != nil {
		t.Fatal(err)
	}
	want := []PartitionReport{{"hello", "P", 2, 0, ""}}
	if diff := cmp.Diff(want, verified(t, dir, true)); diff != "" {
		t.Errorf("after the crash (-want +got):\n%s", diff)
	}
	if err := writeSeal(dir); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, nil)
	if err != nil || report.Sound() {
		t.Errorf("a closed database: %+v, error %v", report, err)
	}
}
