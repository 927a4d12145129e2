package consumer

import (
	"context"
	"sync"
	"sync/atomic"
)

// handover is where the node leaves records for the user. They change hands many at a time: the node fills one slice
// while the user reads another.
//
// held counts the bytes of all records that the node left and the user has not finished with, which is what
// MaxBufferedBytes bounds.
type handover struct {
	held atomic.Int64
	// starved says that the node has refused records for lack of room and wants to be woken when there is some.
	starved atomic.Bool
	ready   chan struct{} // holds a token when filled or end may have changed

	mu     sync.Mutex
	filled []delivery
	spare  []delivery
	end    error // what Next returns after the last record

	// Of the user.
	taken []delivery
	at    int
	size  int64 // of taken
}

type delivery struct {
	partition *partition
	sequence  uint64
	content   []byte
	skipped   uint64 // records given up right before it
}

// deliveryBytes is what a record occupies besides its content.
const deliveryBytes = 64

func (d *delivery) size() int64 { return int64(len(d.content)) + deliveryBytes }

// leave hands records over and returns a slice to fill next.
func (h *handover) leave(fresh []delivery) []delivery {
	if len(fresh) == 0 {
		return fresh
	}
	h.mu.Lock()
	if len(h.filled) == 0 {
		fresh, h.filled = h.filled, fresh
		if cap(fresh) == 0 {
			fresh, h.spare = h.spare, nil
		}
	} else {
		h.filled = append(h.filled, fresh...)
		clear(fresh)
	}
	h.mu.Unlock()
	h.tell()
	return fresh[:0]
}

// finish makes Next return err after the records left so far; the first call decides.
func (h *handover) finish(err error) {
	h.mu.Lock()
	if h.end == nil {
		h.end = err
	}
	h.mu.Unlock()
	h.tell()
}

func (h *handover) tell() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

// next gives the user a record. It waits until there is one, ctx ends, or all are taken and finish was called. wake is
// called when the node waits for the room that the user has made.
func (h *handover) next(ctx context.Context, wake func()) (delivery, error) {
	for h.at == len(h.taken) {
		if err := h.take(wake); err != nil {
			return delivery{}, err
		}
		if len(h.taken) > 0 {
			break
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			return delivery{}, ctx.Err()
		}
	}
	d := h.taken[h.at]
	h.at++
	return d, nil
}

// take gives the records read back and takes those that were left meanwhile, if any.
func (h *handover) take(wake func()) error {
	h.held.Add(-h.size)
	clear(h.taken)
	h.mu.Lock()
	if len(h.filled) == 0 {
		h.taken = h.taken[:0]
	} else {
		h.taken, h.filled, h.spare = h.filled, h.spare[:0], h.taken[:0]
	}
	end := h.end
	h.mu.Unlock()
	h.at, h.size = 0, 0
	for i := range h.taken {
		h.size += h.taken[i].size()
	}
	if h.starved.Load() && h.starved.CompareAndSwap(true, false) {
		wake()
	}
	if len(h.taken) == 0 && end != nil {
		h.tell() // for the next call
		return end
	}
	return nil
}

// waiting says that next would return a record without waiting.
func (h *handover) waiting() bool {
	if h.at < len(h.taken) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.filled) > 0
}
