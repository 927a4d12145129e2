package admin

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
)

// What is wrong between heads and runs is told, and Repair makes the best of it.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	head := partdb.AppendPartition(nil, partdb.HeadPrefix, "hello", "P")
	runKey := func(first uint64) []byte { return partdb.AppendRunKey(nil, "hello", "P", first) }
	setHead := func(records uint64) func(*pebble.DB) error {
		return func(db *pebble.DB) error {
			return db.Set(head, binary.BigEndian.AppendUint64(nil, records), pebble.Sync)
		}
	}
	set := func(first uint64, contents ...string) func(*pebble.DB) error {
		return func(db *pebble.DB) error {
			return db.Set(runKey(first), storetest.Encoded(runKey(first), storetest.RunOf(first, contents...)), pebble.Sync)
		}
	}
	all := []string{"a", "b", "c", "d", "e"}
	for _, test := range []struct {
		what   string
		change func(*pebble.DB) error
		report []PartitionReport // of Verify
		left   []string
	}{
		{"nothing", nil, []PartitionReport{{"hello", "P", 5, 0, ""}}, all},
		{"a head too high", setHead(7), []PartitionReport{{"hello", "P", 5, 2, "its head says 7 records"}}, all},
		{"a head too low", setHead(3), []PartitionReport{{"hello", "P", 5, 0, "its head says 3 records, and there are 5"}}, all},
		{"no head", func(db *pebble.DB) error { return db.Delete(head, pebble.Sync) },
			[]PartitionReport{{"hello", "P", 5, 0, "its head says 0 records, and there are 5"}}, all},
		{"a head of 7 bytes", func(db *pebble.DB) error { return db.Set(head, []byte("seven b"), pebble.Sync) },
			[]PartitionReport{{"hello", "P", 5, 0, "its head is damaged"}}, all},
		{"a hole", func(db *pebble.DB) error { return db.Delete(runKey(2), pebble.Sync) },
			[]PartitionReport{{"hello", "P", 2, 3, "records 2 to 2 are missing"}}, all[:2]},
		{"a hole at the beginning", func(db *pebble.DB) error { return db.Delete(runKey(0), pebble.Sync) },
			[]PartitionReport{{"hello", "P", 0, 5, "records 0 to 1 are missing"}}, nil},
		{"a hole at the end", func(db *pebble.DB) error { return db.Delete(runKey(3), pebble.Sync) },
			[]PartitionReport{{"hello", "P", 3, 2, "its head says 5 records"}}, all[:3]},
		{"an overlap", set(1, "b", "c"),
			[]PartitionReport{{"hello", "P", 2, 3, "record 1 is there twice"}}, all},
		{"a run in the wrong place", func(db *pebble.DB) error {
			return db.Set(runKey(3), storetest.Encoded(runKey(4), storetest.RunOf(4, "d", "e")), pebble.Sync)
		}, []PartitionReport{{"hello", "P", 3, 2, "record 3: stored data is damaged: checksum of run " +
			`"rhello\x00P\x00\x00\x00\x00\x00\x00\x00\x00\x03"`}}, all[:3]},
		{"a partition of which only the head is left", func(db *pebble.DB) error {
			return errors.Join(db.Delete(runKey(0), pebble.Sync), db.Delete(runKey(2), pebble.Sync), db.Delete(runKey(3), pebble.Sync))
		}, []PartitionReport{{"hello", "P", 0, 5, "its head says 5 records"}}, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "db")
			storetest.MakeRuns(t, dir, func(db *pebble.DB) error {
				if test.change == nil {
					return nil
				}
				// A key that was deleted is gone when its table was written again.
				if err := errors.Join(test.change(db), db.Flush()); err != nil {
					return err
				}
				return db.Compact(t.Context(), []byte("a"), []byte("z"), false)
			}, []string{"a", "b"}, []string{"c"}, []string{"d", "e"})
			before := storetest.FilesIn(t, dir)
			report, err := Verify(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&Report{Partitions: test.report}, report); diff != "" {
				t.Errorf("Verify (-want +got):\n%s", diff)
			}
			repaired, err := Repair(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if (repaired.Old == "") != report.Sound() {
				t.Errorf("Repair of what Verify finds sound (%v) left the old folder %q", report.Sound(), repaired.Old)
			}
			if repaired.Old != "" {
				if want := dir + ".damaged"; repaired.Old != want {
					t.Errorf("the old folder is %s, want %s", repaired.Old, want)
				}
				if diff := cmp.Diff(before, storetest.FilesIn(t, repaired.Old)); diff != "" {
					t.Errorf("Repair changed the old folder (-want +got):\n%s", diff)
				}
			}
			got, failures := storetest.ReadStore(t, dir)
			if diff := cmp.Diff(test.left, got[[2]string{"hello", "P"}]); diff != "" || len(failures) > 0 {
				t.Errorf("after Repair: %v; (-want +got):\n%s", failures, diff)
			}
			if report, err := Verify(t.Context(), dir, nil); err != nil || !report.Sound() {
				t.Errorf("after Repair Verify says %+v, %v", report, err)
			}
		})
	}
}

// A second repair does not overwrite what the first one kept or made, and what one that was broken off left is no hindrance.
func TestRepairAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	spoil := func(db *pebble.DB) error {
		return db.Set(partdb.AppendPartition(nil, partdb.HeadPrefix, "hello", "P"), []byte("seven b"), pebble.Sync)
	}
	storetest.MakeRuns(t, dir, spoil, []string{"a", "b"})
	if err := errors.Join(os.Mkdir(dir+".repairing", 0o700), os.Mkdir(dir+".repaired", 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{dir + ".damaged", dir + ".damaged-2", dir + ".damaged-3"} {
		repaired, err := Repair(t.Context(), dir, nil)
		if err != nil || repaired.Old != want {
			t.Fatalf("Repair kept %+v, %v, want %s", repaired, err, want)
		}
		storetest.MakeRuns(t, dir, spoil)
	}
	names, err := filepath.Glob(dir + "*")
	if want := []string{dir, dir + ".damaged", dir + ".damaged-2", dir + ".damaged-3", dir + ".repaired"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v, want %q", names, err, want)
	}
}

// What is no store's folder, or one in use, is left alone.
func TestOfflineErrors(t *testing.T) {
	used := t.TempDir()
	defer storetest.DatabaseIn(t, used).Close() // as a running store has it
	ofC, empty, future := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(ofC, "CURRENT"), []byte("MANIFEST-000002\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.MakeRuns(t, future, func(db *pebble.DB) error { return db.Set([]byte(partdb.VersionKey), []byte("3"), pebble.Sync) })
	for _, test := range []struct{ what, dir, want string }{
		{"a store that runs", used, "in use by a running store: stop it first"},
		{"no folder", filepath.Join(empty, "nothing"), "there is no folder"},
		{"an empty folder", empty, "holds no store's database"},
		{"a C store's folder", ofC, "dafka store import --leveldb"},
		{"a later format", future, `format "3"`},
	} {
		before := map[string]string{}
		if test.dir != used {
			if _, err := os.Stat(test.dir); err == nil {
				before = storetest.FilesIn(t, test.dir)
			}
		}
		_, verifying := Verify(t.Context(), test.dir, nil)
		_, repairing := Repair(t.Context(), test.dir, nil)
		for _, err := range []error{verifying, repairing} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q", test.what, err, test.want)
			}
		}
		if len(before) > 0 {
			if diff := cmp.Diff(before, storetest.FilesIn(t, test.dir)); diff != "" {
				t.Errorf("%s was changed (-want +got):\n%s", test.what, diff)
			}
		}
	}
}
