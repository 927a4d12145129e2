package interop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// Stores that hold different bytes under one number are found out, with the first of them, and so is one that cannot
// give what it has.
func TestCompareStores(t *testing.T) {
	t.Parallel()
	const records = 10_000
	imported := func(differs ...int) (dir string) {
		dir = filepath.Join(t.TempDir(), "db")
		var lines strings.Builder
		for _, partition := range []string{"SAME", "TORN", "DIFFERENT"} {
			for i := range records {
				content := fmt.Sprintf("%s %d %s", partition, i, strings.Repeat("x", 100))
				if partition == "DIFFERENT" && slices.Contains(differs, i) {
					content = "something else"
				}
				json.NewEncoder(&lines).Encode(map[string]any{
					"topic": "compared", "partition": partition, "sequence": i, "content": content,
				})
			}
		}
		start(t, strings.NewReader(lines.String()), "store", "import", "--ndjson", "-", "--db", dir).mustEnd(0)
		return dir
	}
	one, other := imported(), imported(4321, 5000, 9999)
	c := newCluster(t)
	// In both, so that neither can be mended from the other.
	for _, dir := range []string{one, other} {
		c.store(dir).end(syscall.SIGTERM, 0) // what was imported is in tables then, no longer in the log
		tear(t, dir, "TORN 6000 ")
	}
	c.store(one)
	c.store(other)
	c.produce("live", lines("live", 1000)).mustEnd(0)
	c.awaitHeads("compared", 2, 3, records)
	c.awaitHeads("live", 2, 1, 1000)

	type row struct {
		Topic, Partition string
		Stores           int
		Compared, Differ int
		First            *int
		Sides            bool
		Failures         int
	}
	var printed []struct {
		Topic, Partition string
		Stores, Failures []string
		Compared, Differ int
		First            *int
		Sides            string
	}
	c.look(1, &printed, "compare")
	var got []row
	for _, r := range printed {
		if r.Topic == "live" {
			r.Partition = ""
		}
		got = append(got, row{
			r.Topic, r.Partition, len(r.Stores), r.Compared, r.Differ, r.First, strings.Contains(r.Sides, " against "), len(r.Failures),
		})
	}
	slices.SortFunc(got, func(a, b row) int { return cmp.Compare(a.Topic+a.Partition, b.Topic+b.Partition) })
	// How much of the torn one was compared depends on where a run begins.
	torn := &got[2]
	if torn.Compared < 1000 || torn.Compared > 6000 {
		t.Errorf("%d records of the torn partition compared, want those before 6000", torn.Compared)
	}
	torn.Compared = 0
	differs := 4321
	want := []row{
		{"compared", "DIFFERENT", 2, records, 3, &differs, true, 0},
		{"compared", "SAME", 2, records, 0, nil, false, 0},
		{"compared", "TORN", 2, 0, 0, nil, false, 2},
		{"live", "", 2, 1000, 0, nil, false, 0},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("comparison (-want +got):\n%s", diff)
	}
	c.look(0, &printed, "compare", "live")
}

// tear damages the record that begins so in the tables of a store that does not run.
func tear(t *testing.T, dir, content string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	torn := 0
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, []byte(content)); at >= 0 {
			data[at]++
			torn++
			if err := os.WriteFile(table, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if torn == 0 {
		t.Fatalf("%q was not found in %d tables", content, len(tables))
	}
}
