package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mustRun runs the program and insists that it succeeds.
func mustRun(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	r := runProgram(t, stdin, args...)
	if r.Status != 0 {
		t.Fatalf("dafka %s: exit status %d, stderr %q", strings.Join(args, " "), r.Status, r.Stderr)
	}
	return r
}

// startDev starts a tower and a store in one process and gives the flags with which to join.
func startDev(t *testing.T, dir string) (dev *started, join []string) {
	t.Helper()
	dev = start(t, "program", "dev", "--db", dir, "--pub", "tcp://127.0.0.1:*", "--sub", "tcp://127.0.0.1:*")
	dev.says("nodes join with ")
	_, flags, _ := strings.Cut(dev.seen[len(dev.seen)-1], "nodes join with ")
	return dev, append(strings.Fields(flags), "--address", "127.0.0.1")
}

func sorted(output string) []string {
	lines := strings.SplitAfter(output, "\n")
	slices.Sort(lines)
	return lines
}

// A store through all that an operator may do with it: backed up as it runs, restored, exported, imported, damaged,
// repaired. At each station the contents are those that were published.
func TestStoreOperations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	dev, join := startDev(t, at("db"))
	var text, binary strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "record %d, with <\u2028>, \"quotes\" and \\\n", i)
		fmt.Fprintf(&binary, "%d \xff\xfe\x00\x80\n", i)
	}
	mustRun(t, text.String(), append([]string{"produce", "hello"}, join...)...)
	mustRun(t, binary.String()+"\n\nthe last without an end", append([]string{"produce", "\xffbytes"}, join...)...)
	want := make(map[string]string)
	for _, topic := range []string{"hello", "\xffbytes"} {
		want[topic] = mustRun(t, "", append([]string{"consume", topic, "--from-beginning", "-e", "--format", "json"}, join...)...).Stdout
		if n := strings.Count(want[topic], "\n"); n < 20_000 {
			t.Fatalf("topic %q: %d records", topic, n)
		}
	}
	holds := func(db string) {
		t.Helper()
		for topic, records := range want {
			if got := mustRun(t, "", "store", "export", topic, "--db", at(db)); got.Stdout != records || got.Stderr != "" {
				t.Errorf("%s: export of topic %q differs from what was consumed; stderr %q", db, topic, got.Stderr)
			}
		}
		if got := mustRun(t, "", "store", "verify", "--db", at(db)); !strings.Contains(got.Stderr, "is sound: 2 topics, 2 partitions, 40003 records") || got.Stdout != "" {
			t.Errorf("verify of %s: %+v", db, got)
		}
	}

	for _, command := range []string{"verify", "repair", "export hello", "import --ndjson -"} {
		args := append(append([]string{"store"}, strings.Fields(command)...), "--db", at("db"))
		if got := runProgram(t, "", args...); got.Status != 1 || !strings.Contains(got.Stderr, "is in use by a running store: stop it first") {
			t.Errorf("%s of a store that runs: %+v", command, got)
		}
	}
	got := mustRun(t, "", "store", "backup", "--db", at("db"), at("running"))
	if want := fmt.Sprintf("backed up in %s: 2 topics, 2 partitions, 40003 records\n", at("running")); got.Stderr != want {
		t.Errorf("backup says %q, want %q", got.Stderr, want)
	}
	dev.signal(syscall.SIGKILL)
	dev.endsSoon()
	mustRun(t, "", "store", "backup", "--db", at("db"), at("killed"))
	mustRun(t, "", "store", "restore", at("running"), "--db", at("restored"))
	for _, db := range []string{"db", "running", "killed", "restored"} {
		holds(db)
	}

	for topic, records := range want {
		for range 2 {
			got := mustRun(t, records, "store", "import", "--ndjson", "-", "--db", at("imported"))
			if n := strings.Count(records, "\n"); !strings.Contains(got.Stderr, fmt.Sprint(n)) {
				t.Errorf("import of topic %q: %+v", topic, got)
			}
		}
	}
	holds("imported")

	// A store that is started on what was imported has it all.
	dev, join = startDev(t, at("imported"))
	consumed := mustRun(t, "", append([]string{"consume", "hello", "\xffbytes", "--from-beginning", "-e", "--format", "json"}, join...)...)
	if diff := cmp.Diff(sorted(want["hello"]+want["\xffbytes"]), sorted(consumed.Stdout)); diff != "" {
		t.Errorf("consumed from what was imported (-want +got):\n%s", diff)
	}
	dev.signal(syscall.SIGTERM)
	if status := dev.endsSoon(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}

	// A bit flips: that is noticed, and what a repair leaves is the beginning of each partition.
	tables, err := filepath.Glob(at("running/*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	var file string
	var data []byte
	for _, table := range tables { // the largest is that of the runs
		other, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		if len(other) > len(data) {
			file, data = table, other
		}
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := runProgram(t, "", "store", "verify", "--db", at("running"))
	if bad.Status != 1 || !strings.Contains(bad.Stderr, "damaged: topic ") || !strings.Contains(bad.Stderr, "dafka store repair --db "+at("running")) {
		t.Errorf("verify of a damaged store: %+v", bad)
	}
	repaired := mustRun(t, "", "store", "repair", "--db", at("running"))
	if !strings.Contains(repaired.Stderr, "is repaired: kept ") || !strings.Contains(repaired.Stderr, at("running.damaged")) {
		t.Errorf("repair: %+v", repaired)
	}
	mustRun(t, "", "store", "verify", "--db", at("running"))
	for topic, records := range want {
		if got := runProgram(t, "", "store", "export", topic, "--db", at("running")); !strings.HasPrefix(records, got.Stdout) {
			t.Errorf("after the repair topic %q is something else", topic)
		}
	}
	again := mustRun(t, "", "store", "repair", "--db", at("running"))
	if !strings.Contains(again.Stderr, "there is nothing to repair") {
		t.Errorf("repair of a sound store: %+v", again)
	}
}

func TestImportLineErrors(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "db")
	line := func(sequence int, content string) string {
		return fmt.Sprintf(`{"topic":"hello","partition":"P","sequence":%d,"content":%q}`+"\n", sequence, content)
	}
	mustRun(t, line(0, "a")+line(1, "b"), "store", "import", "--ndjson", "-", "--db", db)
	for _, test := range []struct{ what, input, says string }{
		{"no JSON", line(2, "c") + "hello\n", "-, line 2: it begins with 'h': want an object"},
		{"no record", `{"topic":"hello"}`, "-, line 1: partition is missing: want an object such as"},
		{"not UTF-8", line(3, "d") + "{\"topic\":\"\xff\"}", "-, line 2: topic: it is not UTF-8"},
		{"half a character", strings.ReplaceAll(line(4, "half"), "half", `\ud83d`), "half of a character"},
		{"an array", "[" + line(4, "e") + "]", "-, line 1: it begins an array: want an object on each line"},
		{"bad base64", `{"topic":"hello","partition":"P","sequence":4,"content":"?","content_base64":true}`, "illegal base64"},
		{"a hole", line(7, "h"), `record 7 of topic "hello", partition "P": the records before it are missing, from 4 on`},
		{"another content", line(1, "x"), `record 1 of topic "hello", partition "P": it is there already, with another content`},
		{"another content within the input", line(4, "e") + line(4, "x"), "-, line 2: store: record 4"},
		{"an empty topic", `{"topic":"","partition":"P","sequence":0,"content":""}`, "topic is empty"},
	} {
		got := runProgram(t, test.input, "store", "import", "--ndjson", "-", "--db", db)
		if got.Status != 1 || !strings.Contains(got.Stderr, test.says) {
			t.Errorf("%s: %+v, want %q", test.what, got, test.says)
		}
	}
	// What came before the faults is there.
	want := line(0, "a") + line(1, "b") + line(2, "c") + line(3, "d") + line(4, "e")
	if got := mustRun(t, "", "store", "export", "hello", "--db", db); got.Stdout != want {
		t.Errorf("exported %q, want %q", got.Stdout, want)
	}
	if got := runProgram(t, "", "store", "export", "hello2", "--db", db); got.Status != 1 || !strings.Contains(got.Stderr, `no topic "hello2"`) {
		t.Errorf("export of no topic: %+v", got)
	}
}
