package cimport

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/godafka/dafka/store/internal/storetest"
)

// Nor is a C store that another user may not read said to be running.
func TestImportOfAnotherUsersCStore(t *testing.T) {
	t.Parallel()
	ofC, dir := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "db")
	storetest.CopyFiles(t, filepath.Join("testdata", "leveldb", "log"), ofC)
	var err error
	storetest.AsNobody(t, func() { _, err = Import(t.Context(), ofC, dir, nil) })
	want := "permission denied; run this as the user that owns the folder"
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v, want %q", err, want)
	}
}
