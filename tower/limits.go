package tower

import (
	"errors"
	"fmt"
	"math"

	"github.com/godafka/dafka/zmqwire/zsock"
)

// Limits bound what other nodes can make a node hold. A field that is zero is the default. What goes beyond a limit is
// left out, counted in the node's statistics as the fault named here, and told of in its log.
type Limits struct {
	// Peers is how many other nodes the node knows and listens to; default 1,024 (ErrPeers).
	Peers int
	// Frame is the size in bytes of the largest record that the node takes from a peer or, as a producer, sends: 1 KiB to
	// 1 GiB, the default. Producer.Send refuses a larger one. A peer that sends one all the same is disconnected, and
	// nothing tells of it, so all nodes of a cluster should have the same. It holds for CONSUMER-HELLOs too: of 1,024 topics
	// with names of 32 bytes, one has 37 KB.
	Frame int64
	// Topics is how many topics a store takes from one CONSUMER-HELLO, and a consumer puts into one; default 1,024
	// (store.ErrTopics). Of the topics beyond it, the store does not tell which partitions there are. A consumer in Go that
	// has more topics says several hellos, but one in C says one with all of them.
	//
	// A store has four times as many requests for heads of one peer under way (store.ErrHeadRequests), and of all peers
	// twice that.
	Topics int
	// Requests is how many FETCHes of one peer a store or a producer answers at a time, one for each requester and partition;
	// default 16,384 (zmqwire.ErrTooMany). Of all peers it answers twice as many.
	Requests int
	// PeerBytes bounds the contents that a store or a producer has on their way to one requester, default 16 MiB, and Bytes
	// those to all of them, default 256 MiB. What has no room waits for its turn: nothing is left out.
	PeerBytes, Bytes int64
	// Subscriptions is how many bytes the prefixes may have that one peer subscribes to, each counted as 32 more; default
	// 1 MiB, and all peers may have 32 times as many. One that has more is disconnected (ErrSubscriptions). What is counted
	// takes some 10 times as much memory; if it is made for that, 80 times. A consumer has two subscriptions for each topic.
	Subscriptions int
}

// defaultSubscriptions is the limit of a tower, too, where nodes have two or three.
const defaultSubscriptions = 1 << 20

// WithDefaults returns the limits with what is zero filled in. Its error names every limit that is out of range.
func (l Limits) WithDefaults() (Limits, error) {
	err := errors.Join(
		limit("peers", &l.Peers, 1024, 1, math.MaxInt32),
		limit("frame", &l.Frame, zsock.DefaultMaxFrame, 1<<10, zsock.DefaultMaxFrame),
		limit("topics", &l.Topics, 1024, 1, math.MaxInt32),
		limit("requests", &l.Requests, 16384, 1, math.MaxInt32),
		limit("peer_bytes", &l.PeerBytes, 16<<20, 1, 1<<40),
		limit("bytes", &l.Bytes, 256<<20, 1, 1<<40),
		limit("subscriptions", &l.Subscriptions, defaultSubscriptions, 1<<10, 1<<30),
	)
	return l, err
}

// limit makes a value that is zero the default, and says when another one is out of range.
func limit[T int | int64](name string, value *T, byDefault, least, most T) error {
	if *value == 0 {
		*value = byDefault
	}
	if *value < least || *value > most {
		return fmt.Errorf("the limit %s is %d: want %d to %d, or 0 for %d", name, *value, least, most, byDefault)
	}
	return nil
}
