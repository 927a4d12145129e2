package main

import (
	"context"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	took := func(p *pace, records int) time.Duration {
		begin := time.Now()
		for range records {
			p.wait(t.Context())
		}
		return time.Since(begin)
	}
	if took := took(&pace{}, 1000); took > time.Second {
		t.Errorf("without a rate: held up for %v", took)
	}
	// After a pause as without one: the first record is due at once, the others at the rate.
	for _, pause := range []time.Duration{0, time.Hour} {
		p := pace{rate: 100}
		if pause > 0 {
			p.next = time.Now().Add(-pause)
		}
		if took := took(&p, 11); took < 98*time.Millisecond {
			t.Errorf("after a pause of %v: 11 records at 100 a second in %v, want 100 ms", pause, took)
		}
	}
	// Rates beyond what timers can do hold too.
	if took := took(&pace{rate: 100_000}, 10_000); took < 70*time.Millisecond {
		t.Errorf("10000 records at 100000 a second in %v, want 100 ms", took)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	p := pace{rate: 1e-300}
	p.wait(ended)
	p.wait(ended) // or the test never ends
}
