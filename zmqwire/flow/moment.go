package flow

import (
	"sync/atomic"
	"time"
)

// Moment is a point in time that one goroutine sets and others read, the zero time at first. It is kept as the distance
// from the beginning of the process, by the clock that does not jump.
type Moment struct {
	after atomic.Int64 // processBegan, by so many nanoseconds; 0: not set
}

var processBegan = time.Now()

// Set sets it.
func (m *Moment) Set(t time.Time) { m.after.Store(max(1, int64(t.Sub(processBegan)))) }

// Get reads it.
func (m *Moment) Get() time.Time {
	after := m.after.Load()
	if after == 0 {
		return time.Time{}
	}
	return processBegan.Add(time.Duration(after))
}
