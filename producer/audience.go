package producer

import "github.com/godafka/dafka/zmqwire"

// audience is the peers that subscribed to the topic's heads and were sent neither a HEAD nor a record since. It decides
// whether a HEAD goes out at once, so that they fetch what they missed before they came.
//
// A consumer made in C takes the first HEAD or record that it receives of a partition for the place to begin: by a HEAD
// it gets the last old record, by a record it gets that record. C producers send HEADs at the interval only. So no HEAD
// goes out at once while such a consumer waits. A consumer made in Go shows by its address which one it is; a store
// shows by a subscription to the heads of all topics.
type audience struct {
	waiting map[int]bool // by connection: a HEAD at once is right for it by its subscription alone
	inGo    map[int]bool // by connection: it belongs to a consumer made in Go
}

func newAudience() audience {
	return audience{waiting: make(map[int]bool), inGo: make(map[int]bool)}
}

// subscribed notes a subscription of a peer; topic is the producer's. The peer's subscriptions come in any order.
func (a *audience) subscribed(prefix []byte, connection int, topic string) {
	if len(prefix) == 0 {
		return
	}
	switch name := string(prefix[1:]); zmqwire.Kind(prefix[0]) {
	case zmqwire.DirectHead:
		// Descriptors are few, so what is kept for each is bounded.
		if a.inGo[connection] = !zmqwire.MadeInC(name); !a.inGo[connection] {
			delete(a.inGo, connection)
		}
	case zmqwire.Head:
		if len(name) <= len(topic) && topic[:len(name)] == name {
			a.waiting[connection] = name == ""
		}
	}
}

// wantsHead reports whether a HEAD is to go out at once.
func (a *audience) wantsHead() bool {
	for connection, store := range a.waiting {
		if !store && !a.inGo[connection] {
			return false
		}
	}
	return len(a.waiting) > 0
}

// served notes that a HEAD or a record went out.
func (a *audience) served() {
	if len(a.waiting) > 0 {
		clear(a.waiting)
	}
}
