package zsock

import (
	"fmt"
	"net/netip"

	"github.com/godafka/dafka/zmqwire"
)

// ErrSubscriptions is the reason to hang up on a peer.
const ErrSubscriptions zmqwire.Fault = "too_many_subscriptions"

const (
	// subscriptionCost is what a subscription costs at least, in bytes of its prefix.
	subscriptionCost = 32
	// allSubscriptions is how many times the limit of one peer all of them may have.
	allSubscriptions = 32
	// MaxSubscription is the largest that can be one as ZMTP 3.1 has it: a command's name, a kind of message, a name.
	MaxSubscription = 10 + 1 + 255
	// SubscriptionsWaiting is how many wait in libzmq, which holds what nobody has counted yet; the others wait in TCP.
	SubscriptionsWaiting = 64
)

// SubscriptionLimit is what libzmq holds for the peers that are connected to a socket. It keeps whatever it is sent, and only
// lets go of it when the connection ends; so a connection that wants too much is ended.
type SubscriptionLimit struct {
	ByPeer map[netip.AddrPort]*subscriber
	bytes  int // of all
	most   int // of one
	prune  int // at how many subscribers to look for those that have left
}

type subscriber struct {
	connection int
	bytes      int
}

func NewSubscriptionLimit(most int) SubscriptionLimit {
	return SubscriptionLimit{ByPeer: make(map[netip.AddrPort]*subscriber), most: most}
}

// Take takes a message that came by a connection, and ends that when it returns an error: when the message is no
// subscription, for libzmq also keeps those that it takes out of such messages, and nobody counts them; or when it is too
// much. What libzmq takes back for a peer that has left comes by no connection, -1, and is no longer counted.
func (s *SubscriptionLimit) Take(connection int, frames [][]byte) (zmqwire.Subscription, error) {
	sub, err := zmqwire.ParseSubscription(frames)
	if err != nil {
		HangUp(connection)
		return sub, err
	}
	if peer, ok := PeerOf(connection); ok && s.count(peer, connection, sub) {
		HangUp(connection)
		return sub, fmt.Errorf("%w: the limit subscriptions is %d bytes, and %v went beyond it", ErrSubscriptions, s.most, peer)
	}
	return sub, nil
}

// count takes note of a subscription, and says whether its connection is to be ended.
func (s *SubscriptionLimit) count(peer netip.AddrPort, connection int, sub zmqwire.Subscription) (tooMuch bool) {
	cost := len(sub.Prefix) + subscriptionCost
	from := s.ByPeer[peer]
	if sub.Ends {
		if from != nil {
			cost = min(cost, from.bytes)
			from.bytes -= cost
			s.bytes -= cost
		}
		return false
	}
	if from == nil {
		if len(s.ByPeer) >= s.prune {
			s.forgetThoseGone()
		}
		from = &subscriber{connection: connection}
		s.ByPeer[peer] = from
	}
	from.bytes += cost
	s.bytes += cost
	if from.bytes <= s.most && s.bytes > allSubscriptions*s.most {
		s.forgetThoseGone()
	}
	return from.bytes > s.most || s.bytes > allSubscriptions*s.most
}

func (s *SubscriptionLimit) forgetThoseGone() {
	for peer, from := range s.ByPeer {
		if now, ok := PeerOf(from.connection); !ok || now != peer {
			s.bytes -= from.bytes
			delete(s.ByPeer, peer)
		}
	}
	s.prune = 2*len(s.ByPeer) + 64
}
