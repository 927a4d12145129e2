package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/tower/towertest"
)

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
		db, err := partdb.Open(dir, test.noSync, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		db.TableFrom = 1000
		commits := db.NewCommits()
		want := make(map[string][]string)
		for turn := range 10 {
			var appends []*partdb.Appended
			for _, p := range []struct {
				topic, address string
				size           int
			}{{"hello", "LARGE", 1000}, {"hello", "SMALL", 999}, {"hello", "Z LARGE", 5000}} {
				content := fmt.Sprintf("%d %s ", turn, p.address)
				content += strings.Repeat("x", p.size-len(content))
				appends = append(appends, storetest.Grow(p.topic, p.address, uint64(turn), content))
				want[p.address] = append(want[p.address], content)
			}
			if err := commits.Commit(appends); err != nil {
				t.Fatal(err)
			}
		}
		commits.Close()
		for address, contents := range want {
			if diff := cmp.Diff(contents, storetest.Stored(t, db, "hello", address)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", address, diff)
			}
		}
		if n := db.Pebble.Metrics().Ingest.Count; n != test.want {
			t.Errorf("without syncs: %v: tables were put into the database %d times, want %d", test.noSync, n, test.want)
		}
		if err := db.Close(); err != nil {
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
	open := func() *partdb.Database {
		t.Helper()
		db := storetest.DatabaseIn(t, dir)
		db.TableFrom = 1
		return db
	}
	half := filepath.Join(dir, fmt.Sprintf(partdb.HalfTable, 0))
	crash := func(db *partdb.Database) {
		t.Helper()
		if err := errors.Join(db.Pebble.Close(), os.WriteFile(half, []byte("half a table"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	db := open()
	commits := db.NewCommits()
	if err := commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", 0, "a", "b"), storetest.Grow("hello", "Q", 0, "a")}); err != nil {
		t.Fatal(err)
	}
	if err := commits.PutTables([]*partdb.Appended{storetest.Grow("hello", "P", 2, "c", "d", "e")}); err != nil {
		t.Fatal(err)
	}
	commits.Close()
	crash(db)
	want := []PartitionReport{{"hello", "P", 5, 0, ""}, {"hello", "Q", 1, 0, ""}}
	if diff := cmp.Diff(want, verified(t, dir, true)); diff != "" {
		t.Errorf("after the crash (-want +got):\n%s", diff)
	}
	// In a database that was closed, nothing lies behind a head.
	if err := partdb.WriteSeal(dir); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, nil)
	if err != nil || report.Partitions[0].Fault != "its head says 2 records, and there are 5" {
		t.Errorf("a closed database: %+v, error %v", report, err)
	}

	for i, contents := range [][]string{{"f"}, {"g", "h"}} {
		db = open()
		from, err := db.Records("hello", "P")
		if err != nil || from != uint64(5+i) {
			t.Fatalf("%d records, error %v, want %d", from, err, 5+i)
		}
		if marks, closer, err := db.Pebble.Get(partdb.AppendPartition(nil, partdb.MarkPrefix, "hello", "P")); !errors.Is(err, pebble.ErrNotFound) {
			closer.Close()
			t.Errorf("the mark is still there: %q, error %v", marks, err)
		}
		commits = db.NewCommits()
		if err := commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", from, contents...)}); err != nil {
			t.Fatal(err)
		}
		commits.Close()
		crash(db)
	}
	db = open()
	if diff := cmp.Diff(strings.Split("abcdefgh", ""), storetest.Stored(t, db, "hello", "P")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := db.Close(); err != nil {
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

// A database of the format before this one becomes one of this format, with all that it holds.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	storetest.MakeRuns(t, dir, func(db *pebble.DB) error {
		return db.Set([]byte(partdb.VersionKey), []byte(partdb.OldVersion), pebble.Sync)
	}, []string{"a", "b"})
	verified(t, dir, false)
	db := storetest.DatabaseIn(t, dir)
	defer db.Close()
	version, closer, err := db.Pebble.Get([]byte(partdb.VersionKey))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if string(version) != partdb.FormatVersion {
		t.Errorf("format %q, want %q", version, partdb.FormatVersion)
	}
	if diff := cmp.Diff([]string{"a", "b"}, storetest.Stored(t, db, "hello", "P")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A copy that is made while tables are put into the database is sound, and has all that was committed before.
func TestCheckpointBesideTables(t *testing.T) {
	t.Parallel()
	db := storetest.DatabaseIn(t, filepath.Join(t.TempDir(), "db"))
	defer db.Close()
	db.TableFrom = 1
	var committed atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		commits := db.NewCommits()
		defer commits.Close()
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			n := committed.Load()
			if err := commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", n, fmt.Sprint(n))}); err != nil {
				stopped <- err
				return
			}
			committed.Store(n + 1)
		}
	}()
	end := sync.OnceValue(func() error { close(stop); return <-stopped })
	defer end()
	for i := range 20 {
		towertest.Eventually(t, "more tables", func() bool { return committed.Load() >= uint64(10*i+10) })
		before := committed.Load()
		dir := filepath.Join(t.TempDir(), "copy")
		if err := db.Checkpoint(dir); err != nil {
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
	if n := db.Pebble.Metrics().Ingest.Count; n < 20 {
		t.Errorf("%d tables were put into the database, want more", n)
	}
}

// A store may be killed when Pebble has a table's file and does not name it yet. Nothing of it was acked, so a store that
// was killed is sound with it; one that was closed is not.
func TestTableThatIsNotNamed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := storetest.DatabaseIn(t, dir)
	db.TableFrom = 1
	commits := db.NewCommits()
	err := errors.Join(
		commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", 0, "a", "b")}),
		commits.WriteTable(filepath.Join(dir, "000999.sst"), storetest.Grow("hello", "P", 2, "c", "d")),
		db.Pebble.Close(),
	)
	commits.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := []PartitionReport{{"hello", "P", 2, 0, ""}}
	if diff := cmp.Diff(want, verified(t, dir, true)); diff != "" {
		t.Errorf("after the crash (-want +got):\n%s", diff)
	}
	if err := partdb.WriteSeal(dir); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, nil)
	if err != nil || report.Sound() {
		t.Errorf("a closed database: %+v, error %v", report, err)
	}
}

// Records that were given again come in other runs than those that a log or an old table still has.
func TestVerifyComparesRecords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		old   []string
		sound bool
	}{{[]string{"a", "b", "c"}, true}, {[]string{"b", "c"}, true}, {[]string{"a", "b", "x"}, false}, {[]string{"a", "b", "c", "d"}, false}} {
		dir := filepath.Join(t.TempDir(), "db")
		db := storetest.DatabaseIn(t, dir)
		commits := db.NewCommits()
		first := uint64(0)
		if test.old[0] == "b" {
			first = 1
		}
		err := errors.Join(
			commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", 0, "a")}), commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", 1, "b", "c")}),
			db.Pebble.Flush(), commits.WriteTable(filepath.Join(dir, "000999.sst"), storetest.Grow("hello", "P", first, test.old...)),
		)
		commits.Close()
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if report, err := Verify(t.Context(), dir, nil); err != nil || report.Sound() != test.sound {
			t.Errorf("%q from %d on: %+v, error %v, want sound: %v", test.old, first, report, err, test.sound)
		}
	}
}
