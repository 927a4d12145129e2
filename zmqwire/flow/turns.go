package flow

import (
	"iter"
	"net/netip"
)

// Turns is a queue for each peer, and turns among the peers: one that queues much waits for itself only. The peer whose
// connection is not known has the zero endpoint. The zero value is empty.
type Turns[T any] struct {
	queues map[netip.AddrPort]*queue[T]
	ring   []*queue[T] // those with items, in the order of their turns
	length int
}

type queue[T any] struct {
	from  netip.AddrPort
	items []T
}

// Push queues an item behind those of the same peer.
func (t *Turns[T]) Push(from netip.AddrPort, item T) {
	if t.queues == nil {
		t.queues = make(map[netip.AddrPort]*queue[T])
	}
	q := t.queues[from]
	if q == nil {
		q = &queue[T]{from: from}
		t.queues[from] = q
		t.ring = append(t.ring, q)
	}
	q.items = append(q.items, item)
	t.length++
}

// Pop takes the first item of the peer whose turn it is.
func (t *Turns[T]) Pop() (item T, ok bool) {
	if t.length == 0 {
		return item, false
	}
	q := t.ring[0]
	t.ring[0] = nil
	t.ring = t.ring[1:]
	var none T
	item, q.items[0] = q.items[0], none
	q.items = q.items[1:]
	t.length--
	if len(q.items) > 0 {
		t.ring = append(t.ring, q)
	} else {
		delete(t.queues, q.from)
	}
	return item, true
}

// Len is the number of items.
func (t *Turns[T]) Len() int { return t.length }

// All yields the items.
func (t *Turns[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, q := range t.ring {
			for _, item := range q.items {
				if !yield(item) {
					return
				}
			}
		}
	}
}
