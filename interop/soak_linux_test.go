package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
)

// soakTime is DAFKA_SOAK, ten minutes in the long run, ten seconds in the ordinary one.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("DAFKA_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("DAFKA_SOAK: %v", err)
		}
		return d
	}
	if torture() > 0 {
		return 10 * time.Minute
	}
	return 10 * time.Second
}

// churn is nodes that join a cluster, do something, and leave: in the test's own process, whose goroutines and
// descriptors can be counted, and as processes, some of which are killed.
type churn struct {
	c     *cluster
	topic string

	mu    sync.Mutex
	wrong error
	nodes int
}

func (h *churn) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes++
	h.wrong = errors.Join(h.wrong, err)
}

// within is a producer and a consumer in this process.
func (h *churn) within(ctx context.Context, i int) error {
	p, err := producer.Open(producer.Config{Topic: h.topic, Node: h.c.node()})
	if err != nil {
		return err
	}
	// Large ones: what the stores keep in memory for a while is then full soon, and grows no more.
	padding := strings.Repeat("x", 20_000)
	for j := range 50 {
		if _, err := p.Send(ctx, fmt.Append(nil, "churn ", i, j, padding)); err != nil {
			return errors.Join(err, p.Close(ctx))
		}
	}
	if err := p.Close(ctx); err != nil {
		return fmt.Errorf("producer %d: %w", i, err)
	}
	c, err := consumer.Open(consumer.Config{Topics: []string{"before"}, Reset: consumer.Earliest, Node: h.c.node()})
	if err != nil {
		return err
	}
	for j := range 1000 {
		r, err := c.Next(ctx)
		if err != nil {
			return errors.Join(fmt.Errorf("consumer %d, record %d: %w", i, j, err), c.Close())
		}
		if want := feedLine("before", j); string(r.Content) != want || r.Sequence != uint64(j) {
			return errors.Join(fmt.Errorf("consumer %d gives %q as record %d, want %q", i, r.Content, j, want), c.Close())
		}
	}
	return c.Close()
}

// processes are a producer and a consumer as processes.
func (h *churn) processes(i int) {
	p := h.c.produce(h.topic, lines(fmt.Sprint("process", i), 50))
	c := h.c.start(nil, "consume", "before", "--from-beginning")
	c.waitForLines(1000)
	if i%4 == 1 {
		c.kill()
	} else {
		c.end(syscall.SIGTERM, 0)
	}
	p.mustEnd(0)
}

// TestSoak has nodes join and leave every second while others are under load: what those others take of the machine does
// not grow, nor what this process takes.
func TestSoak(t *testing.T) {
	long := soakTime(t)
	tower, c := startTower(t)
	stores := []*process{c.store(t.TempDir()), c.store(t.TempDir())}
	l := &load{
		T: t, acked: func(string) uint64 { return 0 },
		produce: func(stdin *os.File) *process { return c.startOnTerminal(stdin, "produce", "hello") },
	}
	before := make([]string, 1000)
	for i := range before {
		before[i] = feedLine("before", i)
	}
	c.produce("before", before).mustEnd(0)
	live := c.consume("hello", "--from-beginning").connected()
	steady := l.feed("steady", 10, 10*time.Millisecond)
	live.waitForLines(1000)
	watched := map[string]*process{
		"tower": tower, "store": stores[0], "other store": stores[1], "consumer": live, "producer": steady.producer,
	}
	goroutines, own := runtime.NumGoroutine(), usageOf(t, os.Getpid())

	h := &churn{c: c, topic: "churn"}
	samples := make(map[string][]usage)
	ctx, cancel := context.WithTimeout(t.Context(), long+2*waitAtMost)
	defer cancel()
	var nodes sync.WaitGroup
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seconds := max(8, int(long/time.Second))
	for i := range seconds {
		nodes.Go(func() { h.note(h.within(ctx, i)) })
		if i%2 == 1 {
			// Of the test's own goroutine: it may end the test.
			h.processes(i)
		}
		<-tick.C
		for name, p := range watched {
			samples[name] = append(samples[name], usageOf(t, p.cmd.Process.Pid))
		}
		if i%60 == 59 {
			for name := range watched {
				t.Logf("%d s: %s: %v", i+1, name, samples[name][i])
			}
		}
	}
	nodes.Wait()
	if h.wrong != nil {
		t.Error(h.wrong)
	}

	// From the time when the first ones have left and been forgotten, it is the same at all times.
	for name, samples := range samples {
		first, last := most(samples[seconds/4:seconds/2]), most(samples[seconds*3/4:])
		t.Logf("%s: at most %v at first, %v at last", name, first, last)
		if last.threads > first.threads+4 || last.descriptors > first.descriptors+24 || last.sockets > first.sockets+24 ||
			last.resident > first.resident*5/4+64<<20 && buildFlags == nil {
			t.Errorf("%s has grown: %v, then %v", name, first, last)
		}
	}
	eventually(t, fmt.Sprintf("%d goroutines and %v as before", goroutines, own), func() bool {
		now := usageOf(t, os.Getpid())
		return runtime.NumGoroutine() <= goroutines+4 && now.descriptors <= own.descriptors+4 && now.threads <= own.threads+16
	})

	steady.finish()
	live.waitForLines(int(steady.given.Load()))
	live.end(syscall.SIGTERM, 0)
	l.check("the consumer", live, true)
	t.Logf("%v: %d nodes joined and left, %d records checked", long, 2*h.nodes+seconds/2*2, l.records)
}

// most is the most of each that any of them has.
func most(of []usage) usage {
	most := of[0]
	for _, u := range of {
		most.resident, most.threads = max(most.resident, u.resident), max(most.threads, u.threads)
		most.descriptors, most.sockets = max(most.descriptors, u.descriptors), max(most.sockets, u.sockets)
	}
	return most
}
