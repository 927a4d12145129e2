package partdb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A failure that repeats itself does not fill the log.
func TestAtMostEvery(t *testing.T) {
	var logged []int
	log := atMostEvery(time.Hour, func(n int) { logged = append(logged, n) })
	for n := range 1000 {
		log(n)
	}
	if diff := cmp.Diff([]int{0}, logged); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
	logged = nil
	log = atMostEvery(0, func(n int) { logged = append(logged, n) })
	log(1)
	log(2)
	if diff := cmp.Diff([]int{1, 2}, logged); diff != "" {
		t.Errorf("logged without a limit (-want +got):\n%s", diff)
	}
}
