package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/zmqwire"
)

// readWhole reads all partitions of a running store again and again, as those do who fetch them, until each is what it
// should be. It returns how often that was not so.
func readWhole(t *testing.T, s *Store, what string, want storetest.Kept) (damaged int) {
	t.Helper()
	for name, contents := range want {
		eventually(t, fmt.Sprintf("%s: all of %q can be read", what, name), func() bool {
			got, err := storetest.ReadPartition(t, s.db, name[0], name[1], uint64(len(contents)))
			if err == nil && slices.Equal(got, contents) {
				return true
			}
			damaged++
			if wrong := storetest.Prefixes(want, storetest.Kept{name: got}); wrong != nil {
				t.Fatalf("%s: %v", what, wrong)
			}
			return false
		})
	}
	return damaged
}

// tables are the tables in a store's folder.
func tables(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("tables of %s: %q, %v", dir, paths, err)
	}
	return paths
}

// A running store one of whose tables is damaged at a random place gets back from another store what cannot be read.
// Afterwards it is whole and sound.
func TestDamageIsMendedWhileTheStoreRuns(t *testing.T) {
	t.Parallel()
	const atOnce = 10
	sound := filepath.Join(t.TempDir(), "sound")
	want := storetest.MakeStore(t, sound, 2<<20, nil)
	mended, unread := uint64(0), 0
	stores := inBatches(t, atOnce, func(t *testing.T, dice *rand.Rand) {
		tw := openTower(t)
		other := filepath.Join(t.TempDir(), "whole")
		storetest.CopyFiles(t, sound, other)
		openStore(t, tw, other)
		for range atOnce {
			dir := filepath.Join(t.TempDir(), "db")
			storetest.CopyFiles(t, sound, dir)
			s := openStore(t, tw, dir)
			what := damageTable(t, dice, dir)
			damaged := readWhole(t, s, what, want) > 0
			mended += s.Stats().Mended
			if err := s.Close(); err != nil {
				t.Errorf("%s: Close: %v", what, err)
			}
			if !damaged {
				unread++
				continue
			}
			got, failures := storetest.ReadStore(t, dir)
			if err := errors.Join(append(failures, storetest.Prefixes(want, got))...); err != nil || !storetest.Same(want, got) {
				t.Errorf("%s: after it was mended: %v", what, err)
			}
			report, err := admin.Verify(t.Context(), dir, nil)
			if err != nil || !report.Sound() {
				t.Errorf("%s: after it was mended: %+v, %v", what, report, err)
			}
			if t.Failed() {
				return
			}
			os.RemoveAll(dir)
		}
	})
	t.Logf("%d stores damaged, %d of them where nothing is read while a table is open; the others are whole again, %d records came from another store",
		stores, unread, mended)
}

// damageTable damages the tables in a store's folder in one place, and says how.
func damageTable(t *testing.T, dice *rand.Rand, dir string) string {
	t.Helper()
	var paths []string
	all := make(map[string][]byte)
	size := 0
	for _, path := range tables(t, dir) {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the store has made another of it
		}
		if err != nil {
			t.Fatal(err)
		}
		paths, all[path] = append(paths, path), data
		size += len(data)
	}
	at := dice.IntN(size)
	for len(all[paths[0]]) <= at {
		at -= len(all[paths[0]])
		paths = paths[1:]
	}
	path, data := paths[0], all[paths[0]]
	var what string
	switch dice.IntN(4) {
	case 0, 1:
		data[at] ^= 1 << dice.IntN(8)
		what = fmt.Sprintf("%s: byte %d changed", filepath.Base(path), at)
	case 2:
		at &^= 4095
		clear(data[at:min(at+4096, len(data))])
		what = fmt.Sprintf("%s: 4,096 bytes from %d are zero", filepath.Base(path), at)
	case 3:
		data = data[:at]
		what = fmt.Sprintf("%s: cut to %d bytes", filepath.Base(path), at)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}

// spoil spoils all data of all tables whose first key begins so, but not what Pebble needs to open them.
func spoil(t *testing.T, s *Store, prefix byte) {
	t.Helper()
	if err := s.db.Pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	levels, err := s.db.Pebble.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	spoiled := 0
	for _, level := range levels {
		for _, table := range level {
			if table.Smallest.UserKey[0] != prefix {
				continue
			}
			file, err := os.OpenFile(s.db.TablePath(&table), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt([]byte{'?', '?', '?', '?'}, 20); err != nil {
				t.Fatal(err)
			}
			file.Close()
			spoiled++
		}
	}
	if spoiled == 0 {
		t.Fatalf("no table of %q", prefix)
	}
}

// What no other store has stays as it is, and is not replaced by less: not before one that has it comes. Meanwhile the
// store takes in more of the same partition, which then is whole, the old with the new.
func TestMendingWaitsForWhoHasTheRecords(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir, other := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "other")
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "V", nil)
	fill(t, p, s, 0, 5000)
	second := openStore(t, tw, other)
	eventually(t, "all in the second store", func() bool {
		records, err := second.db.Records("hello", "P")
		return err == nil && records == 5000
	})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, s, partdb.RunPrefix)

	want := contentsUpTo(6000)
	whole := func() bool {
		records, err := s.db.Records("hello", "P")
		if err != nil {
			t.Fatal(err)
		}
		got, err := storetest.ReadPartition(t, s.db, "hello", "P", records)
		return err == nil && slices.Equal(got, want[:records])
	}
	if whole() {
		t.Fatal("the damage cannot be seen")
	}
	eventually(t, "it is asked for", func() bool { return len(p.fetches("P")) > 0 })
	fill(t, p, s, 5000, 6000)
	if whole() {
		t.Fatal("whole, though nobody has what was lost")
	}
	openStore(t, tw, other)
	eventually(t, "whole again", whole)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := admin.Verify(t.Context(), dir, nil); err != nil || !report.Sound() {
		t.Errorf("after it was mended: %+v, %v", report, err)
	}
}

// Heads are made again from the runs, without any other store.
func TestDamagedHeadsAreMended(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	s := openStore(t, tw, dir)
	partitions := shelves("P", 50)
	publish(t, tw, s, "V", partitions)
	p := visit(t, tw, s, "W", nil)
	spoil(t, s, partdb.HeadPrefix)
	var want []string
	for name, contents := range partitions {
		topic, address, _ := strings.Cut(name, "/")
		want = append(want, fmt.Sprintf("%q %q %d", topic, address, len(contents)-1))
	}
	slices.Sort(want)
	asked := 0
	eventually(t, "all heads are told again", func() bool {
		asked++
		requester := fmt.Sprint("R", asked)
		p.getHeads(requester, "")
		p.fetch(requester, "meeting", "W", 0, 1) // answered behind the heads
		eventually(t, "an answer", func() bool { return len(p.given(requester).Records) > 0 })
		told := slices.DeleteFunc(p.given(requester).Heads, func(head string) bool { return strings.Contains(head, "meeting") })
		return slices.Equal(want, told)
	})
	if asked == 1 || s.Stats().Damaged == 0 {
		t.Errorf("told at attempt %d, %d heads damaged: the damage cannot have been seen", asked, s.Stats().Damaged)
	}
	s.Close()
	if diff := cmp.Diff(partitions, held(t, dir, partitions)); diff != "" {
		t.Errorf("after the heads were mended (-want +got):\n%.3000s", diff)
	}
	if report, err := admin.Verify(t.Context(), dir, nil); err != nil || !report.Sound() {
		t.Errorf("after the heads were mended: %+v, %v", report, err)
	}
}

// A run whose own checksum is wrong, though its block is sound, is mended too, and an answer with more than the table can
// have held is not believed.
func TestDamagedRunIsMended(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	db := storetest.DatabaseIn(t, dir)
	run, key := storetest.RunOf(0, contentsUpTo(100)...), partdb.AppendRunKey(nil, "hello", "P", 0)
	value := make([]byte, partdb.RunSize(run))
	partdb.EncodeRun(value, key, run)
	value[len(value)-1] ^= 1
	err := errors.Join(db.Pebble.Set(key, value, nil),
		db.Pebble.Set(partdb.AppendPartition(nil, partdb.HeadPrefix, "hello", "P"), binary.BigEndian.AppendUint64(nil, 100), pebble.Sync), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "V", nil)
	lost, err := storetest.ReadPartition(t, s.db, "hello", "P", 100)
	if err == nil || len(lost) > 0 {
		t.Fatalf("%d records read of a damaged run, %v", len(lost), err)
	}
	eventually(t, "it is asked for", func() bool { return len(p.fetches("P")) > 0 })
	give := func(content func(uint64) string) {
		for sequence := range uint64(100) {
			p.Say(recordMessage(zmqwire.DirectRecord, s, sequence, content(sequence)))
		}
	}
	give(func(uint64) string { return strings.Repeat("x", 1<<20) })
	eventually(t, "the records come back", func() bool {
		give(content)
		got, err := storetest.ReadPartition(t, s.db, "hello", "P", 100)
		if err != nil {
			return false
		}
		if diff := cmp.Diff(contentsUpTo(100), got); diff != "" {
			t.Fatalf("mended (-want +got):\n%.1000s", diff)
		}
		return true
	})
}

// What would take too long while nothing is committed is left for repair, and a store that is to end does not go on with
// it.
func TestMendingHasBounds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := storetest.DatabaseIn(t, dir)
	commits := db.NewCommits()
	const runs, size = 200, 40_000
	for i := range uint64(runs) {
		if err := commits.Commit([]*partdb.Appended{storetest.Grow("hello", "P", i, strings.Repeat(string(rune('a'+i%26)), size))}); err != nil {
			t.Fatal(err)
		}
	}
	commits.Close()
	if err := errors.Join(db.Pebble.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	// damage spoils every so many runs of the table from the first on.
	damage := func(every int) {
		t.Helper()
		tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
		for _, path := range tables {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for at := size / 2; at < min(len(content), runs*size)-2*size; at += every * size {
				content[at]++
				content[at+1]++
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		every  int
		ending bool
		want   string
	}{{runs / 2, false, ""}, {runs / 2, true, "the store ends"}, {runs / 20, false, "more than 8 of its blocks"}} {
		damage(test.every)
		db := storetest.DatabaseIn(t, dir)
		l, err := findLoss(db, partdb.AppendRunKey(nil, "hello", "P", 0), func(string) bool { return false })
		if err != nil || l == nil {
			t.Fatalf("damage is not found: %v", err)
		}
		l.ending = func() bool { return test.ending }
		lacking, err := l.walk(db, nil)
		if test.want == "" && (err != nil || len(lacking) == 0) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("every %d runs, ending: %v: %d partitions lack something, error %v, want %q", test.every, test.ending, len(lacking), err, test.want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
