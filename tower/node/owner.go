package node

import (
	"net/netip"
	"strings"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// ErrOwner is the reason to drop a message that is said under the name of a node that is connected otherwise.
const ErrOwner zmqwire.Fault = "foreign_address"

// Owner is the connection by which what a node says under its address arrives. The zero value is nobody.
type Owner struct {
	connection int
	peer       netip.AddrPort
}

// Admits says whether the message that received gave last may be said under an address: when it comes from where the
// node of that address announced itself, or, when no such node is known, by the connection that first used it, as long
// as that lasts. What a socket without Sources received it admits always.
func (n *Node) Admits(o *Owner, address string, received *zsock.Batch) bool {
	connection := received.Connection()
	if connection < 0 || connection == o.connection && o.peer.IsValid() {
		return true
	}
	return n.claim(o, address, received)
}

func (n *Node) claim(o *Owner, address string, received *zsock.Batch) bool {
	from, here := received.Source()
	if p := n.directory.peers[address]; p != nil {
		// Empty, and so unknown, until the node is connected to.
		if at, err := netip.ParseAddrPort(strings.TrimPrefix(n.connected[p.endpoint], "tcp://")); err == nil && here && from != at {
			return false
		}
	} else if now, lives := zsock.PeerOf(o.connection); o.peer.IsValid() && lives && now == o.peer {
		return false
	}
	// What was sent by a connection that has ended is heard, but owns nothing.
	if here {
		o.connection, o.peer = received.Connection(), from
	}
	return true
}
