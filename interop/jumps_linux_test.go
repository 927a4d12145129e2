package interop

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The wall clock of a whole cluster, which jumps by an hour and a day. What decides by it believes that everybody has
// been gone for long where it jumps forth, and waits for ever where it jumps back. To and fro, it does one and then the
// other.
//
// Libraries that stand between a program and its clock do nothing to Go, which reads it without the C library. So the
// program is built with another package time, in which Now adds to the seconds of the wall clock, and leaves the monotonic
// reading alone. The clock of libzmq is not touched: it is CLOCK_MONOTONIC, which nobody sets.

// jumpsVariable is the variable of the environment that says how the clock of such a program jumps.
const jumpsVariable = "DAFKA_TEST_JUMPS"

// jumpsSource is what package time gets. It counts from the start of the process: no two nodes agree on the time.
const jumpsSource = `package time

import "syscall"

var jumps, _ = syscall.Getenv("` + jumpsVariable + `")

// jumped is how many seconds the wall clock is off, by the monotonic one.
func jumped(mono int64) int64 {
	const hour, day, every = 3600, 24 * 3600, 300_000_000
	step := mono / every
	far := (step+1)/2*hour + step/2*day
	switch jumps {
	case "forth":
		return far
	case "back":
		return -far
	case "to and fro":
		return [...]int64{0, hour, 0, day}[step%4]
	}
	return 0
}
`

// In time.Now, behind the line that makes mono a time since the start of the process.
const (
	wallOfNow   = "\tsec += unixToInternal - minWall\n"
	jumpsOfWall = "\tsec += unixToInternal - minWall + jumped(mono)\n"
)

// buildJumping builds the program with a clock that jumps.
func buildJumping(t *testing.T) string {
	t.Helper()
	list := exec.Command("go", "list", "-f", "{{.Dir}}", "time")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	source := strings.TrimSpace(string(out))
	of := filepath.Join(source, "time.go")
	text, err := os.ReadFile(of)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), wallOfNow); n != 1 {
		t.Fatalf("%s has %q %d times, want once: in this Go, time.Now does its work in another way", of, wallOfNow, n)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		of:                                write("time.go", strings.Replace(string(text), wallOfNow, jumpsOfWall, 1)),
		filepath.Join(source, "jumps.go"): write("jumps.go", jumpsSource),
	}})
	if err != nil {
		t.Fatal(err)
	}
	jumping := filepath.Join(dir, "dafka")
	begin := time.Now()
	build := exec.Command("go", "build", "-overlay", write("overlay.json", string(overlay)), "-o", jumping, "../cmd/dafka")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	t.Logf("built in %v", time.Since(begin).Round(time.Second))
	return jumping
}

var loggedAt = regexp.MustCompile(`(?m)^time=(\S+)`)

// jumps counts by how many hours the clock jumped from one line of the process's log to the next.
func (p *process) jumps() map[int]int {
	p.t.Helper()
	jumps := make(map[int]int)
	var last time.Time
	for _, said := range loggedAt.FindAllStringSubmatch(p.stderr.String(), -1) {
		at, err := time.Parse(time.RFC3339, said[1])
		if err != nil {
			p.t.Fatal(err)
		}
		if by := at.Sub(last).Round(time.Hour); by != 0 && !last.IsZero() {
			jumps[int(by.Hours())]++
		}
		last = at
	}
	return jumps
}

var gaveUp = regexp.MustCompile(`msg="disconnected from peer".* endpoint=(\S+)`)

// gaveUp is the peers that the process, if started with --verbose, has taken for gone.
func (p *process) gaveUp() (peers []string) {
	for _, said := range gaveUp.FindAllStringSubmatch(p.stderr.String(), -1) {
		peers = append(peers, said[1])
	}
	return peers
}

var servedAt = regexp.MustCompile(`metrics are at (http://\S+)/metrics`)

// get asks the process, if started with --http, for a page.
func (p *process) get(path string) (status int, page string) {
	p.t.Helper()
	p.waitFor("metrics are at")
	client := http.Client{Timeout: waitAtMost}
	answer, err := client.Get(servedAt.FindStringSubmatch(p.stderr.String())[1] + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

var towerNodes = regexp.MustCompile(`(?m)^dafka_tower_nodes (\d+)$`)

// nodes is of how many nodes the tower, if started with --http, says that they are there.
func (p *process) nodes() int {
	p.t.Helper()
	_, page := p.get("/metrics")
	said := towerNodes.FindStringSubmatch(page)
	if said == nil {
		p.t.Fatalf("%s does not say how many nodes there are:\n%s", p, abridged(page))
	}
	n, err := strconv.Atoi(said[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// TestClockJumps is for the long run: all packages are built anew, Go's own as well, which takes one core 110 s where
// Go's cache does not have them.
func TestClockJumps(t *testing.T) {
	if torture() == 0 {
		t.Skip("SKIPPED, nothing was tested: it builds all packages anew, Go's own as well; make torture does it")
	}
	if raced {
		t.Skip("SKIPPED, nothing was tested: a program that looks for races would have to be built anew as well")
	}
	// No other test runs meanwhile: this one is not parallel.
	usual := program
	t.Cleanup(func() { program = usual })
	program = buildJumping(t)
	for _, test := range []struct {
		jumps string
		hours []int
	}{
		{"forth", []int{1, 24}},
		{"back", []int{-24, -1}},
		{"to and fro", []int{-24, -1, 1, 24}},
	} {
		t.Run(test.jumps, func(t *testing.T) {
			t.Setenv(jumpsVariable, test.jumps)
			for name, p := range jumpingCluster(t) {
				jumps := p.jumps()
				t.Logf("jumps of the %s by hours, and how often: %v", name, jumps)
				for _, by := range test.hours {
					if jumps[by] == 0 {
						t.Errorf("the clock of the %s did not jump by %d hours: nothing was tested", name, by)
					}
				}
			}
		})
	}
}

// jumpingCluster is a cluster under load from its beginning to its end. It gives the processes that log much.
func jumpingCluster(t *testing.T) map[string]*process {
	c := meetingPoint(t)
	tower := start(t, nil, "tower", "--pub", c.pub[0], "--sub", c.sub[0], "--http", "0")
	tower.waitFor("tower is running")
	store := func() *process {
		p := c.start(nil, "store", "--db", t.TempDir(), "--http", "0", "--verbose")
		p.waitFor("store is running")
		return p
	}
	first := store()
	witness := c.witness()
	l := &load{
		T: t, acked: witness.ackedOf,
		produce: func(stdin *os.File) *process { return c.startOnTerminal(stdin, "produce", "hello", "--verbose") },
	}
	live := c.consume("hello", "--from-beginning").connected()
	steady, doomed := l.feed("steady", 10, 10*time.Millisecond), l.feed("doomed", 5, 10*time.Millisecond)
	live.waitForLines(2000)

	// A consumer and a store that come later get everything.
	late := c.consume("hello", "--from-beginning")
	second := store()
	all := map[string]*process{
		"store": first, "later store": second, "consumer": live, "later consumer": late,
		"producer": steady.producer, "producer that is killed": doomed.producer,
	}
	const nodes = 4 + 2 + 2 + 1 // a store is two, the witness is one
	eventually(t, "all nodes at the tower", func() bool { return tower.nodes() == nodes })
	for _, p := range []*process{first, second} {
		eventually(t, "a store that has caught up", func() bool {
			status, _ := p.get("/readyz")
			return status == http.StatusOK
		})
	}

	// Nobody is taken for gone, stuck or behind.
	acked := steady.saidAcked()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if n := tower.nodes(); n != nodes {
			t.Fatalf("the tower says that %d nodes are there, want %d", n, nodes)
		}
		for _, p := range []*process{tower, first, second} {
			if status, page := p.get("/readyz"); status != http.StatusOK {
				t.Fatalf("%s: %s", p, page)
			}
		}
		before := steady.saidAcked()
		eventually(t, "ACKs", func() bool { return steady.saidAcked() > before })
	}
	t.Logf("%d records acked in 10 s", steady.saidAcked()-acked)
	for name, p := range all {
		if peers := p.gaveUp(); peers != nil || strings.Contains(p.stderr.String(), "tower is silent") {
			t.Errorf("the %s gave up %q", name, peers)
		}
	}

	// A producer that is gone is, and nobody else.
	doomed.struck = true
	doomed.producer.kill()
	begin := time.Now()
	doomed.finish()
	delete(all, "producer that is killed")
	gone := make(map[string]bool)
	for name, p := range all {
		eventually(t, "the "+name+" misses a producer", func() bool { return p.gaveUp() != nil })
		for _, peer := range p.gaveUp() {
			gone[peer] = true
		}
	}
	t.Logf("a producer is missed by all after %v", time.Since(begin))
	if len(gone) != 1 {
		t.Errorf("one producer has gone, and these were given up: %q", slices.Collect(maps.Keys(gone)))
	}

	// What people see, and what they ask for by the second.
	var peers []struct {
		Role, Address string
		Beacon        float64 `json:"last_beacon_seconds"`
	}
	c.look(0, &peers, "peers")
	for _, p := range peers {
		if p.Beacon > 5 {
			t.Errorf("%s %s was heard %v s ago", p.Role, p.Address, p.Beacon)
		}
	}
	finds(t, c.findings(0))
	const paced = 2 * time.Second
	want := partitions{"paced/a": lines("a", 1000)}
	begin = time.Now()
	c.produce("paced", want["paced/a"], "--rate", "500").mustEnd(0)
	if took := time.Since(begin); took < paced*9/10 {
		t.Errorf("1000 records, 500 a second, took %v", took)
	}
	equal(t, "paced", want, c.all("paced"))

	// The end of each, on one signal.
	steady.pause()
	eventually(t, "all ACKs", func() bool { return steady.saidAcked() == uint64(steady.given.Load()) })
	steady.producer.end(syscall.SIGTERM, 0)
	steady.whole = true
	whole := c.consume("hello", "--from-beginning", "--until-end")
	whole.mustEnd(0)
	records := l.check("a new consumer", whole, true)
	witness.awaitStores("hello", 2, records)
	for _, consumer := range []*process{live, late} {
		l.await(consumer, records)
		consumer.end(syscall.SIGTERM, 0)
		l.check("a consumer that was there", consumer, true)
	}
	first.end(syscall.SIGTERM, 0)
	alone := c.consume("hello", "--from-beginning", "--until-end")
	alone.mustEnd(0)
	l.check("a new consumer, with the later store", alone, true)
	second.end(syscall.SIGTERM, 0)
	tower.end(syscall.SIGTERM, 0)
	t.Logf("%d records checked", l.records)
	return map[string]*process{"store": first, "later store": second}
}
