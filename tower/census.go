package tower

import (
	"sync"
	"time"
)

const (
	// censusPeriod is longer than any sensible interval between two beacons of a node.
	censusPeriod = 10 * time.Second
	// maxCensus bounds the addresses remembered of one period: anyone can make them up.
	maxCensus = 16384
)

// census is the addresses that nodes gave lately: those of the period that runs, and those of the one before. It may be
// used by several goroutines.
type census struct {
	mu      sync.Mutex
	begun   time.Time // the period
	current map[string]struct{}
	before  map[string]struct{}
}

// note notes a node's beacon.
func (c *census) note(address string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	if len(c.current) < maxCensus {
		c.current[address] = struct{}{}
	}
}

// count is how many nodes sent a beacon in both periods.
func (c *census) count(now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	count := len(c.current)
	for address := range c.before {
		if _, again := c.current[address]; !again {
			count++
		}
	}
	return min(count, maxCensus)
}

// turn begins a new period when it is time.
func (c *census) turn(now time.Time) {
	age := now.Sub(c.begun)
	if c.current != nil && age < censusPeriod {
		return
	}
	c.before = c.current
	if age >= 2*censusPeriod {
		c.before = nil // nobody asked or came meanwhile
	}
	c.current, c.begun = make(map[string]struct{}), now
}
