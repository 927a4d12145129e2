package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is the level, where there is one, and the message of a line of stderr, which is JSON or not.
func said(t *testing.T, line string, inJSON bool) string {
	t.Helper()
	if inJSON {
		var object struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &object); err != nil || object.Time == "" {
			t.Errorf("%q: %v", line, err)
		}
		return object.Level + " " + object.Msg
	}
	if m := regexp.MustCompile(`^time=\S+ level=(\S+) msg="([^"]*)"`).FindStringSubmatch(line); m != nil {
		return m[1] + " " + m[2]
	}
	return line
}

// TestLogFormat: with json each line of stderr is an object, whatever it is about, and the level decides what is logged.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	running, waiting := "store is running: records are kept in "+dir, "waiting for tower at tcp://127.0.0.1:1"
	args := func(flags string) []string {
		return append(append([]string{"store", "--db", dir}, strings.Fields(flags)...), noTower...)
	}
	for _, test := range []struct {
		flags string
		want  []string
	}{
		{"", []string{running, waiting}},
		{"--log-level info", []string{"INFO waiting for tower", "INFO waiting for tower", running, waiting}},
		{"--log-level error --log-format json", []string{"INFO " + running, "INFO " + waiting}},
		{"--log-level info --log-format json", []string{"INFO waiting for tower", "INFO waiting for tower", "INFO " + running, "INFO " + waiting}},
	} {
		inJSON := strings.Contains(test.flags, "json")
		s := start(t, "program", args(test.flags)...)
		s.says(waiting)
		var got []string
		for _, line := range s.seen {
			got = append(got, said(t, line, inJSON))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.flags, diff)
		}
		second := runProgram(t, "", args(test.flags)...)
		want := "database " + dir + " is in use by another store; give each store a folder of its own"
		if inJSON {
			want = "ERROR store: " + want
		} else {
			want = "dafka: error: store: " + want
		}
		if got := said(t, strings.TrimSpace(second.Stderr), inJSON); got != want || second.Status != 1 {
			t.Errorf("%s, a second store: status %d, %q; want 1, %q", test.flags, second.Status, got, want)
		}
		s.signal(syscall.SIGTERM)
		if status := s.endsSoon(); status != 0 {
			t.Errorf("%s: exit status %d, want 0", test.flags, status)
		}
	}
}
