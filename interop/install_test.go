package interop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInstall installs twice, over what a user has.
func TestInstall(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	install := func(variables ...string) {
		t.Helper()
		c := exec.Command("make", append([]string{"-C", "..", "install"}, variables...)...)
		// A make that runs this test is none of its business.
		c.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	users := func(file, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	prefix := filepath.Join(t.TempDir(), "prefix")
	users(prefix+"/bin/dafka_perf_store", "a C program")
	install("PREFIX=" + prefix)
	users(prefix+"/etc/dafka.cfg", "store\n    db = mine\n")
	install("PREFIX=" + prefix)

	want := []string{"bin/dafka", "etc/dafka.cfg", "lib/systemd/system/dafka-store.service", "lib/systemd/system/dafka-tower.service"}
	for _, name := range append(cNames, "dafka") {
		want = append(want, "share/bash-completion/completions/"+name, "share/fish/vendor_completions.d/"+name+".fish",
			"share/man/man1/"+name+".1")
	}
	for _, name := range cNames {
		want = append(want, "bin/"+name)
		if name == "dafka_perf_store" {
			continue
		}
		out, err := exec.Command(filepath.Join(prefix, "bin", name), "--help").Output()
		if err != nil || !strings.HasPrefix(string(out), "Usage: "+name+" ") {
			t.Errorf("%s --help prints %q, error %v", name, out, err)
		}
	}
	want = append(want, "share/zsh/site-functions/_dafka", "share/man/man5/dafka.cfg.5")
	slices.Sort(want)
	var got []string
	err := filepath.WalkDir(prefix, func(path string, entry os.DirEntry, err error) error {
		if path = strings.TrimPrefix(path, prefix+"/"); !entry.IsDir() && !strings.HasPrefix(path, "share/man/man1/dafka-") {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := textOf(t, prefix+"/bin/dafka_perf_store"); got != "a C program" {
		t.Errorf("the user's C program is now %d bytes", len(got))
	}
	if got := textOf(t, prefix+"/etc/dafka.cfg"); got != "store\n    db = mine\n" {
		t.Errorf("the user's configuration is now %q", got)
	}
	if verify, err := exec.LookPath("systemd-analyze"); err == nil {
		c := exec.Command(verify, "verify", prefix+"/lib/systemd/system/dafka-store.service", prefix+"/lib/systemd/system/dafka-tower.service")
		c.Env = append(os.Environ(), "MANPATH="+prefix+"/share/man")
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v: %s", err, out)
		}
	}

	for _, unit := range []string{"dafka-store.service", "dafka-tower.service"} {
		text := textOf(t, prefix+"/lib/systemd/system/"+unit)
		for _, want := range []string{"\nRestart=always\n", "\nRestartPreventExitStatus=2\nEnvironment=GOTRACEBACK=crash\n", "\nStartLimitIntervalSec=0\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", unit, want, text)
			}
		}
	}

	// As those do who make packages.
	root := t.TempDir()
	install("PREFIX=/usr", "DESTDIR="+root)
	unit := textOf(t, root+"/usr/lib/systemd/system/dafka-store.service")
	if want := "\nExecStart=/usr/bin/dafka store -c /etc/dafka.cfg\n"; !strings.Contains(unit, want) {
		t.Errorf("%q is not in\n%s", want, unit)
	}
	if diff := cmp.Diff(textOf(t, "../cmd/dafka/install/dafka.cfg"), textOf(t, root+"/etc/dafka.cfg")); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}
