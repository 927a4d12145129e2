package consumer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// lacking is a store that tells of a head and lacks some of the records: it answers up to the first that it lacks.
func lacking(t *testing.T, c *Consumer, head uint64, lacks func(sequence uint64) bool) func(*peer, *zmqwire.Message) {
	return func(p *peer, m *zmqwire.Message) {
		switch m.Kind {
		case zmqwire.ConsumerHello, zmqwire.GetHeads:
			p.Say(of(zmqwire.DirectHead, c, head, ""))
		case zmqwire.Fetch:
			for sequence := m.Sequence; sequence < m.Sequence+uint64(m.Count) && sequence <= head && !lacks(sequence); sequence++ {
				p.Say(of(zmqwire.DirectRecord, c, sequence, content(sequence)))
			}
		}
	}
}

// A consumer that is to skip what nobody has gives everything else, and says what is missing.
func TestHolesAreSkipped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitAtMost)
	defer cancel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, SkipAfter: time.Second, UntilEnd: true, Node: at(tw)})
	lost := map[uint64]bool{0: true, 9: true, 10: true, 11: true, 20: true}
	store := join(t, tw, "STORE", lacking(t, c, 20, func(sequence uint64) bool { return lost[sequence] }), "", "WSTORE")
	store.greets(t, c, 1)

	type given struct {
		Sequence, Skipped uint64
		Content           string
	}
	var want, got []given
	skipped := uint64(0)
	for sequence := range uint64(20) {
		if lost[sequence] {
			skipped++
			continue
		}
		want = append(want, given{sequence, skipped, content(sequence)})
		skipped = 0
	}
	var end error
	for {
		r, err := c.Next(ctx)
		if err != nil {
			end = err
			break
		}
		if got = append(got, given{r.Sequence, r.Skipped, string(r.Content)}); len(got) == len(want) {
			store.greets(t, c, 2)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if !errors.Is(end, ErrLost) || !strings.Contains(end.Error(), "the last 1") {
		t.Errorf("the end is %v, want %v with a count of 1", end, ErrLost)
	}
	if n := c.Stats().Skipped; n != 4 {
		t.Errorf("Stats: %d skipped, want 4", n)
	}
}

// A consumer that is not told to skip waits for what is missing, and tells the log. When somebody brings it, it goes on.
func TestHolesAreWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitAtMost)
	defer cancel()
	var log lockedBuffer
	tw := openTower(t)
	node := at(tw)
	node.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, EndTimeout: waitAtMost, Node: node})
	damaged := visit(t, tw, c, "DAMAGED", lacking(t, c, 5, func(sequence uint64) bool { return sequence == 2 }))
	damaged.greets(t, c, 1)
	if diff := cmp.Diff(lines(0, 2), read(t, c, 2)); diff != "" {
		t.Errorf("records before the hole (-want +got):\n%s", diff)
	}
	eventually(t, "a line in the log", func() bool {
		return strings.Contains(log.String(), "records are known that nobody gives") && strings.Contains(log.String(), "first=2")
	})
	visit(t, tw, c, "WHOLE", answerer)
	if diff := cmp.Diff(lines(2, 6), read(t, c, 4)); diff != "" {
		t.Errorf("records behind the hole (-want +got):\n%s", diff)
	}
	damaged.greets(t, c, 2)
	if _, err := c.Next(ctx); err != io.EOF {
		t.Errorf("Next: %v, want EOF", err)
	}
	if n := c.Stats().Skipped; n != 0 {
		t.Errorf("Stats: %d skipped", n)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What comes after the search has gone on without it ends the search.
func TestHoleAnsweredLate(t *testing.T) {
	c := still(t, Config{SkipAfter: time.Second})
	c.log = slog.New(slog.DiscardHandler)
	p := &partition{Order: flow.NewOrder("hello", "P", 0), stored: c.storedAtFirst()}
	p.Saw(999)
	now := time.Now()
	h := &hole{at: 0, since: now}
	c.holes = map[*partition]*hole{p: h}
	for range 3 {
		c.search(p, h, now)
		now = now.Add(probePatience)
	}
	if h.lost == 0 || h.probe <= h.lost {
		t.Fatalf("the search is at %+v, want it to have gone on", *h)
	}
	c.early += int64(p.Keep(1, []byte(content(1))))
	for range 3 {
		if c.holes[p] != nil {
			c.search(p, h, now)
		}
		now = now.Add(probePatience)
	}
	if p.Next() != 2 || p.skipped != 0 || c.Stats().Skipped != 1 {
		t.Errorf("next %d, %d skipped, want 2 and 1: %+v", p.Next(), c.Stats().Skipped, *h)
	}
}
