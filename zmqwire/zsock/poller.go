package zsock

// #include <stdlib.h>
// #include "socket.h"
//
// #cgo nocallback dafka_poll
// #cgo nocallback dafka_wake
import "C"

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"
)

// Poller lets one goroutine wait for several sockets, and every other goroutine wake it. The sockets must outlive it
// or be closed without another Wait.
type Poller struct {
	c       *C.dafka_poller
	sockets []*Socket
	state   atomic.Int32

	// gone guards the descriptor that Wake writes to against Close.
	gone sync.RWMutex
}

// The states of a poller: a wake-up costs a system call only when somebody sleeps.
const (
	awake int32 = iota
	asleep
	woken
)

// NewPoller returns a poller for these sockets, 16 at most.
func NewPoller(sockets ...*Socket) (*Poller, error) {
	c, err := C.dafka_poller_new()
	if c == nil {
		return nil, fmt.Errorf("new poller: %w", err)
	}
	p := &Poller{c: c, sockets: sockets}
	for _, s := range sockets {
		if s.c == nil {
			p.Close()
			return nil, ErrClosed
		}
		if rc := C.dafka_poller_add(c, s.c); rc < 0 {
			p.Close()
			return nil, fmt.Errorf("poll %d sockets: %w", len(sockets), zmq4.Errno(-rc))
		}
	}
	return p, nil
}

// Wait returns when a socket has something to receive, after Wake, or when the time is over, sometimes earlier. The
// result has a bit for each socket that is ready, in the order of NewPoller.
//
// It does not sleep when work says that there is some. work is asked after Wake has begun to count, so what another
// goroutine leaves before it calls Wake is either seen by work or ends the sleep.
func (p *Poller) Wait(timeout time.Duration, work func() bool) (ready int, err error) {
	if p.c == nil {
		return 0, ErrClosed
	}
	for i, s := range p.sockets {
		// libzmq says nothing of a message it has already handed over.
		if s.full && p.c.item[i+1].events != 0 {
			ready |= 1 << i
		}
	}
	p.state.Store(asleep)
	// Rounded up: a wait that ends a moment before its deadline would be a busy loop until then.
	ms := C.long((timeout + time.Millisecond - 1) / time.Millisecond)
	if timeout <= 0 || ready != 0 || work() {
		ms = 0
	}
	rc := C.dafka_poll(p.c, ms)
	p.state.Store(awake)
	if rc < 0 {
		return 0, fmt.Errorf("poll: %w", zmq4.Errno(-rc))
	}
	return ready | int(rc), nil
}

// Listen says whether Wait minds socket i. One that is not minded fills up, until TCP slows its peers down.
func (p *Poller) Listen(i int, mind bool) {
	p.c.item[i+1].events = 0
	if mind {
		p.c.item[i+1].events = C.ZMQ_POLLIN
	}
}

// Wake ends the Wait that another goroutine is in. It may be called at any time from anywhere, costs a system call only
// when that goroutine sleeps, and does nothing after Close.
func (p *Poller) Wake() {
	if p.state.Load() != asleep || !p.state.CompareAndSwap(asleep, woken) {
		return
	}
	p.gone.RLock()
	defer p.gone.RUnlock()
	if p.c != nil {
		C.dafka_wake(p.c.wake_write)
	}
}

// Close frees the poller. The sockets are not touched.
func (p *Poller) Close() {
	p.gone.Lock()
	defer p.gone.Unlock()
	if p.c != nil {
		C.dafka_poller_free(p.c)
		p.c = nil
	}
}
