package partdb

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/zmqwire"
)

// A finder finds each record in a run, in whatever order it is asked, and also what is committed while it keeps its place.
func TestFinder(t *testing.T) {
	db := databaseOver(t, vfs.NewMem())
	defer db.Close()
	f := Finder{DB: db}
	defer f.Close()
	commits := db.NewCommits()
	defer commits.Close()
	content := func(address string, sequence uint64) string {
		return fmt.Sprintf("%s %d %s", address, sequence, strings.Repeat("x", int(sequence)%5000))
	}
	records := make(map[string]uint64)
	write := func(address string, runs, perRun int) {
		t.Helper()
		a := &Appended{Topic: "hello", Address: address}
		for range runs {
			run := &zmqwire.Run{First: records[address]}
			for range perRun {
				run.Append([]byte(content(address, records[address])))
				records[address]++
			}
			a.Runs = append(a.Runs, run)
		}
		a.Records = records[address]
		if err := commits.Commit([]*Appended{a}); err != nil {
			t.Fatal(err)
		}
	}
	// check asks for all records in order, as one does who takes from each run as many as it has room for.
	check := func(address string, room int) {
		t.Helper()
		for sequence := uint64(0); sequence < records[address]; {
			run, err := f.Find("hello", address, sequence)
			if err != nil || run == nil || run.First > sequence || sequence >= run.End() {
				t.Fatalf("%s %d: run %v, error %v", address, sequence, run, err)
			}
			for i := int(sequence - run.First); i < run.Len() && i < int(sequence-run.First)+room; i++ {
				if got, want := string(run.Content(i)), content(address, run.First+uint64(i)); got != want {
					t.Fatalf("%s %d is %.40q, want %.40q", address, run.First+uint64(i), got, want)
				}
			}
			sequence += uint64(min(room, run.Len()-int(sequence-run.First)))
		}
		if run, err := f.Find("hello", address, records[address]); run != nil || err != nil {
			t.Errorf("%s: behind its records there are %v, error %v", address, run, err)
		}
	}
	write("A", 30, 50)
	write("AA", 500, 1)
	write("B", 1, 1)
	for _, room := range []int{1, 7, 1000} {
		for address := range records {
			check(address, room)
		}
	}
	check("A", 1000)
	write("A", 3, 10)
	write("C", 3, 10)
	for _, address := range []string{"A", "C", "AA"} {
		check(address, 1000)
	}
	for _, sequence := range []uint64{1400, 3, 1529, 0, 49, 50} {
		if run, err := f.Find("hello", "A", sequence); err != nil || string(run.Content(int(sequence-run.First))) != content("A", sequence) {
			t.Errorf("A %d: run %v, error %v", sequence, run, err)
		}
	}
	for _, nobody := range []string{"0", "A\x01", "D"} {
		if run, err := f.Find("hello", nobody, 0); run != nil || err != nil {
			t.Errorf("%q has %v, error %v", nobody, run, err)
		}
	}
}

// What could not be read is not read again at once, however often it is asked for, so that there is time for the rest;
// it is when the time has come, and when a table was mended.
func TestFinderRemembersDamage(t *testing.T) {
	db := databaseOver(t, vfs.NewMem())
	defer db.Close()
	f := Finder{DB: db}
	defer f.Close()
	commits := db.NewCommits()
	defer commits.Close()
	key := AppendRunKey(nil, "hello", "P", 0)
	value := encoded(key, runOf(0, "a"))
	damaged := bytes.Clone(value)
	damaged[0] ^= 1
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(commits.Commit([]*Appended{grow("hello", "P", 0, "a"), grow("hello", "Q", 0, "b")}))
	must(db.Pebble.Set(key, damaged, pebble.Sync))
	must(db.Pebble.Flush())
	find := func(address string) bool {
		t.Helper()
		run, err := f.Find("hello", address, 0)
		if err == nil && (run == nil || run.Len() != 1) {
			t.Fatalf("run of %s: %+v", address, run)
		}
		return err == nil
	}
	if find("P") {
		t.Fatal("damage was not noticed")
	}
	f.retry = time.Now().Add(time.Hour)
	for range 100 {
		if find("P") || !find("Q") {
			t.Fatal("P is damaged and Q is not")
		}
	}
	must(db.Pebble.Set(key, value, pebble.Sync))
	if find("P") {
		t.Error("read again too soon")
	}
	f.retry = time.Now()
	if !find("P") {
		t.Error("not read again when the time has come")
	}
	must(db.Pebble.Set(key, damaged, pebble.Sync))
	f.Close()
	if find("P") {
		t.Error("damage was not noticed")
	}
	f.retry = time.Now().Add(time.Hour)
	must(db.Pebble.Set(key, value, pebble.Sync))
	db.mended.Add(1)
	if !find("P") {
		t.Error("not read again when it was mended")
	}
}
