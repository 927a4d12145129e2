package partdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A partition whose last run or head cannot be read keeps its mark, and does not keep the database from being opened.
func TestHeadsOfDamagedPartitions(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := databaseIn(t, dir)
	db.TableFrom = 1
	commits := db.NewCommits()
	key := AppendRunKey(nil, "hello", "P", 1)
	err := errors.Join(
		commits.Commit([]*Appended{grow("hello", "P", 0, "a"), grow("hello", "Q", 0, "a"), grow("hello", "R", 0, "a")}),
		commits.PutTables([]*Appended{grow("hello", "Q", 1, "b")}),
		db.Pebble.Set(key, bytes.Repeat([]byte{1}, 20), pebble.Sync),
		db.Pebble.Set(AppendPartition(nil, HeadPrefix, "hello", "R"), []byte("seven b"), pebble.Sync),
	)
	commits.Close()
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	db = databaseIn(t, dir)
	defer db.Close()
	for address, want := range map[string]struct {
		records uint64
		marked  bool
		damaged bool
	}{"P": {1, true, false}, "Q": {2, false, false}, "R": {0, true, true}} {
		records, err := db.Records("hello", address)
		_, closer, unmarked := db.Pebble.Get(AppendPartition(nil, MarkPrefix, "hello", address))
		if closer != nil {
			closer.Close()
		}
		if errors.Is(err, ErrDamaged) != want.damaged || records != want.records || (unmarked == nil) != want.marked {
			t.Errorf("%s: %d records, error %v, mark: %v; want %+v", address, records, err, unmarked, want)
		}
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
		db.TableFrom = 1
		commits := db.NewCommits()
		committed := uint64(0)
		var err error
		for committed < 8 {
			if committed == 2 { // from the first table on
				left.Store(nth)
			}
			contents := []string{fmt.Sprint(committed), fmt.Sprint(committed + 1)}
			if err = commits.Commit([]*Appended{grow("hello", "P", committed, contents...)}); err != nil {
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
			commits.Close()
			if err := db.Close(); err != nil {
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
		if err := db.Close(); err != nil {
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
	commits := db.NewCommits()
	for turn := range uint64(100) {
		content := strings.Repeat(fmt.Sprint(turn), 1000)
		if err := commits.Commit([]*Appended{grow("hello", "P", turn, content), grow("hello", "Q", turn, content)}); err != nil {
			t.Fatal(err)
		}
	}
	commits.Close()
	if err := errors.Join(db.Pebble.Flush(), db.Close()); err != nil {
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
	defer db.Close()
	db.TableFrom = 1
	commits = db.NewCommits()
	defer commits.Close()
	for i, content := range []string{"marks", "would be a table", "and again"} {
		if err := commits.Commit([]*Appended{grow("hello", "P", 100+uint64(i), content)}); err != nil {
			t.Fatalf("%s: %v", content, err)
		}
	}
	if n, err := db.Records("hello", "P"); err != nil || n != 103 {
		t.Errorf("%d records, error %v, want 103", n, err)
	}
	if n := db.Pebble.Metrics().Ingest.Count; n != 0 {
		t.Errorf("%d tables were put into the database: the damage did not matter", n)
	}
	select {
	case key := <-db.Suspects:
		if want := AppendPartition(nil, RunPrefix, "hello", "P"); !strings.HasPrefix(string(key), string(want)) {
			t.Errorf("%q is suspected, want one of %q", key, want)
		}
	default:
		t.Error("nothing is suspected")
	}
}
