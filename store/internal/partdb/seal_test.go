package partdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The seal is there while no store runs and the last one was closed, and tells what has changed since.
func TestSeal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SealFile)
	for range 2 {
		db, err := Open(dir, true, Quiet)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("an open database is sealed: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if closed, faults, err := CheckSeal(dir); !closed || len(faults) > 0 || err != nil {
			t.Fatalf("closed: %v, faults %q, %v", closed, faults, err)
		}
	}

	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	last := logs[len(logs)-1]
	log, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, data []byte) func() error {
		return func() error { return os.WriteFile(path, data, 0o600) }
	}
	for _, test := range []struct {
		what   string
		change func() error
		want   string // in the only fault
	}{
		{"log cut", write(last, log[:len(log)-1]), "when the store was closed"},
		{"log changed", write(last, append([]byte{log[0] ^ 1}, log[1:]...)), "contents have changed"},
		{"log removed", func() error { return os.Remove(last) }, "is missing"},
		{"seal cut", write(path, text[:len(text)/2]), "closed: it is damaged"},
		{"seal empty", write(path, nil), "closed: it is damaged"},
	} {
		if err := test.change(); err != nil {
			t.Fatal(err)
		}
		closed, faults, err := CheckSeal(dir)
		if err != nil || !closed || len(faults) == 0 || !strings.Contains(faults[len(faults)-1], test.want) {
			t.Errorf("%s: closed: %v, faults %q, want %q", test.what, closed, faults, test.want)
		}
		if _, err := Open(dir, true, Quiet); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "repair") {
			t.Errorf("%s: a store opens it: %v", test.what, err)
		}
		for path, data := range map[string][]byte{last: log, path: text} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A database that could not be opened is sealed as before.
	if err := os.WriteFile(filepath.Join(dir, "OPTIONS-999999"), []byte("[Options]\n  comparer=none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, true, Quiet); err == nil {
		t.Fatal("opened with strange options")
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), string(got)); diff != "" {
		t.Errorf("seal after a failed open (-want +got):\n%s", diff)
	}
}
