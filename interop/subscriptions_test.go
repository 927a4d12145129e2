package interop

import (
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

	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/zmqwire"
)

// subscriber is a socket that subscribes to whatever it wants at a store, by none of the rules that nodes follow.
func subscriber(t *testing.T, context *zmq4.Context, port int) *zmq4.Socket {
	t.Helper()
	s, err := context.NewSocket(zmq4.SUB)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.SetSndhwm(0), s.SetLinger(0), s.SetRcvtimeo(100 * time.Millisecond), s.Connect(fmt.Sprintf("tcp://127.0.0.1:%d", port)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func subscribe(t *testing.T, s *zmq4.Socket, prefix string) {
	t.Helper()
	if err := s.SetSubscribe(prefix); err != nil {
		t.Fatal(err)
	}
}

// hears waits until something comes whose first frame begins so.
func hears(t *testing.T, s *zmq4.Socket, prefix string) {
	t.Helper()
	eventually(t, fmt.Sprintf("a message that begins with %q", prefix), func() bool {
		frames, err := s.RecvMessage(0)
		return err == nil && strings.HasPrefix(frames[0], prefix)
	})
}

// hangsUp subscribes to a prefix that is too long, and waits until the node hangs up. The bytes are made here: libzmq
// overflows its stack when it gives up a subscription of that length.
func hangsUp(t *testing.T, port int, prefix string) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
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
	frame := binary.BigEndian.AppendUint64([]byte{2}, uint64(1+len(prefix)))
	conn.Write(append(append(frame, 1), prefix...)) // it may hang up before it has all of it
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a subscription of %d bytes: nobody hangs up", len(prefix))
	}
}

// One peer that subscribes to 200,000 things at both nodes of a store costs it some memory and nothing else. Others, who
// subscribe to 1 MB, cost it nothing: they are hung up on.
func TestManySubscriptions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, nothing was tested: memory is read from /proc")
	}
	const subscriptions, bytes, most = 200_000, 20, 256 << 20
	c := newCluster(t)
	port := 30_000 + 2*rand.IntN(1000)
	for !free(port) || !free(port+1) {
		port = 30_000 + 2*rand.IntN(1000)
	}
	store := start(t, nil, "store", "--pub", c.pub[0], "--sub", c.sub[0], "--address", "127.0.0.1",
		"--bind", fmt.Sprintf("127.0.0.1:%d", port), "--db", t.TempDir())
	store.waitFor("store is running")
	want := partitions{"hello/a": lines("a", 3000), "hello/b": lines("b", 3000), "hello/c": lines("c", 3000)}
	c.produce("hello", want["hello/a"]).mustEnd(0)

	context, err := zmq4.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	defer context.Term()
	before := store.residentBytes()
	for i, kind := range []zmqwire.Kind{zmqwire.StoreHello, zmqwire.Ack} {
		s := subscriber(t, context, port+i)
		defer s.Close()
		for i := range subscriptions {
			subscribe(t, s, fmt.Sprintf("a topic %0*d", bytes-len("a topic "), i))
		}
		// Who subscribes so is greeted by the reader; the writer acks everything. Subscriptions keep their order.
		if kind == zmqwire.StoreHello {
			subscribe(t, s, "LLAST")
			hears(t, s, "LLAST")
		} else {
			subscribe(t, s, "K")
			_, publish, end := c.produceSlowly("other")
			defer end()
			publish("a record")
			hears(t, s, "K")
		}
	}
	cost := store.residentBytes() - before
	t.Logf("%d subscriptions of %d bytes at each node cost a store %d MiB", subscriptions, bytes, cost>>20)
	if cost > most {
		t.Errorf("%d subscriptions at each node cost a store %d MiB, want %d", subscriptions, cost>>20, most>>20)
	}
	c.produce("hello", want["hello/b"]).mustEnd(0)

	before = store.residentBytes()
	for i := range 20 {
		hangsUp(t, port+i%2, strings.Repeat(fmt.Sprintf("L%d", i), 1<<20/3))
	}
	c.produce("hello", want["hello/c"]).mustEnd(0)
	equal(t, "all", want, c.all("hello"))
	if cost := store.residentBytes() - before; cost > 64<<20 {
		t.Errorf("20 subscriptions of 1 MB cost a store %d MiB", cost>>20)
	} else {
		t.Logf("20 subscriptions of 1 MB cost a store %d MiB", cost>>20)
	}
	store.end(syscall.SIGTERM, 0)
}
