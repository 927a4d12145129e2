package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// network is a few namespaces on one bridge, made for one test: a host for each process, whose link to another can be
// cut, in one direction or both, made to lose packets, or made slow.
type network struct {
	t      *testing.T
	prefix string // of the namespaces' names
	hosts  map[string]string
}

// requireNamespaces skips a test where namespaces cannot be made.
func requireNamespaces(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ip", "iptables", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, nothing was tested: no %s here: install iproute2 and iptables", tool)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, nothing was tested: network namespaces need root")
	}
}

var networks atomic.Int32

func newNetwork(t *testing.T, hosts ...string) *network {
	t.Helper()
	requireNamespaces(t)
	n := &network{t: t, prefix: fmt.Sprintf("dafka%d-%d-", os.Getpid(), networks.Add(1)), hosts: make(map[string]string)}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"bridge").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		for _, host := range append(hosts, "bridge") {
			exec.Command("ip", "netns", "del", n.prefix+host).Run()
		}
	})
	n.ip("-n", n.prefix+"bridge", "link", "add", "br0", "type", "bridge")
	n.ip("-n", n.prefix+"bridge", "link", "set", "br0", "up")
	for i, host := range hosts {
		ns := n.prefix + host
		n.hosts[host] = fmt.Sprintf("10.99.0.%d", i+1)
		n.ip("netns", "add", ns)
		// Made where it is to be: in no moment does it stand in the machine's own network.
		n.ip("-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", "to-"+host, "netns", n.prefix+"bridge")
		n.ip("-n", n.prefix+"bridge", "link", "set", "to-"+host, "master", "br0", "up")
		n.ip("-n", ns, "link", "set", "lo", "up")
		n.ip("-n", ns, "address", "add", n.hosts[host]+"/24", "dev", "eth0")
		n.ip("-n", ns, "link", "set", "eth0", "up")
	}
	return n
}

func (n *network) ip(args ...string) { n.do("ip", args...) }

func (n *network) do(tool string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v: %s", tool, strings.Join(args, " "), err, out)
	}
}

// filter has a host drop what comes from another, as the rest of a rule says.
func (n *network) filter(host, from string, rest ...string) {
	n.t.Helper()
	rule := append([]string{"netns", "exec", n.prefix + host, "iptables", "-A", "INPUT", "-s", n.hosts[from]}, rest...)
	n.ip(append(rule, "-j", "DROP")...)
}

// slow bounds what leaves a host.
func (n *network) slow(host string) {
	n.t.Helper()
	n.do("tc", "-n", n.prefix+host, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "4mbit", "burst", "16kb", "latency", "300ms")
}

// heal undoes what was done to the network.
func (n *network) heal() {
	n.t.Helper()
	for host := range n.hosts {
		n.ip("netns", "exec", n.prefix+host, "iptables", "-F", "INPUT")
		exec.Command("tc", "-n", n.prefix+host, "qdisc", "del", "dev", "eth0", "root").Run() // there may be none
	}
}

// command is the program on a host of the network, with the tower at the host of that name.
func (n *network) command(host string, args ...string) *exec.Cmd {
	return n.commandAt(host, "tcp://"+n.hosts["tower"]+":5557", "tcp://"+n.hosts["tower"]+":5556", args...)
}

// commandAt is the program on a host of the network, with towers at these endpoints.
func (n *network) commandAt(host, pub, sub string, args ...string) *exec.Cmd {
	flags := []string{"netns", "exec", n.prefix + host, program, args[0], "--pub", pub, "--sub", sub}
	if host != "tower" {
		flags = append(flags, "--address", n.hosts[host], "--bind", n.hosts[host])
	}
	return exec.Command("ip", append(flags, args[1:]...)...)
}

func (n *network) start(host string, args ...string) *process {
	n.t.Helper()
	return run(n.t, nil, n.command(host, args...))
}

// produce starts a producer with a terminal on a host.
func (n *network) produce(host string, stdin *os.File) *process {
	n.t.Helper()
	near, far := openTerminal(n.t)
	cmd := n.command(host, "produce", "hello")
	cmd.Stderr = far
	p := run(n.t, stdin, cmd)
	far.Close()
	go p.copyTerminal(near)
	return p
}

var (
	networkPairs = [][2]string{
		{"producer", "store"}, {"producer", "consumer"}, {"store", "consumer"}, {"store", "other"},
		{"tower", "producer"}, {"tower", "store"}, {"tower", "consumer"},
	}
	networkFaults = []string{"cut", "cut one way", "cut the other way", "loss", "slow"}
)

// networkRound disturbs the link between two hosts under load, and heals it.
//
// Invariants: those of load, in every store; a consumer that was there has everything; and without the tower, or beyond
// the link disturbed, everybody goes on meanwhile.
func networkRound(t *testing.T, seed uint64, pair [2]string, fault string, longest time.Duration) (records int) {
	t.Helper()
	choose := rand.New(rand.NewPCG(seed, 0))
	n := newNetwork(t, "tower", "store", "other", "producer", "consumer")
	n.start("tower", "tower").waitFor("tower is running")
	stores := make(map[string]*process)
	for _, host := range []string{"store", "other"} {
		stores[host] = n.start(host, "store", "--db", t.TempDir())
		stores[host].waitFor("store is running")
	}
	l := &load{
		T: t, produce: func(stdin *os.File) *process { return n.produce("producer", stdin) },
		acked: func(string) uint64 { return 0 },
	}
	consume := func(flags ...string) *process {
		t.Helper()
		flags = append([]string{"consume", "hello", "--from-beginning", "--format", "json", "--verbose"}, flags...)
		return n.start("consumer", flags...)
	}
	live := consume().connected()
	steady := l.feed("steady", 1+choose.IntN(50), 10*time.Millisecond)
	live.waitForLines(100)

	before, acked := live.stdout.lineCount(), steady.saidAcked()
	switch fault {
	case "cut":
		n.filter(pair[0], pair[1])
		n.filter(pair[1], pair[0])
	case "cut one way":
		n.filter(pair[0], pair[1])
	case "cut the other way":
		n.filter(pair[1], pair[0])
	case "loss":
		lost := fmt.Sprintf("0.%02d", 1+choose.IntN(25))
		n.filter(pair[0], pair[1], "-m", "statistic", "--mode", "random", "--probability", lost)
		n.filter(pair[1], pair[0], "-m", "statistic", "--mode", "random", "--probability", lost)
	case "slow":
		n.slow(pair[0])
	}
	during := time.Duration(choose.Int64N(int64(longest)))
	// While a queue fills that nobody empties, or packets are sent again, those beyond may be slower; they do not stop.
	if pair[0] == "tower" && fault != "slow" {
		live.waitForLines(before + 500)
		eventually(t, "ACKs without the tower", func() bool { return steady.saidAcked() > acked+100 })
	}
	if pair == [2]string{"producer", "store"} || pair == [2]string{"store", "other"} {
		eventually(t, "ACKs of the other store", func() bool { return steady.saidAcked() > acked })
		live.waitForLines(before + 100)
	}
	time.Sleep(during)
	n.heal()

	live.waitForLines(live.stdout.lineCount() + 100)
	steady.finish()
	l.feed("further", 300, time.Millisecond).finish()
	all := consume("--until-end")
	all.mustEnd(0)
	counts := l.check("a new consumer", all, true)
	l.await(live, counts)
	live.end(syscall.SIGTERM, 0)
	l.check("a consumer that was there", live, true)
	if torture() == 0 {
		return l.records // a store may need a minute
	}
	// Each store has everything, one that was cut off as well, when it has had time to catch up.
	for _, host := range []string{"store", "other"} {
		for end := time.Now().Add(3 * waitAtMost); ; {
			stores[host].signal(syscall.SIGSTOP)
			alone := consume("--until-end")
			alone.mustEnd(0)
			stores[host].signal(syscall.SIGCONT)
			if alone.stdout.lineCount() >= live.stdout.lineCount() || time.Now().After(end) {
				l.check("a new consumer without "+host, alone, true)
				break
			}
			// The one that is left has not yet copied what it missed, and can do so now.
			time.Sleep(time.Second)
		}
	}
	return l.records
}

// TestNetworkMatrix disturbs the link of each pair of roles in each way: a few rounds, and all combinations again and
// again with DAFKA_TORTURE, a quarter as many rounds as it says.
func TestNetworkMatrix(t *testing.T) {
	t.Parallel()
	requireNamespaces(t)
	type combination struct {
		pair  [2]string
		fault string
	}
	var combinations []combination
	for _, pair := range networkPairs {
		for _, fault := range networkFaults {
			combinations = append(combinations, combination{pair, fault})
		}
	}
	seed := tortureSeed()
	choose := rand.New(rand.NewPCG(seed, 0))
	choose.Shuffle(len(combinations), func(i, j int) { combinations[i], combinations[j] = combinations[j], combinations[i] })
	t.Logf("seed %d", seed)
	rounds, longest := 3, time.Second
	if torture() > 0 {
		// Beyond the time after which a silent node is taken to be gone.
		rounds, longest = (torture()+3)/4, 12*time.Second
	}
	var records, ended atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d rounds of %d, %d records checked, failed: %v", ended.Load(), rounds, records.Load(), t.Failed())
	})
	for i := range rounds {
		c := combinations[i%len(combinations)]
		t.Run(fmt.Sprintf("%d %s to %s %s", i, c.pair[0], c.pair[1], c.fault), func(t *testing.T) {
			t.Parallel()
			n := networkRound(t, seed+uint64(i), c.pair, c.fault, longest)
			records.Add(int64(n))
			ended.Add(1)
			t.Logf("seed %d, round %d: %s between %s and %s; %d records checked", seed, i, c.fault, c.pair[0], c.pair[1], n)
		})
	}
}
