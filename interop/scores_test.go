package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// What became of each scenario with each assignment. DAFKA_INTEROP_TABLE names a file to write a table to that people
// read, DAFKA_INTEROP_JSON one for programs.

// score is a cell of the table.
type score struct {
	Scenario string         `json:"scenario"`
	Roles    string         `json:"roles"` // tower, producer, store, consumer: g or c
	Outcome  string         `json:"outcome"`
	Seconds  float64        `json:"seconds"`
	Reason   string         `json:"reason,omitempty"`
	Tapped   map[string]int `json:"tapped,omitempty"`
}

const (
	passed = "ok"
	known  = "known" // a fault of C that is known, and was seen
	failed = "FAILED"
)

// scoreboard is all scores of a run.
type scoreboard struct {
	mu     sync.Mutex
	scores []score
	notes  []string
}

var scores scoreboard

func (b *scoreboard) wanted() bool {
	return os.Getenv("DAFKA_INTEROP_TABLE") != "" || os.Getenv("DAFKA_INTEROP_JSON") != ""
}

// note adds a line to the table's foot.
func (b *scoreboard) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, text)
}

// keep runs a scenario and notes its score. The scenario gives the known fault of C that it saw, if any, and what counts
// the messages that a tap heard.
func (b *scoreboard) keep(t *testing.T, scenario string, plays roles, run func(*trial) (string, func() map[string]int)) {
	trial := &trial{T: t}
	got := score{Scenario: scenario, Roles: plays.String(), Outcome: passed}
	begin := time.Now()
	// The first to be registered, and so the last to run: all have spoken.
	t.Cleanup(func() {
		got.Seconds = time.Since(begin).Seconds()
		if t.Failed() {
			got.Outcome, got.Reason = failed, trial.reason
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.scores = append(b.scores, got)
	})
	fault, tapped := run(trial)
	if fault != "" {
		got.Outcome, got.Reason = known, fault
	}
	got.Tapped = tapped()
}

// write writes the files.
func (b *scoreboard) write() error {
	if !b.wanted() {
		return nil
	}
	encoded, err := json.MarshalIndent(b.scores, "", "  ")
	if err != nil {
		return err
	}
	write := func(variable string, content []byte) error {
		if file := os.Getenv(variable); file != "" {
			return os.WriteFile(file, content, 0o644)
		}
		return nil
	}
	return errors.Join(write("DAFKA_INTEROP_TABLE", b.table()), write("DAFKA_INTEROP_JSON", append(encoded, '\n')))
}

// table is a row for each scenario and a column for each assignment that was run.
func (b *scoreboard) table() []byte {
	type cell struct{ scenario, plays string }
	cells, seen := make(map[cell]score), make(map[string]bool)
	for _, s := range b.scores {
		cells[cell{s.Scenario, s.Roles}] = s
		seen[s.Roles] = true
	}
	columns := slices.DeleteFunc(everyRoles(), func(r roles) bool { return !seen[r.String()] })
	rows := []string{}
	for _, s := range scenarios {
		rows = append(rows, s.name)
	}
	rows = append(rows, "in containers", "across container networks")

	text := new(bytes.Buffer)
	fmt.Fprintf(text, "Seconds, by who plays tower, producer, store, consumer: g is Go, c is C.\n"+
		"* a known fault of C was seen, ! failed; the reasons stand below. - nothing to see, or not run.\n\n")
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	line := []string{"scenario"}
	for _, r := range columns {
		line = append(line, r.String())
	}
	fmt.Fprintln(w, strings.Join(line, "\t"))
	var reasons []string
	for _, row := range rows {
		line := []string{row}
		for _, r := range columns {
			s, ok := cells[cell{row, r.String()}]
			if !ok {
				line = append(line, "-")
				continue
			}
			mark := map[string]string{known: "*", failed: "!"}[s.Outcome]
			line = append(line, fmt.Sprintf("%.1f%s", s.Seconds, mark))
			if s.Outcome != passed {
				reason, _, _ := strings.Cut(s.Reason, "\n")
				reasons = append(reasons, fmt.Sprintf("%s, %s, %s: %s", s.Outcome, row, r, reason))
			}
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	w.Flush()
	fmt.Fprintln(text)
	for _, reason := range slices.Concat(reasons, b.notes) {
		fmt.Fprintln(text, reason)
	}
	return text.Bytes()
}
