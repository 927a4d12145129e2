package zsock

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newPoller(t testing.TB, sockets ...*Socket) *Poller {
	t.Helper()
	p, err := NewPoller(sockets...)
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

// wait is a Wait that must end because of something and not because its time is over.
func wait(t testing.TB, p *Poller, work func() bool) (ready int) {
	t.Helper()
	begin := time.Now()
	ready, err := p.Wait(2*bound, work)
	must(t, err)
	if took := time.Since(begin); took > bound {
		t.Fatalf("nothing ended Wait for %v", took)
	}
	return ready
}

// waitReady waits until some socket is ready: a Wait may end early.
func waitReady(t testing.TB, p *Poller) (ready int) {
	t.Helper()
	for ready == 0 {
		ready = wait(t, p, never)
	}
	return ready
}

func TestWaitTellsWhichSocketIsReady(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	other := open(t, newContext(t), SUB, Options{})
	p := newPoller(t, other, pub, sub)
	batch, received := NewBatch(), NewBatch()
	batch.Add([]byte("message"))
	sendAll(t, pub, batch)
	if ready := waitReady(t, p); ready != 1<<2 {
		t.Errorf("ready %b, want the SUB alone, the third", ready)
	}
	must(t, sub.Subscribe("more"))
	must(t, sub.Drain(received))
	if ready := waitReady(t, p); ready != 1<<1 {
		t.Errorf("ready %b, want the XPUB alone, the second", ready)
	}
}

func TestWaitEndsInTime(t *testing.T) {
	p := newPoller(t, open(t, newContext(t), SUB, Options{}))
	for _, timeout := range []time.Duration{-time.Second, 0, time.Nanosecond, 20 * time.Millisecond} {
		begin := time.Now()
		// It may end early, but not be a busy loop; so all of these together must take their time.
		for time.Since(begin) < timeout {
			if ready, err := p.Wait(timeout-time.Since(begin), never); ready != 0 || err != nil {
				t.Fatalf("timeout %v: ready %b, %v", timeout, ready, err)
			}
		}
		ready, err := p.Wait(timeout, never)
		if ready != 0 || err != nil || time.Since(begin) > bound {
			t.Errorf("timeout %v: ready %b, %v, after %v", timeout, ready, err, time.Since(begin))
		}
	}
}

func TestWaitDoesNotSleepWhenThereIsWork(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	p := newPoller(t, sub)
	if ready := wait(t, p, func() bool { return true }); ready != 0 {
		t.Errorf("ready %b, and nothing was sent", ready)
	}
	// Sockets are looked at even so, or busy nodes would become deaf.
	batch := NewBatch()
	batch.Add([]byte("message"))
	sendAll(t, pub, batch)
	for begin := time.Now(); ; {
		if wait(t, p, func() bool { return true }) == 1 {
			break
		}
		if time.Since(begin) > bound {
			t.Fatal("a poller with work never sees its socket")
		}
	}
}

// Every item left before a Wake is seen without waiting for Wait's timeout, whatever the two sides are doing.
func TestWakeFromManyGoroutines(t *testing.T) {
	const goroutines, each = 4, 5000
	p := newPoller(t, open(t, newContext(t), SUB, Options{}))
	var left atomic.Int64
	var posting sync.WaitGroup
	for range goroutines {
		posting.Go(func() {
			for range each {
				left.Add(1)
				p.Wake()
			}
		})
	}
	var taken int64
	for taken < goroutines*each {
		wait(t, p, func() bool { return left.Load() > 0 })
		taken += left.Swap(0)
	}
	posting.Wait()
	if taken != goroutines*each || left.Load() != 0 {
		t.Errorf("%d items taken, %d left", taken, left.Load())
	}
}

// One item at a time, so that the poller falls asleep before each.
func TestWakeEndsSleep(t *testing.T) {
	p := newPoller(t, open(t, newContext(t), SUB, Options{}))
	ping, pong := make(chan int), make(chan int)
	var item atomic.Int64
	go func() {
		defer close(pong)
		for i := range ping {
			for p.state.Load() != asleep {
				// It is about to be.
			}
			item.Store(int64(i))
			p.Wake()
			pong <- i
		}
	}()
	for i := 1; i <= 200; i++ {
		ping <- i
		for item.Load() != int64(i) {
			wait(t, p, func() bool { return item.Load() == int64(i) })
		}
		if got := <-pong; got != i {
			t.Fatalf("%d posted, want %d", got, i)
		}
	}
	close(ping)
	<-pong
}

func TestWakeOfAnIdlePollerCostsNothing(t *testing.T) {
	p := newPoller(t, open(t, newContext(t), SUB, Options{}))
	for range 10 {
		p.Wake()
	}
	// Nobody slept, so nothing must end the next sleep.
	if ready, err := p.Wait(time.Millisecond, never); ready != 0 || err != nil {
		t.Errorf("ready %b, %v", ready, err)
	}
	if n := testing.AllocsPerRun(100, p.Wake); n != 0 {
		t.Errorf("Wake allocates %v times", n)
	}
}

func TestClosedPoller(t *testing.T) {
	p := newPoller(t, open(t, newContext(t), SUB, Options{}))
	// The moment between a Wake's first look and its write must be safe too.
	p.state.Store(asleep)
	p.Close()
	p.Wake()
	p.Wake()
	p.Close()
	if _, err := p.Wait(0, never); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait: %v, want %v", err, ErrClosed)
	}
}

func TestWakeWhileClosing(t *testing.T) {
	c := newContext(t)
	for range 200 {
		p := newPoller(t, open(t, c, SUB, Options{}))
		p.state.Store(asleep)
		var waking sync.WaitGroup
		for range 4 {
			waking.Go(p.Wake)
		}
		p.Close()
		waking.Wait()
	}
}

func TestPollerHasRoomFor16Sockets(t *testing.T) {
	c := newContext(t)
	var sockets []*Socket
	for range 16 {
		sockets = append(sockets, open(t, c, SUB, Options{}))
	}
	newPoller(t, sockets...)
	p, err := NewPoller(append(sockets, open(t, c, SUB, Options{}))...)
	if err == nil || !strings.Contains(err.Error(), "17 sockets") {
		t.Errorf("poller %v, error %v for 17 sockets", p, err)
	}
}

// What a batch had no room for keeps the socket ready, wherever it waits: in libzmq, or already taken from it.
func TestFullBatchLeavesTheSocketReady(t *testing.T) {
	large := strings.Repeat("x", batchBytes*2/3)
	var many [][][]byte
	for i := range batchMessages + 1 {
		many = append(many, frames(fmt.Sprint(i)))
	}
	for _, test := range []struct {
		name  string
		send  [][][]byte
		first int // how many of them fill the batch
	}{
		{"messages", many, batchMessages},
		{"bytes", [][][]byte{frames("first", large), frames("second", large)}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			pub, sub := pair(t, Options{SendLimit: 10_000}, Options{ReceiveLimit: 10_000})
			p := newPoller(t, sub)
			batch, received := NewBatch(), NewBatch()
			for _, message := range test.send {
				batch.Add(message...)
			}
			// The case in question is that all have arrived before the first Drain, which takes some luck.
			full := 0
			for range 20 {
				sendAll(t, pub, batch)
				var got [][][]byte
				for len(got) < len(test.send) {
					waitReady(t, p)
					must(t, sub.Drain(received))
					if sub.full {
						full++
					}
					got = append(got, takeAll(received)...)
				}
				if diff := cmp.Diff(test.send, got, sameBytes); diff != "" {
					t.Fatalf("messages (-want +got):\n%.2000s", diff)
				}
				// And then it is not ready for ever.
				must(t, sub.Drain(received))
				if ready, err := p.Wait(0, never); ready != 0 || err != nil || received.Len() != 0 {
					t.Fatalf("afterwards: %d messages, ready %b, %v", received.Len(), ready, err)
				}
			}
			if full == 0 {
				t.Error("no batch was ever full")
			}
		})
	}
}

// A socket that is not minded does not end Wait, not even for what is left of a full batch, and what came meanwhile is
// there when it is minded again.
func TestListen(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	p := newPoller(t, pub, sub)
	batch := NewBatch()
	batch.Add([]byte("message"))
	sendAll(t, pub, batch)
	waitReady(t, p)
	sub.full = true
	p.Listen(1, false)
	if ready, err := p.Wait(10*time.Millisecond, never); ready != 0 || err != nil {
		t.Errorf("ready %b, %v although nobody listens", ready, err)
	}
	p.Listen(1, true)
	sub.full = false
	if ready := waitReady(t, p); ready != 1<<1 {
		t.Errorf("ready %b, want the second", ready)
	}
	if diff := cmp.Diff([][][]byte{frames("message")}, await(t, sub, 1)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
