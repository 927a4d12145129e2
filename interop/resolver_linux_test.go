package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// askInVain makes a host of the network ask another for names, which never answers. It gives how much was asked.
func (n *network) askInVain(host, server string) (asked func() int) {
	n.t.Helper()
	n.filter(server, host)
	dir := filepath.Join("/etc/netns", n.prefix+host) // what programs in the namespace see as /etc
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Skipf("SKIPPED, nothing was tested: %v", err)
	}
	n.t.Cleanup(func() {
		os.RemoveAll(dir)
		os.Remove(filepath.Dir(dir)) // stays where others have something in it
	})
	text := "nameserver " + n.hosts[server] + "\noptions timeout:30 attempts:5\n"
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return func() int {
		n.t.Helper()
		out, err := exec.Command("ip", "netns", "exec", n.prefix+server, "iptables", "-L", "INPUT", "-v", "-x", "-n").Output()
		if err != nil {
			n.t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "DROP" {
				packets, err := strconv.Atoi(fields[0])
				if err != nil {
					n.t.Fatal(err)
				}
				return packets
			}
		}
		n.t.Fatalf("no rule drops anything:\n%s", out)
		return 0
	}
}

// Nodes that are to find one of their towers by a name, and whose name server does not answer, go on with their other
// tower, and end when they are told to, with the look-up under way. So they do with no other tower.
func TestSilentNameServer(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "tower", "node", "names")
	asked := n.askInVain("node", "names")
	n.start("tower", "tower").waitFor("tower is running")
	const named = "tcp://tower.example.org:"
	ip := "tcp://" + n.hosts["tower"] + ":"
	start := func(stdin *os.File, pub, sub string, args ...string) *process {
		t.Helper()
		return run(t, stdin, n.commandAt("node", pub, sub, args...))
	}
	both := func(stdin *os.File, args ...string) *process {
		t.Helper()
		before := asked()
		p := start(stdin, named+"5557,"+ip+"5557", named+"5556,"+ip+"5556", args...)
		eventually(t, "a question for a name", func() bool { return asked() > before })
		return p
	}
	store := both(nil, "store", "--db", t.TempDir())
	store.waitFor("store is running")
	consumer := both(nil, "consume", "hello", "--from-beginning", "--format", "json", "--verbose").connected()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	producer := both(in, "produce", "hello")
	want := partitions{"hello/a": lines("a", 1000)}
	if _, err := out.WriteString(strings.Join(want["hello/a"], "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	consumer.waitForLines(1000)
	equal(t, "live", want, consumer.partitions())
	out.Close()
	producer.mustEnd(0) // all is acked
	late := both(nil, "consume", "hello", "--from-beginning", "--until-end", "--format", "json")
	late.mustEnd(0)
	equal(t, "from the store", want, late.partitions())
	in, out, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	both(in, "produce", "hello").end(syscall.SIGTERM, 0)
	consumer.end(syscall.SIGTERM, 0)
	store.end(syscall.SIGTERM, 0)

	for _, s := range signals {
		before := asked()
		alone := start(nil, named+"5557", named+"5556", "store", "--db", t.TempDir())
		alone.waitFor("waiting for tower")
		eventually(t, "a question for a name", func() bool { return asked() > before })
		alone.end(s, 0)
	}
}
