package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// contact is how many towers are connected, and wakes those who wait for the first. All methods may be called from any
// goroutine.
type contact struct {
	mu     sync.Mutex
	towers int
	first  chan struct{} // closed while a tower is connected
}

func newContact() contact { return contact{first: make(chan struct{})} }

// gain counts one more tower and reports whether it is the only one.
func (c *contact) gain() (only bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.towers++; c.towers == 1 {
		close(c.first)
	}
	return c.towers == 1
}

// lose counts one tower less.
func (c *contact) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.towers--; c.towers == 0 {
		c.first = make(chan struct{})
	}
}

func (c *contact) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.towers
}

func (c *contact) made() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// WaitConnected returns nil when a tower is connected, at once when one is already. If ctx ends first, the error wraps
// ctx's and names the towers. If the owner closes ended first, it returns gone. It may be called from any goroutine.
func (n *Node) WaitConnected(ctx context.Context, ended <-chan struct{}, gone error) error {
	if n.Connected() > 0 {
		return nil
	}
	select {
	case <-n.contact.made():
		return nil
	case <-ended:
		return gone
	case <-ctx.Done():
		return fmt.Errorf("no tower connected at %s: %w; start one there, or set NodeConfig.Pub and Sub",
			strings.Join(n.config.Pub, ", "), ctx.Err())
	}
}
