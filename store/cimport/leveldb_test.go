package cimport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
)

// makeLevelDB writes a database as a C store does.

func makeLevelDB(t *testing.T, dir string, contents storetest.Kept, change func(*leveldb.DB) error) {
	t.Helper()
	// Small tables, so that there are several, and a log.
	db, err := leveldb.OpenFile(dir, &opt.Options{WriteBuffer: 64 << 10, CompactionTableSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, records := range contents {
		for sequence, content := range records {
			var batch leveldb.Batch
			batch.Put(keyOfC(recordOfC, name[0], name[1], uint64(sequence)), []byte(content))
			batch.Put(keyOfC(headOfC, name[0], name[1]), binary.BigEndian.AppendUint64(nil, uint64(sequence)))
			if err := db.Write(&batch, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if change != nil {
		if err := change(db); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func keyOfC(kind byte, topic, address string, sequence ...uint64) []byte {
	key := fmt.Appendf(nil, "%c%s\x00%s\x00", kind, topic, address)
	for _, s := range sequence {
		key = binary.BigEndian.AppendUint64(key, s)
	}
	return key
}

// contentsOfC are some partitions' records: many, none that is alike, empty ones and all bytes among them.
func contentsOfC() storetest.Kept {
	contents := make(storetest.Kept)
	for p, name := range [][2]string{{"hello", "A"}, {"hello", "B"}, {"hello2", "A"}, {"\xff\xfe", "\x01"}} {
		for sequence := range 500 * (p + 1) {
			content := fmt.Sprintf("%d of %q %s", sequence, name, strings.Repeat("\x00\xff", sequence%100))
			if sequence%50 == 7 {
				content = ""
			}
			contents[name] = append(contents[name], content)
		}
	}
	return contents
}

func TestImportLevelDB(t *testing.T) {
	t.Parallel()
	ofC, dir := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "db")
	want := contentsOfC()
	makeLevelDB(t, ofC, want, nil)
	before := storetest.FilesIn(t, ofC)
	for range 2 { // what is there already is compared
		report, err := Import(t.Context(), ofC, dir, nil)
		if err != nil || !report.Sound() {
			t.Fatalf("%+v, %v", report, err)
		}
		got, failures := storetest.ReadStore(t, dir)
		if diff := cmp.Diff(want, got); diff != "" || len(failures) > 0 {
			t.Fatalf("%v, imported (-want +got):\n%s", failures, diff)
		}
	}
	if diff := cmp.Diff(before, storetest.FilesIn(t, ofC)); diff != "" {
		t.Errorf("the C store was changed (-want +got):\n%s", diff)
	}
}

// madeByC are the records that testdata/leveldb/writer.cc writes: so many in each of two partitions.
func madeByC(records int) storetest.Kept {
	contents := make(storetest.Kept)
	for _, name := range [][2]string{{"hello", "A"}, {"hello2", "B"}} {
		for sequence := range records {
			content := fmt.Sprintf("%d of %s %s ", sequence, name[0], name[1]) + strings.Repeat("\x00\xff", sequence%20)
			if sequence%50 == 7 {
				content = ""
			}
			contents[name] = append(contents[name], content)
		}
	}
	return contents
}

// cut takes the last bytes off a file.
func cut(t *testing.T, path string, bytes int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// All records of databases that LevelDB in C wrote are imported, also those that are in a log and that the manifest counts
// already. What is missing is reported.
func TestImportOfWhatLevelDBWrote(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		folder, what string
		change       func(dir string)
		records      int
		fault        string // of the report; none when it is sound
	}{
		{folder: "log", records: 50},
		{folder: "overtaken", records: 290},
		{folder: "tables", records: 1020},
		{folder: "reopened", records: 320},
		{folder: "killed", records: 520},
		{folder: "deleted", records: 290},
		{folder: "ahead", records: 50, fault: `topic "hello", partition "A": records 50 to 60 are missing`},
		{
			folder: "log", what: "killed in the middle of a commit",
			change:  func(dir string) { cut(t, filepath.Join(dir, "000003.log"), 25) },
			records: 45,
		}, {
			folder: "deleted", what: "killed in the middle of a commit",
			change:  func(dir string) { cut(t, filepath.Join(dir, "000004.log"), 25) },
			records: 285,
		}, {
			folder: "overtaken", what: "cut where the manifest counts",
			change:  func(dir string) { cut(t, filepath.Join(dir, "000004.log"), 25) },
			records: 285, fault: "the log ends at sequence 1140, and the manifest counts 1160",
		},
	} {
		t.Run(strings.TrimSpace(test.folder+" "+test.what), func(t *testing.T) {
			t.Parallel()
			ofC, dir := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "db")
			storetest.CopyFiles(t, filepath.Join("testdata", "leveldb", test.folder), ofC)
			if test.change != nil {
				test.change(ofC)
			}
			before := storetest.FilesIn(t, ofC)
			report, err := Import(t.Context(), ofC, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if faults := faultsOf(report); test.fault == "" && len(faults) > 0 || test.fault != "" && !strings.Contains(strings.Join(faults, "\n"), test.fault) {
				t.Errorf("faults %q, want %q", faults, test.fault)
			}
			got, failures := storetest.ReadStore(t, dir)
			if diff := cmp.Diff(madeByC(test.records), got); diff != "" || len(failures) > 0 {
				t.Errorf("%v, imported (-want +got):\n%s", failures, diff)
			}
			if diff := cmp.Diff(before, storetest.FilesIn(t, ofC)); diff != "" {
				t.Errorf("the C store was changed (-want +got):\n%s", diff)
			}
		})
	}
}

func faultsOf(r *admin.Report) (faults []string) {
	faults = slices.Clone(r.Faults)
	for _, p := range r.Partitions {
		if p.Fault != "" {
			faults = append(faults, fmt.Sprintf("topic %q, partition %q: %s", p.Topic, p.Partition, p.Fault))
		}
	}
	return faults
}

// A flipped bit or a cut in a C store's log never costs records without a word. A cut may, when it is where the C store
// could have been killed.
func TestImportOfDamagedLogs(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		folder, log string
		records     int
	}{{"log", "000003.log", 50}, {"overtaken", "000004.log", 290}, {"killed", "000004.log", 520}, {"killed", "000006.log", 520}} {
		from := filepath.Join("testdata", "leveldb", test.folder)
		data, err := os.ReadFile(filepath.Join(from, test.log))
		if err != nil {
			t.Fatal(err)
		}
		want := madeByC(test.records)
		for range 10 {
			ofC, dir := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "db")
			storetest.CopyFiles(t, from, ofC)
			bit := dice.IntN(8 * len(data))
			damaged := bytes.Clone(data)
			damaged[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(filepath.Join(ofC, test.log), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := Import(t.Context(), ofC, dir, nil)
			if err != nil {
				continue
			}
			got, failures := storetest.ReadStore(t, dir)
			if err := errors.Join(append(failures, storetest.Prefixes(want, got))...); err != nil {
				t.Errorf("%s of %s, bit %d: %v", test.log, test.folder, bit, err)
			}
			if report.Sound() && !storetest.Same(want, got) {
				t.Errorf("%s of %s, bit %d: records are lost, and the report says nothing", test.log, test.folder, bit)
			}
		}
	}
}

// What cannot be brought in is told, and does not keep the rest away.
func TestImportPartOfLevelDB(t *testing.T) {
	t.Parallel()
	ofC, dir := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "db")
	long := strings.Repeat("t", 300)
	makeLevelDB(t, ofC, storetest.Kept{
		{"hello", "good"}: {"a", "b", "c"}, {"hello", "hole"}: {"a", "b", "c", "d"}, {"hello", "other"}: {"a", "b", "c"},
		{"hello", "headless"}: {"a", "b"}, {"hello", "short"}: {"a", "b"}, {long, "A"}: {"a"}, {"hello", "ahead"}: {"a"},
	}, func(db *leveldb.DB) error {
		var batch leveldb.Batch
		batch.Delete(keyOfC(recordOfC, "hello", "hole", 2))
		batch.Delete(keyOfC(headOfC, "hello", "headless"))
		batch.Put(keyOfC(headOfC, "hello", "short"), binary.BigEndian.AppendUint64(nil, 4))
		return db.Write(&batch, nil)
	})
	into, err := admin.OpenImporter(dir)
	if err != nil {
		t.Fatal(err)
	}
	record := func(topic, partition string, sequence uint64, content string) admin.Record {
		return admin.Record{Topic: topic, Partition: partition, Sequence: sequence, Content: []byte(content)}
	}
	for _, r := range []admin.Record{
		record("hello", "other", 0, "a"), record("hello", "other", 1, "another"),
		record("hello", "ahead", 0, "a"), record("hello", "ahead", 1, "b"),
	} {
		if added, err := into.Add(&r); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	if err := into.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Import(t.Context(), ofC, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := func(topic, partition string, records, lost uint64, fault string) admin.PartitionReport {
		return admin.PartitionReport{Topic: topic, Partition: partition, Records: records, Lost: lost, Fault: fault}
	}
	want := &admin.Report{Partitions: []admin.PartitionReport{
		found("hello", "ahead", 1, 0, ""),
		found("hello", "good", 3, 0, ""),
		found("hello", "headless", 2, 0, ""),
		found("hello", "hole", 2, 2, "records 2 to 2 are missing"),
		found("hello", "other", 1, 2, `store: record 1 of topic "hello", partition "other": it is there already, with another content`),
		found("hello", "short", 2, 3, "records 2 to 4 are missing"),
		found(long, "A", 0, 1, "topic is 300 bytes long, the protocol carries at most 255: name that the protocol does not carry"),
	}}
	for i := range report.Partitions { // the words of another package
		if p := &report.Partitions[i]; p.Topic == long && strings.HasPrefix(p.Fault, "topic is 300 bytes long") {
			p.Fault = want.Partitions[i].Fault
		}
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	got, failures := storetest.ReadStore(t, dir)
	if diff := cmp.Diff(storetest.Kept{
		{"hello", "ahead"}: {"a", "b"}, {"hello", "good"}: {"a", "b", "c"}, {"hello", "headless"}: {"a", "b"},
		{"hello", "hole"}: {"a", "b"}, {"hello", "other"}: {"a", "another"}, {"hello", "short"}: {"a", "b"},
	}, got); diff != "" || len(failures) > 0 {
		t.Errorf("%v, imported (-want +got):\n%s", failures, diff)
	}
}

func TestImportLevelDBErrors(t *testing.T) {
	t.Parallel()
	used, other, damaged := t.TempDir(), t.TempDir(), t.TempDir()
	makeLevelDB(t, used, storetest.Kept{{"hello", "A"}: {"a"}}, nil)
	makeLevelDB(t, other, nil, func(db *leveldb.DB) error { return db.Put([]byte("key"), []byte("value"), nil) })
	makeLevelDB(t, damaged, contentsOfC(), nil)
	lock, err := vfs.Default.Lock(filepath.Join(used, partdb.LockFile)) // as LevelDB in C does
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	tables, err := filepath.Glob(filepath.Join(damaged, "*.ldb"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] ^= 4
		if err := os.WriteFile(table, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ what, dir, want string }{
		{"a C store that runs", used, "in use by a running store"},
		{"another program's database", other, "no records of a Dafka store"},
		{"an empty folder", t.TempDir(), "holds no C store's database"},
		{"damage", damaged, "corrupt"},
	} {
		_, err := Import(t.Context(), test.dir, filepath.Join(t.TempDir(), "db"), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.what, err, test.want)
		}
	}
}
