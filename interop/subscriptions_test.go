package interop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// subscriber is a connection of a peer that subscribes to whatever it wants, by none of the rules that nodes follow, those of
// libzmq included, which would connect again.
func subscriber(t *testing.T, endpoint string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(waitAtMost))
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x00NULL")
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
	hello := append(append(greeting, 4, byte(len(ready))), ready...)
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	// Its own greeting and READY: it takes messages from now on.
	if _, err := io.ReadFull(conn, make([]byte, len(hello))); err != nil {
		t.Fatal(err)
	}
	return conn
}

// hangsUp subscribes to so many prefixes, and waits until the node hangs up.
func hangsUp(t *testing.T, endpoint string, subscriptions int, prefix func(i int) string) {
	t.Helper()
	conn := subscriber(t, endpoint)
	out := bufio.NewWriter(conn)
	var err error
	for i := 0; i < subscriptions && err == nil; i++ {
		p := prefix(i)
		frame := binary.BigEndian.AppendUint64([]byte{2}, uint64(1+len(p)))
		_, err = out.Write(append(append(frame, 1), p...))
	}
	out.Flush() // it may hang up before it has all of it
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d subscriptions, the first of %d bytes: nobody hangs up", subscriptions, len(prefix(0)))
	}
}

// junk sends what is no subscription, with one in it, and waits until the node hangs up.
func junk(t *testing.T, endpoint string) {
	t.Helper()
	conn := subscriber(t, endpoint)
	// A frame with another to follow, and that one.
	_, err := conn.Write([]byte("\x01\x01x\x00\x03\x01Mx"))
	if err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("what is no subscription: nobody hangs up")
	}
}

// Peers that subscribe to more than they may are hung up on, and cost a store some memory and nothing else: a million
// things, many long ones, one of 1 MB, the same one again and again; and so does a tower. Others are served.
func TestManySubscriptions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, nothing was tested: memory is read from /proc")
	}
	tower, c := startTower(t)
	port := ports(t)
	store := start(t, nil, "store", "--pub", c.pub[0], "--sub", c.sub[0], "--address", "127.0.0.1",
		"--bind", fmt.Sprintf("127.0.0.1:%d", port), "--db", t.TempDir())
	store.waitFor("store is running")
	want := make(partitions)
	served := func(name string) {
		t.Helper()
		want["hello/"+name] = lines(name, 1000)
		c.produce("hello", want["hello/"+name]).mustEnd(0)
		equal(t, name, want, c.all("hello"))
	}
	served("before")
	dice := rand.New(rand.NewPCG(1, 2))
	long := func(int) string {
		b := make([]byte, 254)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return "L" + string(b)
	}
	numbered := func(i int) string { return fmt.Sprintf("L a topic %011d", i) }
	nodes := []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1), c.pub[0]}
	for _, node := range nodes {
		junk(t, node)
	}
	served("junk")
	before, beforeTower := store.residentBytes(), tower.residentBytes()
	for i, flood := range []struct {
		subscriptions int
		prefix        func(i int) string
		most          int // that a tower, and both nodes of a store, may cost
	}{
		{1_000_000, func(int) string { return "" }, 32 << 20},
		{1_000_000, numbered, 32 << 20},
		{1, func(int) string { return strings.Repeat("L", 1<<20) }, 32 << 20},
		{50_000, long, 512 << 20}, // the worst there is: each byte has memory of its own, and what the last peer had may still be there
		{50_000, long, 512 << 20},
		{50_000, long, 512 << 20},
	} {
		for _, node := range nodes {
			hangsUp(t, node, flood.subscriptions, flood.prefix)
		}
		cost, costTower := store.residentBytes()-before, tower.residentBytes()-beforeTower
		t.Logf("flood %d: a store has %d MiB more, a tower %d", i, cost>>20, costTower>>20)
		if max(cost, costTower) > flood.most && !raced {
			t.Errorf("flood %d: a store has %d MiB more, a tower %d, want %d at most", i, cost>>20, costTower>>20, flood.most>>20)
		}
		served(fmt.Sprint("flood", i))
	}
	store.end(syscall.SIGTERM, 0)
}
