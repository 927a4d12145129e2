package tower

import (
	"fmt"
	"testing"
	"time"
)

// TestCensus counts each node once, until nothing was heard of it for a while.
func TestCensus(t *testing.T) {
	var c census
	begin := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		heard []string
		want  int
	}{
		{0, nil, 0},
		{0, []string{"a", "b", "a"}, 2},
		{9 * time.Second, []string{"b"}, 2},
		{11 * time.Second, []string{"b", "c"}, 3}, // a was heard in the period before
		{22 * time.Second, nil, 2},                // and now in none
		{33 * time.Second, nil, 0},
		{34 * time.Second, []string{"a"}, 1},
		{99 * time.Second, nil, 0},
	} {
		now := begin.Add(step.after)
		for _, address := range step.heard {
			c.note(address, now)
		}
		if got := c.count(now); got != step.want {
			t.Errorf("after %v: %d nodes, want %d", step.after, got, step.want)
		}
	}
	for i := range 2 * maxCensus {
		c.note(fmt.Sprint(i), begin.Add(100*time.Second))
	}
	if got := c.count(begin.Add(100 * time.Second)); got != maxCensus || len(c.current) != maxCensus {
		t.Errorf("%d nodes of made-up beacons, %d remembered, want %d", got, len(c.current), maxCensus)
	}
}
