package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/zmqwire"
)

// A store whose folder goes away acks nothing from then on, says why, and touches nothing of what is there now.
func TestGroundGoesAway(t *testing.T) {
	t.Parallel()
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		blow  func(t *testing.T, dir string)
		want  string
		moved bool // to dir.moved, with all that was acked
	}{
		{"removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "was removed or moved", false},
		{"moved", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".moved")) }, "was removed or moved", true},
		{"replaced", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".moved"))
			must(t, os.Mkdir(dir, 0o755))
			must(t, os.WriteFile(filepath.Join(dir, partdb.LockFile), nil, 0o644))
			must(t, os.WriteFile(filepath.Join(dir, partdb.ControlFile), []byte("another's"), 0o644))
		}, "was replaced by another", true},
		{"lock removed", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, partdb.LockFile))) }, "LOCK was removed", false},
		{"lock replaced", func(t *testing.T, dir string) {
			lock := filepath.Join(dir, partdb.LockFile)
			must(t, os.WriteFile(lock+".new", nil, 0o644))
			must(t, os.Rename(lock+".new", lock))
		}, "was replaced, perhaps by another store", false},
	} {
		for _, idle := range []bool{false, true} {
			name := test.name
			if idle {
				name += ", nothing is published"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				tw := openTower(t)
				dir := filepath.Join(t.TempDir(), "db")
				s := openStore(t, tw, dir)
				p := visit(t, tw, s, "PEER", nil)
				fill(t, p, s, 0, 10)
				test.blow(t, dir)
				found := filesOf(t, dir)
				if !idle {
					p.Say(recordMessage(zmqwire.Record, s, 10, content(10)))
				}
				ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
				defer cancel()
				err := s.Wait(ctx)
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Count(err.Error(), "nothing more is acked") != 1 {
					t.Errorf("Wait: %v; want %q", err, test.want)
				}
				if closed := s.Close(); closed == nil || closed.Error() != err.Error() {
					t.Errorf("Close: %v; Wait: %v", closed, err)
				}
				if acked := p.lastAck("P"); acked != 9 {
					t.Errorf("ACK %d: nothing after 9 can be found again", acked)
				}
				if diff := cmp.Diff(found, filesOf(t, dir)); diff != "" && (test.name == "removed" || test.moved) {
					t.Errorf("the store changed what is there now (-before +after):\n%s", diff)
				}
				if test.moved {
					db := storetest.DatabaseIn(t, dir+".moved")
					defer db.Close()
					if got := storetest.Stored(t, db, "hello", "P"); len(got) < 10 || !slices.Equal(got[:10], contentsUpTo(10)) {
						t.Errorf("the folder that was moved has %q", got)
					}
				}
			})
		}
	}
}

// filesOf are the names in a folder, if it is there.
func filesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Errors about the files that Pebble cannot do without, met by its own goroutines or by a commit, end the store, and not
// the process.
func TestGroundFileFails(t *testing.T) {
	t.Parallel()
	is := func(op errorfs.Op, prefix, suffix string, kinds ...errorfs.OpKind) bool {
		name := filepath.Base(op.Path)
		return strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) && slices.Contains(kinds, op.Kind)
	}
	for _, test := range []struct {
		name string
		hits func(op errorfs.Op) bool
	}{
		{"log created", func(op errorfs.Op) bool { return is(op, "", ".log", errorfs.OpCreate, errorfs.OpReuseForWrite) }},
		{"log written", func(op errorfs.Op) bool { return is(op, "", ".log", errorfs.OpFileWrite) }},
		{"log synced", func(op errorfs.Op) bool {
			return is(op, "", ".log", errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo)
		}},
		{"manifest written", func(op errorfs.Op) bool { return is(op, "MANIFEST", "", errorfs.OpFileWrite) }},
		{"manifest synced", func(op errorfs.Op) bool { return is(op, "MANIFEST", "", errorfs.OpFileSync) }},
		{"folder synced", func(op errorfs.Op) bool { return is(op, "db", "", errorfs.OpFileSync) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			dir := filepath.Join(t.TempDir(), "db")
			fails := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
				if test.hits(op) {
					return syscall.EIO
				}
				return nil
			})}
			config := at(tw)
			config.Logger = partdb.Quiet
			db, err := partdb.OpenOver(partdb.NewGround(errorfs.Wrap(vfs.Default, fails), dir), dir, false, partdb.Quiet)
			if err != nil {
				t.Fatal(err)
			}
			s, err := build(db, config, config)
			if err != nil {
				t.Fatal(err)
			}
			s.start()
			defer s.Close()
			p := visit(t, tw, s, "PEER", nil)
			fill(t, p, s, 0, 10)
			fails.On()
			go db.Ground.Attempt(db.Pebble.Flush) // a new log, a table, and both in the manifest
			ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
			defer cancel()
			err = s.Wait(ctx)
			if err == nil || !strings.Contains(err.Error(), syscall.EIO.Error()) || !strings.Contains(err.Error(), "nothing more is acked") {
				t.Errorf("Wait: %v", err)
			}
			begin := time.Now()
			if closed := s.Close(); closed == nil || closed.Error() != err.Error() {
				t.Errorf("Close: %v; Wait: %v", closed, err)
			}
			if took := time.Since(begin); took > partdb.AbandonAfter+waitAtMost/10 {
				t.Errorf("Close took %v", took)
			}
		})
	}
}
