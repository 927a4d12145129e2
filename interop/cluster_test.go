package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

const (
	// waitAtMost bounds each wait. What is waited for takes milliseconds to seconds, unless the machine is busy.
	waitAtMost = 60 * time.Second
	// soon is how long a program that is told to end may take.
	soon = 2 * time.Second
)

// raced says that the tests look for races. buildFlags are those of the program, which then does too.
var (
	raced      bool
	buildFlags []string
)

var program string

// TestMain builds the program that all tests run.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "dafka-interop-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "dafka")
		build := exec.Command("go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", program, "../cmd/dafka"})...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
			return 1
		}
		status := m.Run()
		if err := scores.write(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return status
	}())
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(waitAtMost); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", waitAtMost, what)
		}
	}
}

// cluster is where processes find each other: at one tower or several.
type cluster struct {
	t        testing.TB
	pub, sub []string
}

// newCluster starts a tower.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	_, c := startTower(t)
	return c
}

// startTower starts a tower and gives it with its cluster.
func startTower(t testing.TB) (*process, *cluster) {
	t.Helper()
	c := meetingPoint(t)
	return c.tower(), c
}

// meetingPoint is a cluster whose tower is still to be started.
func meetingPoint(t testing.TB) *cluster {
	port := ports(t)
	return &cluster{
		t:   t,
		pub: []string{fmt.Sprintf("tcp://127.0.0.1:%d", port)},
		sub: []string{fmt.Sprintf("tcp://127.0.0.1:%d", port+1)},
	}
}

// given are the ports that tests have, whether or not somebody listens there just now.
var given sync.Map

// ports gives a port that is free, as the next one is. They lie below those that systems hand out by themselves, and no
// other test is given them before this one ends, so that what is restarted gets its ports back.
func ports(t testing.TB) int {
	for {
		port := 10_000 + 2*rand.IntN(10_000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		t.Cleanup(func() { given.Delete(port) })
		if free(port) && free(port+1) {
			return port
		}
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// and is the cluster of both towers.
func (c *cluster) and(other *cluster) *cluster {
	return &cluster{t: c.t, pub: slices.Concat(c.pub, other.pub), sub: slices.Concat(c.sub, other.sub)}
}

// tower starts the cluster's tower, again perhaps.
func (c *cluster) tower() *process {
	c.t.Helper()
	p := start(c.t, nil, "tower", "--pub", c.pub[0], "--sub", c.sub[0])
	p.waitFor("tower is running")
	return p
}

func (c *cluster) node() tower.NodeConfig {
	return tower.NodeConfig{Pub: c.pub, Sub: c.sub, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}
}

// start starts a node of the cluster.
func (c *cluster) start(stdin io.Reader, args ...string) *process {
	c.t.Helper()
	return start(c.t, stdin, c.args(args...)...)
}

// args adds what makes a node one of the cluster.
func (c *cluster) args(args ...string) []string {
	flags := []string{
		"--pub", strings.Join(c.pub, ","), "--sub", strings.Join(c.sub, ","), "--address", "127.0.0.1", "--bind", "127.0.0.1",
	}
	// They stand in front: behind "--" all words are topics.
	return slices.Concat(args[:1], flags, args[1:])
}

// store starts a store and waits until its database is open.
func (c *cluster) store(dir string) *process {
	c.t.Helper()
	p := c.start(nil, "store", "--db", dir)
	p.waitFor("store is running")
	return p
}

// produce starts a producer that publishes these lines.
func (c *cluster) produce(topic string, lines []string, flags ...string) *process {
	c.t.Helper()
	return c.start(strings.NewReader(strings.Join(lines, "\n")+"\n"), append([]string{"produce", topic}, flags...)...)
}

// produceSlowly starts a producer, and gives what publishes further lines and what ends the input.
func (c *cluster) produceSlowly(topic string) (p *process, publish func(lines ...string), end func()) {
	c.t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	p = c.start(in, "produce", topic)
	publish = func(lines ...string) {
		if _, err := io.WriteString(out, strings.Join(lines, "\n")+"\n"); err != nil {
			c.t.Errorf("publish: %v", err)
		}
	}
	end = func() { out.Close() }
	c.t.Cleanup(end)
	return p, publish, end
}

// consume starts a consumer whose records can be had.
func (c *cluster) consume(args ...string) *process {
	c.t.Helper()
	return c.start(nil, append([]string{"consume", "--format", "json", "--verbose"}, args...)...)
}

// all gives what a consumer that begins at the beginning prints up to the end.
func (c *cluster) all(topics ...string) partitions {
	c.t.Helper()
	p := c.consume(append([]string{"--from-beginning", "--until-end", "--"}, topics...)...)
	p.mustEnd(0)
	return p.partitions()
}

// awaitHeads waits until so many stores say that they have so many records in each of a topic's partitions.
func (c *cluster) awaitHeads(topic string, stores, partitions int, records uint64) {
	c.t.Helper()
	config := c.node()
	node, err := node.Join(config, node.Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		c.t.Fatal(err)
	}
	defer node.Close()
	if err := node.Sub[0].Subscribe("E" + node.Address()); err != nil {
		c.t.Fatal(err)
	}
	batch, asked := zsock.NewBatch(), time.Time{}
	told := make(map[string]int)
	eventually(c.t, fmt.Sprintf("%d stores with %d records in %d partitions of %s", stores, records, partitions, topic), func() bool {
		if time.Since(asked) > time.Second {
			asked = time.Now()
			clear(told)
			batch.Reset()
			ask := zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(node.Address())}
			if err := batch.AddMessage(&ask); err != nil {
				c.t.Fatal(err)
			}
			node.Pub.Send(batch)
		}
		node.Wait(10*time.Millisecond, func() bool { return false })
		if err := node.Sub[0].Drain(batch); err != nil {
			c.t.Fatal(err)
		}
		for frames := batch.Next(); frames != nil; frames = batch.Next() {
			var m zmqwire.Message
			if err := m.Decode(frames); err != nil {
				c.t.Fatal(err)
			}
			if m.Sequence == records-1 {
				told[string(m.Address)]++
			}
		}
		whole := 0
		for n := range maps.Values(told) {
			if n >= stores {
				whole++
			}
		}
		return whole >= partitions
	})
}

// process is the program at work.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// output is what a process has written so far.
type output struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	lines int
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines += bytes.Count(b, []byte("\n"))
	return o.bytes.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes.String()
}

func (o *output) lineCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines
}

// start runs the program. The end of the test kills it, and shows what it said if the test failed. A file as input is
// closed, any other read as far as the program reads it.
func start(t testing.TB, stdin io.Reader, args ...string) *process {
	t.Helper()
	return run(t, stdin, exec.Command(program, args...))
}

// run starts the program as the command says: with a stderr of its own, by way of another program, or another program.
func run(t testing.TB, stdin io.Reader, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	p.cmd.Stdout = &p.stdout
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = &p.stderr
	}
	in, _ := stdin.(*os.File)
	if stdin != nil && in == nil {
		var out *os.File
		var err error
		if in, out, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		go func() {
			io.Copy(out, stdin) // until the program has read all, or has ended
			out.Close()
		}()
	}
	if in != nil {
		p.cmd.Stdin = in
		defer in.Close()
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			p.cmd.Process.Kill()
			<-p.ended
		}
		// A race is reported in the output only.
		if said := p.stderr.String(); t.Failed() || strings.Contains(said, "DATA RACE") {
			t.Errorf("%s: %v, %d lines of output; stderr:\n%s", p, p.cmd.ProcessState, p.stdout.lineCount(), abridged(said))
		}
	})
	return p
}

func (p *process) String() string {
	return filepath.Base(p.cmd.Args[0]) + " " + strings.Join(p.cmd.Args[1:], " ")
}

func abridged(s string) string {
	if len(s) > 6000 {
		return s[:3000] + "\n[...]\n" + s[len(s)-3000:]
	}
	return s
}

// waitFor waits until stderr says something.
func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s says %q", p, text), func() bool {
		select {
		case <-p.ended:
			if !strings.Contains(p.stderr.String(), text) {
				p.t.Fatalf("%s has ended (%v) and did not say %q", p, p.cmd.ProcessState, text)
			}
		default:
		}
		return strings.Contains(p.stderr.String(), text)
	})
}

// connected waits until the process, if started with --verbose, has heard the tower.
func (p *process) connected() *process {
	p.t.Helper()
	p.waitFor("connected to tower")
	return p
}

// waitForLines waits until stdout has so many lines.
func (p *process) waitForLines(n int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d lines of %s", n, p), func() bool { return p.stdout.lineCount() >= n })
}

// mustEnd waits until the process has ended by itself, which it must with this status.
func (p *process) mustEnd(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(waitAtMost):
		p.t.Fatalf("%s does not end", p)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("%s: exit status %d, want %d", p, got, status)
	}
}

// signal tells the process something.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// end tells the process to end, which it must do soon, and with this status.
func (p *process) end(s syscall.Signal, status int) {
	p.t.Helper()
	begin := time.Now()
	p.signal(s)
	select {
	case <-p.ended:
	case <-time.After(waitAtMost):
	}
	if took := time.Since(begin); took > soon {
		p.t.Errorf("%s ended %v after %v, want %v", p, took, s, soon)
	}
	p.mustEnd(status)
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// partitions is what a consumer got: the contents of each partition, in order. A partition's name here is its topic,
// a slash, and the first word of its first content, by which tests name their producers.
type partitions map[string][]string

// partitions reads what a consumer printed, whole lines only. Sequences must follow one another, from 0 on with
// --from-beginning.
func (p *process) partitions() partitions {
	p.t.Helper()
	type partition struct {
		topic, address string
	}
	first, contents := make(map[partition]uint64), make(map[partition][]string)
	text := p.stdout.String()
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		var r struct {
			Topic, Partition, Content string
			Sequence                  uint64
			TopicBase64               bool `json:"topic_base64"`
			ContentBase64             bool `json:"content_base64"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			p.t.Fatalf("%s: %v: %s", p, err, line)
		}
		for text, isBase64 := range map[*string]bool{&r.Topic: r.TopicBase64, &r.Content: r.ContentBase64} {
			if !isBase64 {
				continue
			}
			decoded, err := base64.StdEncoding.DecodeString(*text)
			if err != nil {
				p.t.Fatalf("%s: %v: %s", p, err, line)
			}
			*text = string(decoded)
		}
		name := partition{r.Topic, r.Partition}
		if _, ok := first[name]; !ok {
			first[name] = r.Sequence
			if r.Sequence > 0 && slices.Contains(p.cmd.Args, "--from-beginning") {
				p.t.Errorf("%s: partition %s begins with record %d", p, r.Partition, r.Sequence)
			}
		}
		if want := first[name] + uint64(len(contents[name])); r.Sequence != want {
			p.t.Fatalf("%s: record %d of partition %s instead of %d", p, r.Sequence, r.Partition, want)
		}
		contents[name] = append(contents[name], r.Content)
	}
	named := make(partitions)
	for name, contents := range contents {
		producer, _, _ := strings.Cut(contents[0], " ")
		if named[name.topic+"/"+producer] != nil {
			p.t.Errorf("%s: two partitions begin with %q", p, producer)
		}
		named[name.topic+"/"+producer] = contents
	}
	return named
}

// equal compares what came with what was published.
func equal(t testing.TB, what string, want, got partitions) {
	t.Helper()
	// Faster than a look for differences where there are none.
	if maps.EqualFunc(want, got, slices.Equal) {
		return
	}
	t.Errorf("%s (-published +consumed):\n%s", what, abridged(cmp.Diff(want, got)))
}

// lines gives n contents of one producer, each unlike all others.
func lines(producer string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%s %d %s", producer, i, "some more text so that it has the size of a line of a log"[:i%58])
	}
	return lines
}
