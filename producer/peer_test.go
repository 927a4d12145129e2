package producer

import (
	"github.com/godafka/dafka/tower/towertest"
)

const waitAtMost = towertest.WaitAtMost

var (
	eventually = towertest.Eventually
	openTower  = towertest.Open
	at         = towertest.At
	join       = towertest.Join
)

type peer = towertest.Peer
