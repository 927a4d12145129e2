package admin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godafka/dafka/store/internal/storetest"
)

func TestBackupErrors(t *testing.T) {
	t.Parallel()
	dir, to := filepath.Join(t.TempDir(), "db"), t.TempDir()
	storetest.MakeStore(t, dir, 1<<18, nil)
	if _, err := Backup(t.Context(), dir, to, nil); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("backup over a folder: %v", err)
	}
	if _, err := Restore(t.Context(), to, filepath.Join(to, "db"), nil); err == nil || !strings.Contains(err.Error(), "holds no store's database") {
		t.Errorf("restore of an empty folder: %v", err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, over := range []string{full, filepath.Join(full, "file")} {
		if _, err := Restore(t.Context(), dir, over, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("restore over %s: %v", over, err)
		}
	}
	if _, err := os.Stat(filepath.Join(full, "file")); err != nil {
		t.Error(err)
	}

	// Damage is not carried on, and nothing half done is left.
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(table, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Backup(t.Context(), dir, filepath.Join(to, "backup"), nil)
	if err == nil || !strings.Contains(err.Error(), "is damaged: verify and repair") || report.Sound() {
		t.Errorf("backup of a damaged database: %+v, %v", report, err)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A backup within the folder that is backed up would be part of it, and go with it.
func TestBackupInside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	storetest.MakeRuns(t, dir, nil, []string{"a", "b"})
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(dir, link), os.Mkdir(filepath.Join(dir, "sub"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{dir + "/monday", dir + "/sub/monday", dir + "/sub/../monday", link + "/monday", link + "/sub/monday"} {
		if _, err := Backup(t.Context(), dir, dest, nil); err == nil || !strings.Contains(err.Error(), "name a place outside") {
			t.Errorf("%s: error %v", dest, err)
		}
	}
	if _, err := Backup(t.Context(), link, dir+".monday", nil); err != nil {
		t.Error(err)
	}
}

// Files that others have in a store's folder, whatever they are called and become, are none of the store's business.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	others := []string{"my notes.txt", ".bash_history", "log"}
	for turn := range 3 {
		db := storetest.DatabaseIn(t, dir)
		for _, name := range others {
			if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), 10*turn), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "log"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		verified(t, dir, false)
	}
}
