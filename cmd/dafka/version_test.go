package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// With a libzmq at run time that is newer than every one known when the program was built, all of it works as before, and
// the version it has is printed.
func TestLaterLibrary(t *testing.T) {
	t.Parallel()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler to make another libzmq's version of")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "later.c"), filepath.Join(dir, "later.so")
	text := "void zmq_version(int *major, int *minor, int *patch) { *major = 4; *minor = 3; *patch = 999; }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Skipf("cc: %v\n%s", err, out)
	}
	later := func(args ...string) *exec.Cmd {
		c := commandLine(t, "program", args...)
		c.Env = append(c.Env, "LD_PRELOAD="+library)
		return c
	}
	out, err := later("version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "\nlibzmq 4.3.999\n") {
		t.Skipf("LD_PRELOAD has no effect here: %s", out)
	}
	dev := startCommand(t, later("dev", "--db", filepath.Join(dir, "db"), "--pub", "tcp://127.0.0.1:*", "--sub", "tcp://127.0.0.1:*"))
	dev.says("nodes join with ")
	_, flags, _ := strings.Cut(dev.seen[len(dev.seen)-1], "nodes join with ")
	join := strings.Fields(flags)
	produce := later(append([]string{"produce", "hello", "--address", "127.0.0.1", "--bind", "127.0.0.1"}, join...)...)
	produce.Stdin = strings.NewReader("one\ntwo\n")
	if out, err := produce.CombinedOutput(); err != nil {
		t.Errorf("produce: %v, %s", err, out)
	}
	consume := later(append([]string{"consume", "hello", "--from-beginning", "-n", "2", "--format", "raw", "--address", "127.0.0.1",
		"--bind", "127.0.0.1"}, join...)...)
	if out, err := consume.Output(); err != nil || string(out) != "onetwo" {
		t.Errorf("consume: %v, %q; want what was produced", err, out)
	}
	dev.signal(syscall.SIGTERM)
	if status := dev.endsSoon(); status != 0 {
		t.Errorf("dev: exit status %d", status)
	}
}
