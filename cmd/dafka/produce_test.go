package main

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withLengths has the length of each record before it.
func withLengths(records [][]byte) string {
	var all []byte
	for _, record := range records {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(record))), record...)
	}
	return string(all)
}

// TestProduceCopies: binary and text records of several topics go through a pipe from one cluster to another, and there
// to another topic.
func TestProduceCopies(t *testing.T) {
	t.Parallel()
	_, from := startDev(t, t.TempDir()+"/from")
	_, to := startDev(t, t.TempDir()+"/to")
	topics := []string{"a", "\xff"}
	for i, topic := range topics {
		var records [][]byte
		for j := range 300 {
			records = append(records, fmt.Appendf(nil, "%d\n\xff\x00%d", i, j), fmt.Appendf(nil, "text %d", j))
		}
		mustRun(t, withLengths(records), append([]string{"produce", topic, "--format", "length"}, from...)...)
	}
	all := func(join []string, topics ...string) string {
		args := append([]string{"consume", "--from-beginning", "-e", "--format", "json"}, topics...)
		return mustRun(t, "", append(args, join...)...).Stdout
	}
	first := all(from, topics...)
	mustRun(t, first, append([]string{"produce", "--format", "json"}, to...)...)
	copied := all(to, topics...)
	mustRun(t, copied, append([]string{"produce", "copy", "--format", "json"}, to...)...)
	// Copies have partitions of their own.
	partition := regexp.MustCompile(`"partition":"[^"]*"`)
	records := func(lines string) []string { return sorted(partition.ReplaceAllString(lines, "")) }
	want := records(first)
	if n := len(want) - 1; n != 1200 {
		t.Fatalf("%d records, want 1200", n)
	}
	if diff := cmp.Diff(want, records(copied)); diff != "" {
		t.Errorf("the copy in another cluster (-want +got):\n%s", diff)
	}
	rest := regexp.MustCompile(`^.*"content":`)
	contents := func(lines []string) (contents []string) {
		for _, line := range lines {
			contents = append(contents, rest.ReplaceAllString(line, ""))
		}
		slices.Sort(contents)
		return contents
	}
	if diff := cmp.Diff(contents(want), contents(records(all(to, "copy")))); diff != "" {
		t.Errorf("the copy in another topic (-want +got):\n%s", diff)
	}
}

// TestProduceObjectErrors: what comes before the error is published, and the line is named.
func TestProduceObjectErrors(t *testing.T) {
	t.Parallel()
	_, join := startDev(t, t.TempDir()+"/db")
	var many strings.Builder
	for i := range 64 + 1 {
		fmt.Fprintf(&many, "{\"topic\":\"many %d\",\"content\":\"\"}\n", i)
	}
	for _, test := range []struct{ topic, input, says string }{
		{"", `{"topic":"t","content":"a"}` + "\n" + `{"content":"b"}`, "a record names no topic; give TOPIC"},
		{"t", `{"content":"c"}` + "\n" + `{"topic":"other"}`, "line 2: content is missing"},
		{"t", `{"content":"d"}` + "\n" + `{"content":"\ud83d"}`, `line 2: content: \ud83d is half of a character`},
		{"", many.String(), "topic many 64: the records are of more than 64 topics"},
		{"", `{"topic":"` + strings.Repeat("t", 256) + `","content":""}`, "topic is 256 bytes long"},
	} {
		args := append([]string{"produce", "--format", "json", "--timeout", "10s"}, join...)
		if test.topic != "" {
			args = append(args, test.topic)
		}
		got := runProgram(t, test.input, args...)
		if got.Status != 1 || !strings.Contains(got.Stderr, test.says) {
			t.Errorf("%.80q: %+v, want %q", test.input, got, test.says)
		}
	}
	args := append([]string{"consume", "t", "--from-beginning", "-e"}, join...)
	if diff := cmp.Diff([]string{"", "a\n", "c\n", "d\n"}, sorted(mustRun(t, "", args...).Stdout)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if got := runProgram(t, strings.Repeat("x", 3000)+"\n", append([]string{"produce", "t", "--limit", "frame=2048"}, join...)...); got.Status != 1 ||
		!strings.Contains(got.Stderr, "a line is larger than 2048 bytes, the limit frame") {
		t.Errorf("a line beyond the limit: %+v", got)
	}
}
