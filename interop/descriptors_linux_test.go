package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// limitFiles lets the process open no descriptor from this number on.
func (p *process) limitFiles(most int) {
	p.t.Helper()
	tool, err := exec.LookPath("prlimit")
	if err != nil {
		p.t.Skip("SKIPPED, nothing was tested: no prlimit here: install util-linux")
	}
	limit := []string{fmt.Sprint("--pid=", p.cmd.Process.Pid), "--nofile=" + strconv.Itoa(most) + ":"}
	if out, err := exec.Command(tool, limit...).CombinedOutput(); err != nil {
		p.t.Fatalf("prlimit: %v: %s", err, out)
	}
}

// TestDescriptorsRunOut leaves a store and a consumer no descriptor for a connection when a producer comes. They go on
// with what they have, and connect to it when there are some.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	// poll() takes no more sockets than there may be descriptors.
	const none, plenty = 16, 1024
	c := newCluster(t)
	store := c.start(nil, "store", "--verbose", "--db", t.TempDir())
	store.waitFor("store is running")
	consumer := c.consume("hello", "--from-beginning")
	want := partitions{"hello/a": lines("a", 100), "hello/b": lines("b", 100)}
	producer, publish, end := c.produceSlowly("hello")
	publish(want["hello/a"][0])
	consumer.waitForLines(1)
	c.awaitHeads("hello", 1, 1, 1)

	poor := []*process{store, consumer}
	connects := func(p *process) int { return strings.Count(p.stderr.String(), "connected to peer") }
	before := make(map[*process]int)
	for _, p := range poor {
		before[p] = connects(p)
		p.limitFiles(none)
		for i := range none {
			if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", p.cmd.Process.Pid, i)); err != nil {
				t.Fatalf("%s still has a descriptor: %v", p, err)
			}
		}
	}
	late := c.produce("hello", want["hello/b"])
	for _, p := range poor {
		eventually(t, "an attempt to connect", func() bool { return connects(p) > before[p] })
	}
	publish(want["hello/a"][1:]...)
	consumer.waitForLines(100)
	if got := consumer.partitions(); len(got) != 1 {
		t.Errorf("%d partitions without a descriptor for the second", len(got))
	}
	for _, p := range poor {
		p.limitFiles(plenty)
	}
	late.mustEnd(0)
	consumer.waitForLines(200)
	end()
	producer.mustEnd(0)
	equal(t, "live", want, consumer.partitions())
	consumer.end(syscall.SIGTERM, 0)
	equal(t, "from the store", want, c.all("hello"))
	store.end(syscall.SIGTERM, 0)
}
