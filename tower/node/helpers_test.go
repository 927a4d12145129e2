package node

import (
	"testing"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/rawtest"
	"github.com/godafka/dafka/zmqwire/wiretest"
)

var (
	must       = wiretest.Must
	frames     = wiretest.Frames
	within     = rawtest.Within
	eventually = rawtest.Eventually
	raw        = rawtest.Open
	next       = rawtest.Next
)

// joinRaw returns a node that the tower listens to, and that receives from it.
func joinRaw(t testing.TB, tw *tower.Tower) *rawtest.Node { return rawtest.Join(t, tw.Pub(), tw.Sub()) }

// openTower starts a tower on loopback that is gone when the test ends.
func openTower(t testing.TB) *tower.Tower {
	t.Helper()
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	must(t, err)
	t.Cleanup(func() { closeTower(t, tw) })
	return tw
}

func closeTower(t testing.TB, tw *tower.Tower) {
	t.Helper()
	within(t, "close tower", func() {
		if err := tw.Close(); err != nil {
			t.Error(err)
		}
	})
}

// reserve returns an endpoint where nobody listens.
func reserve(t testing.TB) string {
	t.Helper()
	tw := openTower(t)
	closeTower(t, tw)
	return tw.Sub()
}
