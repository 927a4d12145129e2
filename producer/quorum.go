package producer

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// StoreAcks is how many records a store has acked.
type StoreAcks struct {
	Endpoint string // host:port of the store's writer
	Acked    uint64
}

// quorum knows how many records each store has acked, and so how many enough of them have. A store is the endpoint that
// its ACKs come from, because an ACK does not name its sender; one that comes back at another endpoint counts as another.
type quorum struct {
	stores int // how many are enough
	mu     sync.Mutex
	acked  map[netip.AddrPort]uint64
	sorted []uint64
}

// maxStores bounds the endpoints that are told apart. With more, those that acked least are forgotten.
const maxStores = 256

// ack notes that a store has so many records, and returns how many are acked by enough stores.
func (q *quorum) ack(store netip.AddrPort, records uint64) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.acked == nil {
		q.acked = make(map[netip.AddrPort]uint64)
	}
	q.acked[store] = max(q.acked[store], records)
	q.sorted = q.sorted[:0]
	for _, records := range q.acked {
		q.sorted = append(q.sorted, records)
	}
	slices.Sort(q.sorted)
	if len(q.acked) > maxStores {
		for store, records := range q.acked {
			if records == q.sorted[0] {
				delete(q.acked, store)
				break
			}
		}
	}
	if len(q.sorted) < q.stores {
		return 0
	}
	return q.sorted[len(q.sorted)-q.stores]
}

// list returns what each store has acked, sorted by endpoint; nothing where one store is enough.
func (q *quorum) list() []StoreAcks {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []StoreAcks
	for store, records := range q.acked {
		list = append(list, StoreAcks{store.String(), records})
	}
	slices.SortFunc(list, func(a, b StoreAcks) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return list
}
