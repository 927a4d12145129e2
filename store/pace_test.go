package store

import (
	"testing"
	"time"
)

// While records are published, copies take no more than their share of the time; before and after, all there is.
func TestPace(t *testing.T) {
	const size, round = 100, time.Millisecond
	var p pace
	now := time.Now()
	// copies takes what may be copied in one round, as a peer gives it that is never short of it.
	copies := func() (records int) {
		now = now.Add(round)
		for budget := p.allow(now); budget > 0; budget -= size {
			p.took(false, size)
			records++
		}
		return records
	}
	for range 10 {
		if got := copies(); got != (fetchBytes+size-1)/size {
			t.Fatalf("nothing is published: %d records copied, want %d bytes", got, fetchBytes)
		}
	}
	for _, live := range []int{1, 10, 100, 1000} { // a round
		copied := 0
		for range 10_000 {
			for range live {
				p.took(true, size)
			}
			copied += copies() * (size + recordCost)
		}
		most := 10*paceFloor + 10_000*live*(size+recordCost)/paceShare
		// A round asks for a whole burst of contents, each with its cost.
		if slack := (size + recordCost) / size * paceBurst; copied > most+slack+paceBurst || copied < most*9/10-slack {
			t.Errorf("%d records published a millisecond: copies of %d MB in 10 s, want about %d", live, copied>>20, most>>20)
		}
	}
	now = now.Add(paceMemory)
	if got := copies(); got < fetchBytes/size {
		t.Errorf("nothing is published any more: %d records copied", got)
	}
}
