package interop

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A store ends with one clear error when its disk is unmounted, covered or made read-only under it, and so does dev.
func TestGroundGoesAway(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		blow func(t *testing.T, dir string) error
		want string
	}{
		{"unmounted", func(t *testing.T, dir string) error {
			return syscall.Unmount(filepath.Dir(dir), syscall.MNT_DETACH)
		}, "was removed or moved"},
		{"covered", func(t *testing.T, dir string) error {
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
		}, "was replaced by another, or its disk was unmounted"},
		{"read-only", func(t *testing.T, dir string) error {
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
				return err
			}
			return syscall.Mount(dir, dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		}, "read-only file system"},
		{"removed", func(t *testing.T, dir string) error { return os.RemoveAll(dir) }, "was removed or moved"},
	} {
		for _, command := range []string{"store", "dev"} {
			t.Run(command+" "+test.name, func(t *testing.T) {
				t.Parallel()
				disk := filepath.Join(smallDisk(t), "disk")
				if err := os.Mkdir(disk, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512m"); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) }) // whether or not it is there
				dir := filepath.Join(disk, "db")
				var c *cluster
				var p *process
				if command == "dev" {
					c = meetingPoint(t)
					p = start(t, nil, "dev", "--pub", c.pub[0], "--sub", c.sub[0], "--db", dir)
					p.waitFor("tower and store are running")
				} else {
					c = newCluster(t)
					p = c.store(dir)
				}
				c.produce("hello", lines("a", 100)).mustEnd(0)
				if err := test.blow(t, dir); err != nil {
					t.Skipf("SKIPPED, nothing was tested: %v", err)
				}
				p.mustEnd(1)
				said := p.stderr.String()
				if strings.Count(said, "error: ") != 1 || strings.Count(said, "nothing more is acked") != 1 || !strings.Contains(said, test.want) {
					t.Errorf("stderr: %q, want one error with %q", said, test.want)
				}
				if strings.Contains(said, "goroutine ") || strings.Contains(said, "panic") {
					t.Error("the program panicked")
				}
			})
		}
	}
}
