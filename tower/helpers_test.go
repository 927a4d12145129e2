package tower

import (
	"testing"

	"github.com/godafka/dafka/tower/rawtest"
	"github.com/godafka/dafka/zmqwire/wiretest"
)

var (
	must       = wiretest.Must
	frames     = wiretest.Frames
	within     = rawtest.Within
	eventually = rawtest.Eventually
)

type rawNode = rawtest.Node

// joinRaw returns a node that the tower listens to, and that receives from it.
func joinRaw(t testing.TB, tw *Tower) *rawNode { return rawtest.Join(t, tw.Pub(), tw.Sub()) }

// openTower starts a tower on loopback that is gone when the test ends.
func openTower(t testing.TB) *Tower {
	t.Helper()
	return openTowerAt(t, Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
}

func openTowerAt(t testing.TB, config Config) *Tower {
	t.Helper()
	tw, err := Open(config)
	must(t, err)
	t.Cleanup(func() { closeTower(t, tw) })
	return tw
}

func closeTower(t testing.TB, tw *Tower) {
	t.Helper()
	within(t, "close tower", func() {
		if err := tw.Close(); err != nil {
			t.Error(err)
		}
	})
}
