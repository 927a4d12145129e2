package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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

// idleSubscribers are connections that speak ZMTP as subscribers, and subscribe to nothing.
func idleSubscribers(t *testing.T, address string, n int) {
	t.Helper()
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L'}, make([]byte, 48)...)
	command := "\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
	greeting = append(append(greeting, 4, byte(len(command))), command...)
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write(greeting); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleConnections takes all descriptors of a tower and a store with connections that want nothing. They are ended, and
// newcomers get in. DAFKA_TORTURE makes it the limit that most systems set, and 1,000 connections to each.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	descriptors, idle := 160, 300
	if torture() > 0 {
		descriptors, idle = 1024, 1000
	}
	tower, c := startTower(t)
	where := fmt.Sprint("127.0.0.1:", ports(t))
	store := start(t, nil, "store", "--db", t.TempDir(), "--pub", c.pub[0], "--sub", c.sub[0], "--address", "127.0.0.1", "--bind", where)
	store.waitFor("store is running")
	c.produce("hello", lines("a", 10)).mustEnd(0)
	tower.limitFiles(descriptors)
	store.limitFiles(descriptors)
	idleSubscribers(t, strings.TrimPrefix(c.pub[0], "tcp://"), idle)
	idleSubscribers(t, where, idle)
	for _, p := range []*process{tower, store} {
		eventually(t, "no descriptor is left", func() bool {
			_, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", p.cmd.Process.Pid, descriptors-1))
			return err == nil
		})
	}
	begin := time.Now()
	c.produce("hello", lines("b", 10)).mustEnd(0)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the newcomer was acked after %v", took)
	}
	equal(t, "records", partitions{"hello/a": lines("a", 10), "hello/b": lines("b", 10)}, c.all("hello"))
}
