package partdb

import (
	"fmt"
	"iter"
	"log/slog"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godafka/dafka/zmqwire"
)

func TestBorders(t *testing.T) {
	var b borders
	next := func(want string, partition string) {
		t.Helper()
		key := append([]byte(partition), 0, 0, 0, 0, 0, 0, 1, 0)
		if got := b.next(key); string(got) != want {
			t.Errorf("the table of %q ends at %q, want %q", key, got, want)
		}
	}
	next("s", "rt\x00B\x00")
	for range 8 {
		b.put([]byte("rt\x00B\x00"), memTableBytes/16)
		b.put([]byte("rt\x00D\x00"), memTableBytes/16)
		b.put([]byte("rt\x00C\x00"), 1000)
		b.put([]byte("rt\x00E\x00"), 1000)
	}
	next("rt\x00B\x00", "rt\x00A\x00")
	next("rt\x00B\x01", "rt\x00B\x00")
	next("rt\x00D\x00", "rt\x00BB\x00")
	next("rt\x00D\x00", "rt\x00C\x00")
	next("rt\x00D\x01", "rt\x00D\x00")
	next("s", "rt\x00E\x00")
	next("i", "ht\x00B\x00")
	b.put([]byte("rt\x00C\x00"), memTableBytes)
	next("rt\x00C\x00", "rt\x00B\x00")
	next("s", "rt\x00D\x00")
}

// Partitions that grow fast get tables of their own, once that is known, and all partitions keep what they have.
func TestFastPartitionsHaveTablesOfTheirOwn(t *testing.T) {
	t.Parallel()
	const fast, slow, rounds = 8, 100, 100
	db, err := Open(t.TempDir(), true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	content := func(a *Appended, sequence uint64) string {
		return fmt.Sprintf("%s %997d", a.Address, sequence)
	}
	var appends []*Appended
	for i := range fast + slow {
		appends = append(appends, &Appended{
			Topic: "hello", Address: fmt.Sprintf("P%03d", i*37%1000),
		})
	}
	commits := db.NewCommits()
	defer commits.Close()
	last := uint64(math.MaxUint64) // the tables up to it were made before it was known who grows fast
	for round := range rounds {
		if known := len(db.borders.fast) == fast; known && last == math.MaxUint64 {
			last = 0
			for table := range tablesOf(t, db) {
				last = max(last, uint64(table.FileNum))
			}
			t.Logf("known after %d rounds", round)
		}
		for i, a := range appends {
			run, records := &zmqwire.Run{First: a.Records}, uint64(1)
			if i < fast {
				records = 200
			}
			for ; records > 0; records-- {
				run.Append([]byte(content(a, a.Records)))
				a.Records++
			}
			a.Runs = []*zmqwire.Run{run}
		}
		if err := commits.Commit(appends); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for table := range tablesOf(t, db) {
		if table.Smallest.UserKey[0] != RunPrefix || uint64(table.FileNum) <= last {
			continue
		}
		checked++
		first, last := addressOf(t, table.Smallest.UserKey), addressOf(t, table.Largest.UserKey)
		for _, a := range appends[:fast] {
			if name := a.Address; first != last && first <= name && name <= last {
				t.Errorf("table %d has runs of %s to %s, and %s has none of its own", table.FileNum, first, last, name)
			}
		}
	}
	if checked < fast {
		t.Errorf("%d tables, want one for each fast partition at least", checked)
	}
	for _, a := range appends {
		got := stored(t, db, "hello", a.Address)
		for sequence, text := range got {
			if want := content(a, uint64(sequence)); text != want {
				t.Fatalf("%s: record %d is %q, want %q", a.Address, sequence, text, want)
			}
		}
		if len(got) != int(a.Records) {
			t.Errorf("%s: %d records, want %d", a.Address, len(got), a.Records)
		}
	}
}

func tablesOf(t *testing.T, db *Database) iter.Seq[*pebble.SSTableInfo] {
	t.Helper()
	levels, err := db.Pebble.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(*pebble.SSTableInfo) bool) {
		for _, level := range levels {
			for i := range level {
				if !yield(&level[i]) {
					return
				}
			}
		}
	}
}

func addressOf(t *testing.T, runKey []byte) string {
	t.Helper()
	partition, _, err := SplitRunKey(runKey)
	if err != nil {
		t.Fatal(err)
	}
	_, address, err := SplitHeadKey(partition)
	if err != nil {
		t.Fatal(err)
	}
	return string(address)
}
