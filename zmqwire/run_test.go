package zmqwire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runOf makes a run of these contents.
func runOf(first uint64, contents ...string) *Run {
	run := &Run{First: first}
	for _, content := range contents {
		run.Append([]byte(content))
	}
	return run
}

// contentsOf is the inverse of runOf.
func contentsOf(run *Run) []string {
	var contents []string
	for i := range run.Len() {
		contents = append(contents, string(run.Content(i)))
	}
	return contents
}

func TestRun(t *testing.T) {
	want := []string{"", "a", "", "bc", strings.Repeat("x", RunBytes), ""}
	run := runOf(7, want...)
	if diff := cmp.Diff(want, contentsOf(run)); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	if run.Len() != 6 || run.First != 7 || run.End() != 13 || run.Size() != 3+RunBytes+6*RecordOverhead {
		t.Errorf("run of %d, from %d to %d, %d bytes", run.Len(), run.First, run.End(), run.Size())
	}
	// Whoever appends to a content must not write into the next one.
	_ = append(run.Content(1), 'Z')
	if got := string(run.Content(3)); got != "bc" {
		t.Errorf("content 3 is %q after an append to content 1", got)
	}
	run.Reset(100)
	run.Append([]byte("anew"))
	if diff := cmp.Diff(runOf(100, "anew"), run); diff != "" {
		t.Errorf("run after Reset (-want +got):\n%s", diff)
	}
}

func TestRunIsFull(t *testing.T) {
	for _, test := range []struct {
		held    []string
		content int
		want    bool
	}{
		{nil, 0, false},
		{nil, 10 * RunBytes, false},
		{[]string{""}, RunBytes - 2*RecordOverhead, false},
		{[]string{""}, RunBytes - 2*RecordOverhead + 1, true},
		{[]string{strings.Repeat("x", RunBytes)}, 0, true},
	} {
		t.Run(fmt.Sprintf("%d records and %d bytes", len(test.held), test.content), func(t *testing.T) {
			if got := runOf(0, test.held...).Full(test.content); got != test.want {
				t.Errorf("full: %v, want %v", got, test.want)
			}
		})
	}
}
