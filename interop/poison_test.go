package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Whoever reaches the ports can say anything to a node. Nothing of it may end it, fill it up, keep it from its work, or
// change what it holds.

// attacker is a node of the cluster that says what no node should.
type attacker struct {
	t       testing.TB
	node    *node.Node
	batch   *zsock.Batch
	out     *zsock.Batch
	sent    int
	victims map[string]bool // the prefixes that others have subscribed to at the attacker
}

func (c *cluster) attacker() *attacker {
	c.t.Helper()
	node, err := node.Join(c.node(), node.Sockets{
		Publish: zsock.XPUB, Send: zsock.Options{SendLimit: 1 << 20}, Subscribe: []zsock.Options{{}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { node.Close() })
	return &attacker{
		t: c.t, node: node, batch: zsock.NewBatch(), out: zsock.NewBatch(), victims: make(map[string]bool),
	}
}

// meet waits until the attacker is heard by nodes that listen to so many kinds of messages of their own or of a topic.
func (a *attacker) meet(prefixes int) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%d subscriptions", prefixes), func() bool {
		a.node.Wait(10*time.Millisecond, func() bool { return false })
		if err := a.node.Pub.Drain(a.batch); err != nil {
			a.t.Fatal(err)
		}
		for frames := a.batch.Next(); frames != nil; frames = a.batch.Next() {
			s, err := zmqwire.ParseSubscription(frames)
			if err != nil {
				a.t.Fatal(err)
			}
			a.victims[string(s.Prefix)] = true
		}
		return len(a.victims) >= prefixes
	})
}

// address is the address of the victim that listens to a kind of message for itself.
func (a *attacker) address(kind zmqwire.Kind) string {
	a.t.Helper()
	for prefix := range a.victims {
		if zmqwire.Kind(prefix[0]) == kind && len(prefix) > 1 {
			return prefix[1:]
		}
	}
	a.t.Fatalf("nobody listens to %v", kind)
	return ""
}

func (a *attacker) say(frames ...[]byte) {
	a.t.Helper()
	a.out.Add(frames...)
	a.sent++
	if a.out.Len() == 1000 {
		a.flush()
	}
}

func (a *attacker) flush() {
	a.t.Helper()
	if _, err := a.node.Pub.Send(a.out); err != nil {
		a.t.Fatal(err)
	}
	a.out.Reset()
	a.node.Wait(0, func() bool { return true })
}

// tell says a message, well formed as far as that is possible.
func (a *attacker) tell(m zmqwire.Message) {
	a.t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if m.Kind.HasContent() {
		a.say(frame, m.Content)
	} else {
		a.say(frame)
	}
}

// malformed says everything that looks like a message to somebody and is none.
func (a *attacker) malformed() {
	a.t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	content := []byte("content")
	for prefix := range a.victims {
		kind := zmqwire.Kind(prefix[0])
		m := zmqwire.Message{
			Kind: kind, Routing: []byte(prefix[1:]), Address: []byte("attacker"), Subject: []byte("hello"),
			Sequence: 7, Count: 3, Topics: [][]byte{[]byte("hello"), []byte("world")},
		}
		if !slices.Contains(zmqwire.Kinds(), kind) {
			continue
		}
		whole, err := m.Append(nil)
		if err != nil {
			a.t.Fatal(err)
		}
		with := func(frame []byte) {
			if kind.HasContent() {
				a.say(frame, content)
			} else {
				a.say(frame)
			}
		}
		for n := len(prefix); n < len(whole); n++ {
			with(whole[:n])
		}
		with(append(bytes.Clone(whole), 0))
		with(append(bytes.Clone(whole), bytes.Repeat([]byte("x"), 64_000)...))
		a.say(whole, content, content)
		a.say(whole, nil, nil, content)
		a.say(append([]byte(prefix), bytes.Repeat([]byte("x"), 256)...))
		a.say(append([]byte(prefix), bytes.Repeat([]byte("x"), 64_000)...))
		if kind.HasContent() {
			a.say(whole)
		} else {
			a.say(whole, content)
		}
		version := bytes.IndexByte(whole, 0) + 1
		for _, v := range []byte{0, 2, 255} {
			changed := bytes.Clone(whole)
			changed[version] = v
			with(changed)
		}
		if kind == zmqwire.ConsumerHello {
			for _, count := range []uint32{3, 1 << 16, 1<<32 - 1} {
				m.Topics = nil
				frame, _ := m.Append(nil)
				binary.BigEndian.PutUint32(frame[len(frame)-4:], count)
				with(frame)
				with(append(frame, 255, 255, 255, 255, 'x'))
			}
		}
		for range 500 {
			changed := bytes.Clone(whole)
			for range 1 + rng.IntN(4) {
				changed[len(prefix)+rng.IntN(len(changed)-len(prefix))] = byte(rng.Uint32())
			}
			with(changed)
		}
	}
	a.flush()
}

// hostile says what is well formed and untrue.
func (a *attacker) hostile(partition string) {
	a.t.Helper()
	producer, consumer, reader := a.address(zmqwire.Ack), a.address(zmqwire.StoreHello), a.address(zmqwire.ConsumerHello)
	hello := []byte("hello")
	for _, sequence := range []uint64{1 << 62, 1 << 63, 1<<64 - 2, 1<<64 - 1} {
		a.tell(zmqwire.Message{Kind: zmqwire.Head, Routing: hello, Address: []byte("nobody"), Subject: hello, Sequence: sequence})
		a.tell(zmqwire.Message{Kind: zmqwire.Record, Routing: hello, Address: []byte("nobody"), Subject: hello, Sequence: sequence, Content: hello})
		a.tell(zmqwire.Message{Kind: zmqwire.Record, Routing: hello, Address: []byte(partition), Subject: hello, Sequence: sequence, Content: hello})
		a.tell(zmqwire.Message{Kind: zmqwire.Ack, Routing: []byte(producer), Subject: hello, Sequence: sequence})
		a.tell(zmqwire.Message{Kind: zmqwire.Fetch, Routing: []byte(partition), Address: []byte("attacker"), Subject: hello, Sequence: sequence, Count: 1<<32 - 1})
	}
	for i := range 1000 {
		requester := fmt.Append(nil, "requester", i)
		a.tell(zmqwire.Message{Kind: zmqwire.Fetch, Routing: []byte(partition), Address: requester, Subject: hello, Count: 1<<32 - 1})
		a.tell(zmqwire.Message{Kind: zmqwire.GetHeads, Routing: nil, Address: requester})
		a.tell(zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte(consumer), Address: requester})
		a.tell(zmqwire.Message{Kind: zmqwire.ConsumerHello, Routing: []byte(reader), Address: requester, Topics: [][]byte{hello}})
	}
	a.tell(zmqwire.Message{
		Kind: zmqwire.ConsumerHello, Routing: []byte(reader), Address: []byte("attacker"), Topics: make([][]byte, 2000),
	})
	// What the consumer and the store's writer never asked for, and partitions that do not exist.
	for prefix := range a.victims {
		for i := range 20_000 {
			claim := zmqwire.Message{
				Routing: []byte(prefix[1:]), Address: fmt.Append(nil, "made up ", i), Subject: hello, Sequence: 1 << 40, Content: hello,
			}
			switch kind := zmqwire.Kind(prefix[0]); kind {
			case zmqwire.DirectRecord, zmqwire.DirectHead:
				claim.Kind = kind
			case zmqwire.Head:
				claim.Kind, claim.Routing = kind, hello
			default:
				continue
			}
			a.tell(claim)
		}
	}
	for i := range 1000 {
		a.tell(zmqwire.Message{
			Kind: zmqwire.DirectRecord, Routing: []byte(a.address(zmqwire.DirectRecord)), Address: []byte(partition), Subject: hello,
			Sequence: uint64(i), Content: []byte("forged"),
		})
		// Of what is published already, and of what is not yet.
		a.tell(zmqwire.Message{
			Kind: zmqwire.Record, Routing: hello, Address: []byte(partition), Subject: hello, Sequence: uint64(i), Content: []byte("forged"),
		})
		a.tell(zmqwire.Message{Kind: zmqwire.Head, Routing: hello, Address: []byte(partition), Subject: hello, Sequence: uint64(i)})
	}
	a.flush()
}

// beacons tells the tower of nodes that do not exist, in every wrong way and in the right one.
func (c *cluster) beacons() {
	c.t.Helper()
	s, err := zmq4.NewSocket(zmq4.XPUB)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.Close()
	s.SetLinger(time.Second)
	s.SetSndhwm(1 << 20)
	s.SetRcvtimeo(waitAtMost)
	if err := s.Connect(c.sub[0]); err != nil {
		c.t.Fatal(err)
	}
	if _, err := s.RecvBytes(0); err != nil {
		c.t.Fatal(err)
	}
	for _, beacon := range [][]string{
		{"B"}, {"B", "a"}, {"B", "a", "127.0.0.1"}, {"B", "a", "127.0.0.1", "1", "2"}, {"Bx", "a", "127.0.0.1", "5555"},
		{"B", "", "127.0.0.1", "5555"}, {"B", strings.Repeat("a", 256), "127.0.0.1", "5555"}, {"B", "a\x00b", "127.0.0.1", "5555"},
		{"B", "a", "127.0.0.1", "0"}, {"B", "a", "127.0.0.1", "65536"}, {"B", "a", "127.0.0.1", "-1"}, {"B", "a", "127.0.0.1", "http"},
		{"B", "a", "no.such.host.invalid", "5555"}, {"B", "a", "*", "5555"}, {"B", "a", "0.0.0.0", "5555"}, {"B", "a", "224.0.0.1", "5555"},
		{"B", "a", "127.0.0.1;tcp://1.2.3.4", "5555"}, {"B", "a", "inproc://x", "1"}, {"B", "a", "ipc:///tmp/x", "1"}, {"B", "a", "[::1", "5555"},
	} {
		if _, err := s.SendMessage(beacon); err != nil {
			c.t.Fatal(err)
		}
	}
	for i := range 10_000 {
		port := strconv.Itoa(1 + i%1000)
		if _, err := s.SendMessage("B", fmt.Sprint("address ", i), "127.0.0.1", port); err != nil {
			c.t.Fatal(err)
		}
	}
}

// residentBytes is how much memory the process has, descriptors how many files it has open.
func (p *process) residentBytes() int {
	p.t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("no /proc here:", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func (p *process) descriptors() int {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(files)
}

func TestPoison(t *testing.T) {
	const most, mostFiles = 64 << 20, 256
	tw, c := startTower(t)
	store := c.store(t.TempDir())
	consumer := c.consume("hello", "--from-beginning")
	producer, publish, end := c.produceSlowly("hello")
	want := partitions{"hello/a": lines("a", 100)}
	publish(want["hello/a"]...)
	consumer.waitForLines(100)
	// What a store does not have yet, it takes from anyone: nodes do not say who they are.
	c.awaitHeads("hello", 1, 1, 100)
	nodes := []*process{tw, store, consumer, producer}

	before := make(map[*process]int)
	for _, p := range nodes {
		before[p] = p.residentBytes()
	}
	// check publishes and consumes another record: everybody is at work.
	check := func(after string) {
		t.Helper()
		begin := time.Now()
		line := fmt.Sprintf("a %d after %s", len(want["hello/a"]), after)
		want["hello/a"] = append(want["hello/a"], line)
		publish(line)
		consumer.waitForLines(len(want["hello/a"]))
		took := time.Since(begin)
		if took > soon {
			t.Errorf("a record took %v after %s", took, after)
		}
		for _, p := range nodes {
			select {
			case <-p.ended:
				t.Fatalf("%s: %v after %s", p, p.cmd.ProcessState, after)
			default:
			}
			grown, files := p.residentBytes()-before[p], p.descriptors()
			t.Logf("after %s: a record took %v; %.30s: %+d MiB, %d files", after, took, p, grown>>20, files)
			if grown > most && buildFlags == nil {
				t.Errorf("%s has grown by %d MiB after %s", p, grown>>20, after)
			}
			if files > mostFiles {
				t.Errorf("%s has %d files open after %s", p, files, after)
			}
		}
	}
	check("nothing")

	a := c.attacker()
	// Producer: 2. Consumer: 5. Store: 4 and 3. Some of them twice, as M and as M with a topic.
	a.meet(14)
	a.malformed()
	check("malformed messages")
	for _, reason := range []zmqwire.Fault{zmqwire.ErrTruncated, zmqwire.ErrTrailing, zmqwire.ErrSurplusFrame, zmqwire.ErrVersion} {
		if !strings.Contains(store.stderr.String(), string(reason)) {
			t.Errorf("the store does not tell of %q", reason)
		}
	}
	a.hostile(a.address(zmqwire.Fetch))
	check("hostile messages")
	c.beacons()
	check("hostile beacons")
	t.Logf("%d messages said", a.sent)

	// The attacker may have made partitions of its own; this one is as it was published, live and from the store.
	own := func(p *process) partitions { return partitions{"hello/a": p.partitions()["hello/a"]} }
	end()
	producer.mustEnd(0)
	consumer.end(syscall.SIGTERM, 0)
	equal(t, "live", want, own(consumer))
	late := c.consume("hello", "--from-beginning")
	eventually(t, "all from the store", func() bool {
		return late.stdout.lineCount() >= len(want["hello/a"]) && len(own(late)["hello/a"]) == len(want["hello/a"])
	})
	late.end(syscall.SIGTERM, 0)
	equal(t, "from the store", want, own(late))
}
