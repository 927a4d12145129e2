package zmqwire

import (
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Fault is a reason to drop something that came from the network. Its text is its name in statistics.
type Fault string

func (f Fault) Error() string { return string(f) }

// faultLogInterval is how long one reason stays silent in the log after it was logged: a flood costs a line.
const faultLogInterval = 10 * time.Second

// Faults counts what a node dropped, by reason. It may be used by several goroutines.
type Faults struct {
	log    *slog.Logger
	mu     sync.Mutex
	counts map[Fault]uint64
	logged map[Fault]time.Time
}

// NewFaults returns an empty count that reports to log.
func NewFaults(log *slog.Logger) *Faults {
	return &Faults{log: log, counts: make(map[Fault]uint64), logged: make(map[Fault]time.Time)}
}

// Note counts one message dropped because of err, which wraps a Fault, and logs it unless it logged the same reason
// a moment ago.
func (f *Faults) Note(err error) {
	reason := Fault("other")
	errors.As(err, &reason)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[reason]++
	now := time.Now()
	if last, ok := f.logged[reason]; !ok || now.Sub(last) >= faultLogInterval {
		f.logged[reason] = now
		f.log.Warn("dropped a message", "reason", err.Error(), "dropped", f.counts[reason])
	}
}

// Counts is a copy of the counts.
func (f *Faults) Counts() map[Fault]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}
