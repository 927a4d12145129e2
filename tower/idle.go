package tower

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/godafka/dafka/zmqwire/zsock"
)

const (
	// idleEvery is how often idle connections are looked for, and idleLooks how many looks one outlasts: nodes subscribe as
	// soon as they are connected.
	idleEvery = time.Second
	idleLooks = 3
	// idleAtOnce bounds how many are ended in one look.
	idleAtOnce = 256
)

// idle ends connections to a bound socket of which no subscription came, when file descriptors are scarce: those who are
// connected and want nothing would keep newcomers out.
type idle struct {
	port  int
	next  time.Time
	looks map[netip.AddrPort]int
}

func newIdle(bound string) idle {
	port, err := strconv.Atoi(bound[strings.LastIndexByte(bound, ':')+1:])
	if err != nil {
		port = -1
	}
	return idle{port: port}
}

// end ends some of them, when it is time.
func (i *idle) end(now time.Time, subscribed map[netip.AddrPort]*subscriber) {
	if now.Before(i.next) {
		return
	}
	i.next = now.Add(idleEvery)
	if !zsock.ScarceDescriptors() {
		i.looks = nil
		return
	}
	looks, ended := make(map[netip.AddrPort]int), 0
	for connection, peer := range zsock.Visitors(i.port) {
		switch {
		case subscribed[peer] != nil:
		case i.looks[peer] >= idleLooks && ended < idleAtOnce:
			zsock.HangUp(connection)
			ended++
		default:
			looks[peer] = i.looks[peer] + 1
		}
	}
	i.looks = looks
}
