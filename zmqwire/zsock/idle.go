package zsock

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// idleEvery is how often idle connections are looked for, and idleLooks how many looks one outlasts: nodes subscribe as
	// soon as they are connected.
	idleEvery = time.Second
	idleLooks = 3
	// idleAtOnce bounds how many are ended in one look.
	idleAtOnce = 256
)

// IdleConnections ends connections to a bound socket of which no subscription came, when file descriptors are scarce: those who are
// connected and want nothing would keep newcomers out.
type IdleConnections struct {
	Port  int
	next  time.Time
	looks map[netip.AddrPort]int
}

func NewIdleConnections(bound string) IdleConnections {
	port, err := strconv.Atoi(bound[strings.LastIndexByte(bound, ':')+1:])
	if err != nil {
		port = -1
	}
	return IdleConnections{Port: port}
}

// End ends some of them, when it is time.
func (i *IdleConnections) End(now time.Time, subscribed map[netip.AddrPort]*subscriber) {
	if now.Before(i.next) {
		return
	}
	i.next = now.Add(idleEvery)
	if !ScarceDescriptors() {
		i.looks = nil
		return
	}
	looks, ended := make(map[netip.AddrPort]int), 0
	for connection, peer := range Visitors(i.Port) {
		switch {
		case subscribed[peer] != nil:
		case i.looks[peer] >= idleLooks && ended < idleAtOnce:
			HangUp(connection)
			ended++
		default:
			looks[peer] = i.looks[peer] + 1
		}
	}
	i.looks = looks
}
