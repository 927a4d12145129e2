package flow

import (
	"testing"
	"time"
)

func TestStandstill(t *testing.T) {
	const pause = standstillLull - 1
	var s Standstill
	now := time.Now()
	for i, step := range []struct {
		after      time.Duration
		taken      bool
		regardless bool
	}{
		{0, true, false}, {time.Hour, false, false}, {time.Hour, false, false}, // it is not always offered
		{pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false},
		{pause, true, false}, // just in time
		{pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false},
		{5, false, true}, {pause, true, true}, {1, true, false},
		{pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false}, {pause, false, false},
		{5, false, true}, {pause, false, true}, {1, false, false},
	} {
		now = now.Add(step.after)
		s.Offered(step.taken, now)
		if got := s.Regardless(now); got != step.regardless {
			t.Errorf("step %d: full queues are not waited for: %v", i, got)
		}
	}
}
