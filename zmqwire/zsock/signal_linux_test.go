package zsock

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/google/go-cmp/cmp"
)

// pester sends signals to the calling thread until stop is called, and counts them. Go's runtime does so too, when it
// wants to preempt a goroutine or profiles; SIGURG is what it uses, and ignores.
func pester(t *testing.T) (signals *atomic.Int64, stop func()) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	process, thread := syscall.Getpid(), syscall.Gettid()
	signals = new(atomic.Int64)
	ended := make(chan struct{})
	var pestering sync.WaitGroup
	pestering.Go(func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				syscall.Syscall(syscall.SYS_TGKILL, uintptr(process), uintptr(thread), uintptr(syscall.SIGURG))
				signals.Add(1)
			}
		}
	})
	return signals, func() {
		close(ended)
		pestering.Wait()
	}
}

func TestSignalsEndNoCall(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	p := newPoller(t, sub)
	var want, got [][][]byte
	batch, received := NewBatch(), NewBatch()
	_, stop := pester(t)
	defer stop()
	for i := range 300 {
		message := frames(fmt.Sprint(i), strings.Repeat("x", i*100))
		want = append(want, message)
		batch.Reset()
		batch.Add(message...)
		sendAll(t, pub, batch)
		for len(got) < len(want) {
			// libzmq up to 4.3.4 can miss a message after a signal, which is why nodes bound their waits.
			_, err := p.Wait(100*time.Millisecond, never)
			must(t, err)
			must(t, sub.Drain(received))
			got = append(got, takeAll(received)...)
		}
	}
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
}

// A peer that is not connected because a signal came is never connected: nobody tries again.
func TestSignalsEndNoConnect(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	_, stop := pester(t)
	defer stop()
	const endpoint = "tcp://127.0.0.1:1"
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		must(t, sub.Connect(endpoint))
		must(t, sub.Disconnect(endpoint))
		must(t, pub.Connect(endpoint))
		must(t, pub.Disconnect(endpoint))
	}
}

// A send that waits for a full queue is interrupted again and again, and neither fails nor loses its record.
func TestSignalsEndNoWaitingSend(t *testing.T) {
	pub, sub := pair(t, Options{SendLimit: 10, Patience: bound}, Options{ReceiveLimit: 10})
	run := &zmqwire.Run{}
	for i := range 300 {
		run.Append([]byte(fmt.Sprint(i, " ", strings.Repeat("x", 200_000))))
	}
	want := contentsOf(run)
	signals, stop := pester(t)
	read := make(chan []string)
	go func() {
		defer close(read)
		// All buffers together do not hold the run: without a reader, the sender comes to wait.
		for signals.Load() < 1000 {
			runtime.Gosched()
		}
		var got []string
		for received, begin := NewBatch(), time.Now(); len(got) < len(want) && time.Since(begin) < bound; {
			if err := sub.Drain(received); err != nil {
				t.Error(err)
				return
			}
			for frames := received.Next(); frames != nil; frames = received.Next() {
				got = append(got, string(frames[1]))
			}
		}
		read <- got
	}()
	n, err := pub.SendRun([]byte("header"), run, 0, run.Len(), nil, true)
	stop()
	if n != run.Len() || err != nil {
		t.Errorf("%d of %d records sent: %v", n, run.Len(), err)
	}
	if diff := cmp.Diff(want, <-read); diff != "" {
		t.Errorf("records (-sent +received):\n%.2000s", diff)
	}
}
