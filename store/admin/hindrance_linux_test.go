package admin

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
)

// inMountNamespace runs what sees mounts of its own: on a thread that ends with it.
func inMountNamespace(t *testing.T, run func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_FS | syscall.CLONE_NEWNS)
		if err == nil {
			err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			run()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("a mount namespace takes root: %v", err)
	}
}

// A sound database that cannot be opened is not called damaged: the error says why, and what to do.
func TestWhatKeepsFromASoundDatabase(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what string
		keep func(t *testing.T, dir string, run func())
		want string // in the errors
	}{
		{
			what: "a folder of another user",
			keep: func(t *testing.T, dir string, run func()) {
				if err := os.Chmod(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				storetest.AsNobody(t, run)
			},
			want: "permission denied; run this as the user that owns the folder",
		}, {
			what: "a folder that may be read",
			keep: func(t *testing.T, dir string, run func()) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				storetest.AsNobody(t, run)
			},
			want: "permission denied; run this as the user that owns the folder",
		}, {
			what: "a log of another user",
			keep: func(t *testing.T, dir string, run func()) {
				files, err := filepath.Glob(filepath.Join(dir, "*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					if !partdb.IsLog(filepath.Base(file)) {
						err = os.Chmod(file, 0o666)
					} else {
						err = os.Chmod(file, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				storetest.AsNobody(t, run)
			},
			want: "permission denied; run this as the user that owns the folder",
		}, {
			what: "a read-only disk",
			keep: func(t *testing.T, dir string, run func()) {
				inMountNamespace(t, func() {
					err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
					if err == nil {
						err = syscall.Mount(dir, dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
					}
					if err != nil {
						t.Error(err)
						return
					}
					run()
				})
			},
			want: "read-only file system; make the disk writable",
		}, {
			what: "a file in its place",
			keep: func(t *testing.T, dir string, run func()) {
				if err := os.Rename(dir, dir+".moved"); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(dir, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				run()
			},
			want: "name ",
		},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(test.what, func(t *testing.T) {
				t.Parallel()
				// Above it, everyone may look.
				top, err := os.MkdirTemp("", "store")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(top) })
				if err := os.Chmod(top, 0o755); err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(top, "db")
				storetest.MakeRuns(t, dir, nil, []string{"a", "b"})
				if killed {
					if err := os.Remove(filepath.Join(dir, partdb.SealFile)); err != nil {
						t.Fatal(err)
					}
				}
				errs := make(map[string]error)
				test.keep(t, dir, func() {
					_, errs["open"] = partdb.Open(dir, false, partdb.Quiet)
					_, errs["verify"] = Verify(t.Context(), dir, nil)
					_, errs["repair"] = Repair(t.Context(), dir, nil)
					errs["export"] = Export(t.Context(), dir, "hello", func(*Record) error { return nil }, nil)
				})
				for what, err := range errs {
					if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "dafka store repair") ||
						strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "in use") {
						t.Errorf("%s, killed %v: %s: error %v, want %q", test.what, killed, what, err, test.want)
					}
				}
			})
		}
	}
}
