package consumer

import (
	"testing"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
)

const waitAtMost = towertest.WaitAtMost

var (
	eventually = towertest.Eventually
	openTower  = towertest.Open
	at         = towertest.At
)

// peer is one that knows what to look for in what it hears.
type peer struct{ *towertest.Peer }

func join(t testing.TB, tw *tower.Tower, address string, respond func(p *peer, m *zmqwire.Message), prefixes ...string) *peer {
	t.Helper()
	if respond == nil {
		return &peer{towertest.Join(t, tw, address, nil, prefixes...)}
	}
	return &peer{towertest.Join(t, tw, address, func(p *towertest.Peer, m *zmqwire.Message) { respond(&peer{p}, m) }, prefixes...)}
}
