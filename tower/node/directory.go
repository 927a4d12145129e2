package node

import (
	"fmt"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

// Reasons to do without a node: it is one too many; its host, or a tower's, has no known address; or, for the time
// being, libzmq does not begin to connect.
const (
	ErrPeers   zmqwire.Fault = "too_many_peers"
	ErrMoves   zmqwire.Fault = "endpoint_changes"
	ErrHost    zmqwire.Fault = "unresolved_host"
	ErrConnect zmqwire.Fault = "peer_not_connected"
	// ErrNamesake: two nodes have one address, which loses records of producers and answers for all.
	ErrNamesake zmqwire.Fault = "same_address"
)

// directory is the peers a node has heard of, and until when it believes in them. It holds no socket and no clock.
//
// Several peers may announce one endpoint, when a node ended and its successor got the same port: the endpoint is given
// up with the last of them.
type directory struct {
	peers   map[string]*peer // by address
	users   map[zmqwire.Endpoint]int
	most    int
	timeout time.Duration
}

type peer struct {
	endpoint zmqwire.Endpoint
	since    time.Time // when it was first heard of
	heard    time.Time // and last
	moved    time.Time // when its endpoint changed last
}

// moveGap is how long a node stays at least where it said that it is: to go along with each change at once would keep
// others waiting for their connections.
const moveGap = time.Second

func newDirectory(most int, timeout time.Duration) *directory {
	return &directory{
		peers: make(map[string]*peer), users: make(map[zmqwire.Endpoint]int),
		most: most, timeout: timeout,
	}
}

// change is what a node has to do about an endpoint.
type change struct {
	endpoint zmqwire.Endpoint
	connect  bool // else disconnect
}

// heard takes an announcement. It says whether the peer is new, and appends what follows from it to changes.
func (d *directory) heard(a zmqwire.Announcement, now time.Time, changes []change) (_ []change, news bool, err error) {
	p := d.peers[a.Address]
	switch {
	case p == nil && len(d.peers) >= d.most:
		return changes, false, fmt.Errorf("%w: the limit peers is %d", ErrPeers, d.most)
	case p == nil:
		p = &peer{endpoint: a.Endpoint, since: now}
		d.peers[a.Address] = p
		changes = d.use(a.Endpoint, changes)
		news = true
	case p.endpoint != a.Endpoint && now.Sub(p.moved) < moveGap:
		return changes, false, ErrMoves
	case p.endpoint != a.Endpoint:
		p.moved = now
		changes = d.release(p.endpoint, changes)
		p.endpoint = a.Endpoint
		changes = d.use(a.Endpoint, changes)
		news = true
	}
	p.heard = now
	return changes, news, nil
}

// expire forgets the peers that were silent for too long.
func (d *directory) expire(now time.Time, changes []change) []change {
	for address, p := range d.peers {
		if now.Sub(p.heard) > d.timeout {
			delete(d.peers, address)
			changes = d.release(p.endpoint, changes)
		}
	}
	return changes
}

// believe gives every peer its full time again. While no tower could be heard, silence meant nothing.
func (d *directory) believe(now time.Time) {
	for _, p := range d.peers {
		p.heard = now
	}
}

func (d *directory) use(e zmqwire.Endpoint, changes []change) []change {
	d.users[e]++
	if d.users[e] > 1 {
		return changes
	}
	return append(changes, change{e, true})
}

func (d *directory) release(e zmqwire.Endpoint, changes []change) []change {
	d.users[e]--
	if d.users[e] > 0 {
		return changes
	}
	delete(d.users, e)
	return append(changes, change{e, false})
}
