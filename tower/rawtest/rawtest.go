// Package rawtest has sockets for tests that speak to towers and nodes without any of the rules that nodes follow.
package rawtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/wiretest"
)

// Bound is how long a test waits for what must come: far longer than it takes, even on a busy machine.
const Bound = 30 * time.Second

// Within fails the test when call takes longer than Bound. It does not end the call.
func Within(t testing.TB, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(Bound):
		t.Errorf("%s: not done after %v", what, Bound)
	}
}

// Eventually waits until the condition holds, and ends the test after Bound. There is nothing to wait on but the condition:
// what it asks for happens within other goroutines, or other processes.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); !condition(); <-tick.C {
		if time.Since(begin) > Bound {
			t.Fatalf("not after %v: %s", Bound, what)
		}
	}
}

// Open returns a socket that knows nothing of Dafka. The end of the test closes it.
func Open(t testing.TB, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	c, err := zmq4.NewContext()
	wiretest.Must(t, err)
	s, err := c.NewSocket(kind)
	wiretest.Must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		Within(t, "close raw context", func() { c.Term() })
	})
	wiretest.Must(t, s.SetLinger(0))
	wiretest.Must(t, s.SetIpv6(true))
	wiretest.Must(t, s.SetRcvtimeo(Bound))
	return s
}

// Next returns the next message of a socket.
func Next(t testing.TB, s *zmq4.Socket) [][]byte {
	t.Helper()
	message, err := s.RecvMessageBytes(0)
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	return message
}

// Node speaks to a tower without any of the rules that nodes follow.
type Node struct {
	Beacons *zmq4.Socket // XPUB
	Mesh    *zmq4.Socket // SUB
}

// Join returns a node to which the tower with these endpoints listens, and which receives from it.
func Join(t testing.TB, pub, sub string) *Node {
	t.Helper()
	n := &Node{Open(t, zmq4.XPUB), Open(t, zmq4.SUB)}
	wiretest.Must(t, n.Beacons.Connect(sub))
	if diff := cmp.Diff(wiretest.Frames("\x01B"), Next(t, n.Beacons)); diff != "" {
		t.Errorf("the tower's subscription (-want +got):\n%s", diff)
	}
	wiretest.Must(t, n.Mesh.SetSubscribe(zmqwire.BeaconTopic))
	wiretest.Must(t, n.Mesh.SetSubscribe(zmqwire.WelcomeTopic))
	wiretest.Must(t, n.Mesh.Connect(pub))
	if diff := cmp.Diff(wiretest.Frames("W"), Next(t, n.Mesh)); diff != "" {
		t.Errorf("the tower's welcome (-want +got):\n%s", diff)
	}
	// The welcome greets the connection: the tower may not have seen the subscription to beacons yet.
	wiretest.Must(t, n.Mesh.SetRcvtimeo(10*time.Millisecond))
	for begin := time.Now(); time.Since(begin) < Bound; {
		probe := fmt.Sprint(probes, probed.Add(1))
		n.Send(t, wiretest.Frames("B", probe, "127.0.0.1", "1"))
		// Others may be announced all the time.
		for sent := time.Now(); time.Since(sent) < 50*time.Millisecond; {
			if message, err := n.Mesh.RecvMessageBytes(0); err == nil && len(message) > 1 && string(message[1]) == probe {
				wiretest.Must(t, n.Mesh.SetRcvtimeo(Bound))
				return n
			}
		}
	}
	t.Fatal("the tower announces nothing")
	return nil
}

// probes is how the addresses begin with which nodes find out whether they receive from the tower.
const probes = "probe "

// probed tells them apart: two that were named by how long they had waited were the same one time in some hundred.
var probed atomic.Uint64

// Next returns the next message from the tower but for the probes of others.
func (n *Node) Next(t testing.TB) [][]byte {
	t.Helper()
	for {
		if message := Next(t, n.Mesh); len(message) < 2 || !strings.HasPrefix(string(message[1]), probes) {
			return message
		}
	}
}

// Send sends a beacon.
func (n *Node) Send(t testing.TB, message [][]byte) {
	t.Helper()
	if _, err := n.Beacons.SendMessage(message); err != nil {
		t.Fatal(err)
	}
}
