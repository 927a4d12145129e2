package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

const (
	// endQuiet is how long nothing new must have been heard for the end to be believed.
	endQuiet = time.Second
	// endMeet is how long those are waited for that are known and may still have something to tell. A node that has lost its
	// tower, and so does not know the consumer yet, takes up to 5 seconds to find it again.
	endMeet = 10 * time.Second
)

// ending is how a consumer under UntilEnd finds the end: where nothing known is missing, and everybody who may know of
// more had time to tell. A store that is busy tells nothing, which looks as if it had nothing; so before the end is
// believed every store must have greeted the consumer once more.
//
// A store is two nodes, and the consumer may have heard of one only. Which two belong together nobody says, but each
// store's writer listens to all records and all heads, and its reader greets consumers, so there must be as many of these
// as of those.
type ending struct {
	news    time.Time            // when something was last heard that moves the end
	looked  time.Time            // when the end was last looked for
	towers  int                  // how many there were then
	peers   int                  // and other nodes
	met     map[string]bool      // the nodes that have connected: each subscribes to what is for it, by its address
	ears    map[int]ears         // by connection
	readers map[string]time.Time // of stores, by address: when each greeted last
	asked   time.Time            // when they were asked for greetings last
}

// ears are what is listened to by one connection, whoever says it and of whatever topic.
type ears byte

const (
	records ears = 1 << iota
	heads
	others // as only those do who look on
)

// welcome notes what a node that has connected subscribes to.
func (c *Consumer) welcome(prefix []byte, connection int) {
	e := &c.ending
	switch most := 8 * c.node.Limits().Peers; {
	case !c.untilEnd || len(e.met) >= most || len(e.ears) >= most:
	case len(prefix) > 1 && !e.met[string(prefix[1:])]:
		e.met[string(prefix[1:])] = true
		e.news = time.Now()
	case len(prefix) == 1:
		switch zmqwire.Kind(prefix[0]) {
		case zmqwire.Record:
			e.ears[connection] |= records
		case zmqwire.Head:
			e.ears[connection] |= heads
		default:
			e.ears[connection] |= others
		}
		e.news = time.Now()
	}
}

// greeted notes that a store's reader has greeted the consumer.
func (c *Consumer) greeted(reader string, now time.Time) {
	e := &c.ending
	_, again := e.readers[reader]
	if !c.untilEnd || !again && len(e.readers) >= 8*c.node.Limits().Peers {
		return
	}
	if !again {
		e.news = now
	}
	e.readers[reader] = now
}

// ended says that the end is reached, and else when to look again.
func (c *Consumer) ended(now time.Time) (ended bool, wait time.Duration, err error) {
	e := &c.ending
	if !c.untilEnd {
		return false, longWait, nil
	}
	// A node that was kept from running has heard nothing, and that says nothing.
	if now.Sub(e.looked) > endQuiet+endQuiet/4 {
		e.news = now
	}
	e.looked = now
	if towers, peers := c.node.Connected(), c.node.Peers(); towers != e.towers || peers != e.peers {
		e.towers, e.peers, e.news = towers, peers, now
	}
	if e.towers == 0 || c.backlog.Len() > 0 {
		return false, longWait, nil
	}
	quiet := now.Sub(e.news)
	if quiet >= endQuiet/2 && !e.asked.After(e.news) {
		e.asked = now
		err = c.askForGreetings()
	}
	switch {
	case quiet < endQuiet/2:
		return false, endQuiet/2 - quiet, err
	case quiet < endQuiet:
		return false, endQuiet - quiet, err
	}
	awaited := c.awaited(now)
	if len(awaited) > 0 && quiet < endMeet {
		return false, endQuiet / 4, err
	}
	if len(awaited) > 0 {
		c.log.Warn("what these nodes have may be missing: they do not answer", "nodes", awaited, "waited", endMeet)
	}
	return true, 0, err
}

// askForGreetings makes all stores greet the consumer, as if it had just come.
func (c *Consumer) askForGreetings() error {
	greetings := string(byte(zmqwire.StoreHello)) + c.Address()
	return errors.Join(c.node.Sub[0].Unsubscribe(greetings), c.node.Sub[0].Subscribe(greetings))
}

// awaited names those who may still have something to tell: the nodes that are known and have not connected, and the
// stores that have not greeted the consumer since they were asked, a moment before now, for what a store has follows its
// greeting.
func (c *Consumer) awaited(now time.Time) (nodes []string) {
	e := &c.ending
	for _, member := range c.node.Members() {
		last, reader := e.readers[member.Address]
		if !e.met[member.Address] || reader && (last.Before(e.asked) || now.Sub(last) < endQuiet/4) {
			nodes = append(nodes, member.Endpoint.String())
		}
	}
	writers := 0
	for _, ears := range e.ears {
		if ears == records|heads {
			writers++
		}
	}
	if n := writers - len(e.readers); n > 0 {
		nodes = append(nodes, fmt.Sprintf("%d of stores, not announced", n))
	}
	return nodes
}
