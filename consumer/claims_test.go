package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
)

// What one peer makes up takes that peer's share: what another announces is asked for at once, and the end is not certain.
// DAFKA_TORTURE makes it 300,000 claims.
func TestOnePeersClaims(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, EndTimeout: waitAtMost, Node: at(tw)})
	liar := visit(t, tw, c, "LIAR", nil)
	claims := maxClaims + 1000
	if os.Getenv("DAFKA_TORTURE") != "" {
		claims = 300_000
	}
	for i := range claims {
		m := of(zmqwire.Head, c, 1<<63, "")
		m.Address = fmt.Append(nil, "NONE", i)
		liar.Say(m)
	}
	eventually(t, "more claims than there is room for", func() bool { return c.Stats().Faults[ErrClaims] > 0 })

	p := visit(t, tw, c, "P", func(p *peer, m *zmqwire.Message) {
		if string(m.Routing) == "P" {
			answerer(p, m)
		}
	})
	p.Forget()
	p.Say(of(zmqwire.Head, c, 2, ""))
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	before := 0
	for _, f := range p.Heard(zmqwire.Fetch) {
		if string(f.Routing) == "P" {
			break
		}
		before++
	}
	// One turn of all who fetch at the same time, or two, and not a hundred times that.
	if before > 200 {
		t.Errorf("%d FETCHes went before that of the other peer's partition", before)
	}
}

// A store may have more partitions than are looked into at once. None of them is left out, and the end comes behind them.
func TestMorePartitionsThanClaims(t *testing.T) {
	t.Parallel()
	const partitions = maxClaims + 2000
	ctx, cancel := context.WithTimeout(t.Context(), 2*waitAtMost)
	defer cancel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, Node: at(tw)})
	store := join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.ConsumerHello || m.Kind == zmqwire.GetHeads {
			for i := range partitions {
				head := of(zmqwire.DirectHead, c, 0, "")
				head.Address = fmt.Append(nil, "P", i)
				p.Say(head)
			}
		}
		answerer(p, m)
	}, "F", "G", "WSTORE")
	store.answers(t, c)
	got := make(map[string]bool)
	for {
		r, err := c.Next(ctx)
		if err != nil {
			if err != io.EOF {
				t.Errorf("Next: %v, want EOF", err)
			}
			break
		}
		if string(r.Content) != content(0) || got[r.Partition] {
			t.Fatalf("%s, again: %v", line(r), got[r.Partition])
		}
		got[r.Partition] = true
	}
	if len(got) != partitions || c.Stats().Faults[ErrClaims] == 0 {
		t.Errorf("%d partitions, want %d, and %d that had no room at first", len(got), partitions, c.Stats().Faults[ErrClaims])
	}
}

// Heads and sequences may be anything: sums of them stay what they are, or the largest number.
func TestHugeNumbers(t *testing.T) {
	c := still(t, Config{Reset: Earliest, SkipAfter: 1, MaxBufferedBytes: 1 << 20})
	c.log = slog.New(slog.DiscardHandler)
	for _, address := range []string{"P", "Q"} {
		p := &partition{Order: flow.NewOrder("hello", address, 0), stored: c.storedAtFirst()}
		p.Saw(math.MaxUint64 - 1)
		c.giveUp(p)
		p.Saw(math.MaxUint64 - 1)
		c.early += int64(p.Keep(math.MaxUint64-1, []byte("last")))
		c.skip(p)
		if p.Next() != math.MaxUint64 || p.Missing() != 0 {
			t.Errorf("next is %d, %d are missing", p.Next(), p.Missing())
		}
		c.record(source{p, true}, math.MaxUint64, []byte("behind the last"))
		if p.Next() != math.MaxUint64 {
			t.Errorf("next is %d behind the last record there can be", p.Next())
		}
	}
	if err := c.end(); !errors.Is(err, ErrLost) || c.lost != math.MaxUint64 || c.Stats().Skipped != math.MaxUint64 {
		t.Errorf("%v, %d lost, %d skipped", err, c.lost, c.Stats().Skipped)
	}
}
