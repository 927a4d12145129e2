package consumer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

// ErrIncomplete matches every *IncompleteError.
var ErrIncomplete = errors.New("the end is not certain")

// IncompleteError is what Next returns under UntilEnd when Config.EndTimeout is over and the end is not certain: records
// may exist that were not delivered. It matches ErrIncomplete.
type IncompleteError struct {
	// Waited is how long the consumer received nothing that it had asked for.
	Waited time.Duration
	// Doubts are the reasons, each in a few words; at least one.
	Doubts []string
	// Endpoints are those that did not answer: of towers, when none is connected or it knows too few stores, and of nodes.
	Endpoints []string
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("%v after %v: %s", ErrIncomplete, e.Waited.Round(time.Millisecond), strings.Join(e.Doubts, ", and "))
}

func (e *IncompleteError) Is(target error) bool { return target == ErrIncomplete }

const (
	// endQuiet is how long nothing new must have been received for the end to be believed.
	endQuiet = time.Second
	// defaultEndTimeout is enough for a node that has lost its tower, and so does not know the consumer yet: it takes up to
	// 5 seconds to find the tower again.
	defaultEndTimeout = 10 * time.Second
	// searchTime bounds the search for the record behind a hole, see Config.SkipAfter.
	searchTime = 90 * time.Second
	// maxNamed is how many nodes or partitions an IncompleteError names; of the others it gives the number.
	maxNamed = 4
)

// NoStores is Config.MinStores of a consumer that reaches its end without a store.
const NoStores = -1

// ending is how a consumer under UntilEnd finds the end: where nothing known is missing, and everybody who may know of
// more had time to say so. A store that is busy sends nothing, which looks as if it had nothing; so before the end is
// believed every store must have greeted the consumer once more, and as many stores as Config.MinStores.
//
// What was asked for and received is progress. When there is none for Config.EndTimeout, the consumer ends in any case:
// claims and new nodes that keep coming do not put the end off.
//
// A store is two nodes, and the consumer may know one only. No message says which two belong together, but each store's
// writer subscribes to all records and all heads, and its reader greets consumers, so there must be as many of these as
// of those.
type ending struct {
	news     time.Time            // when something was last received that moves the end
	progress time.Time            // when a record that was asked for was last received
	fetched  uint64               // how many those were then
	looked   time.Time            // when the end was last looked for
	walked   time.Time            // when the backlog was
	lacking  []*partition         // some of those that it had
	lacks    int                  // how many those were
	towers   int                  // how many were connected
	peers    int                  // and other nodes known
	met      map[string]bool      // the nodes that have connected: each subscribes to what is for it, by its address
	ears     map[int]ears         // by connection
	readers  map[string]time.Time // of stores, by address: when each greeted last
	asked    time.Time            // when they were asked for greetings last
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
	if most := 8 * c.node.Limits().Peers; !c.untilEnd || len(prefix) == 0 || len(e.met) >= most || len(e.ears) >= most {
		return
	}
	kind, name := zmqwire.Kind(prefix[0]), prefix[1:]
	switch {
	case len(name) == 0 && kind == zmqwire.Record:
		e.ears[connection] |= records
	case len(name) == 0 && kind == zmqwire.Head:
		e.ears[connection] |= heads
	case len(name) == 0:
		e.ears[connection] |= others
	case kind == zmqwire.StoreHello:
		e.ears[connection] |= others // a consumer, of all topics perhaps
	}
	if len(name) > 0 {
		switch kind {
		case zmqwire.Record, zmqwire.Head, zmqwire.Ack:
			return // what follows names a topic, or a partition
		}
		if e.met[string(name)] {
			return
		}
		e.met[string(name)] = true
	}
	e.news = time.Now()
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

// ended returns what the end is reached with, nil before it, and when to look again.
func (c *Consumer) ended(now time.Time) (end error, wait time.Duration, err error) {
	e := &c.ending
	if !c.untilEnd {
		return nil, longWait, nil
	}
	// A node that was kept from running has received nothing, and that means nothing.
	if now.Sub(e.looked) > endQuiet+endQuiet/4 {
		e.news, e.progress = now, now
	}
	e.looked = now
	if towers, peers := c.node.Connected(), c.node.Peers(); towers != e.towers || peers != e.peers {
		if e.towers == 0 {
			e.progress = now
		}
		e.towers, e.peers, e.news = towers, peers, now
	}
	// While the user is slow, nothing is asked for.
	if c.fetched != e.fetched || len(c.full) > 0 || c.handover.held.Load() >= c.most/2 {
		e.fetched, e.progress = c.fetched, now
	}
	waited, timeout := now.Sub(e.progress), c.endTimeout
	if c.skipAfter > 0 && len(c.holes) > 0 {
		timeout += c.skipAfter + searchTime
	}
	late, left := waited >= timeout, min(longWait, max(0, timeout-waited))
	if c.backlog.Len() == 0 {
		e.lacking, e.lacks = e.lacking[:0], 0
	} else if late || now.Sub(e.walked) >= endQuiet/4 {
		e.walked = now
		c.walk()
	} else {
		return nil, min(left, endQuiet/4), nil
	}
	quiet, open := now.Sub(e.news), e.towers == 0 || e.lacks > 0 || c.untaken || len(c.full) > 0
	// Where nodes and partitions keep coming, it is never quiet: what counts is then that all stores have answered.
	restless := waited >= timeout/2
	if !late && !e.asked.After(e.news) &&
		(!open && quiet >= endQuiet/2 || restless && now.Sub(e.asked) >= 2*endQuiet) {
		e.asked = now
		err = c.askForGreetings()
	}
	if open && !late {
		return nil, min(left, endQuiet/4), err
	}
	if !restless && quiet < endQuiet {
		next := endQuiet
		if quiet < endQuiet/2 {
			next = endQuiet / 2
		}
		return nil, min(left, next-quiet), err
	}
	switch incomplete := c.doubts(now); {
	case incomplete == nil:
		return c.end(), 0, err
	case late:
		incomplete.Waited = waited
		return incomplete, 0, err
	}
	return nil, min(left, endQuiet/4), err
}

// walk counts the partitions that lack records, and notes some of them. One whose last records were given up lacks none,
// nor, under StoredOnly, one of which no more are stored.
func (c *Consumer) walk() {
	e := &c.ending
	e.lacking, e.lacks = e.lacking[:0], 0
	for o := range c.backlog.All() {
		p := c.topics[o.Topic][o.Partition]
		if p == nil || o != &p.Order || !p.lacks() {
			continue
		}
		if e.lacks++; len(e.lacking) < maxNamed {
			e.lacking = append(e.lacking, p)
		}
	}
}

// askForGreetings makes all stores greet the consumer, as if it had just come.
func (c *Consumer) askForGreetings() error {
	greetings := string(byte(zmqwire.StoreHello)) + c.Address()
	return errors.Join(c.node.Sub[0].Unsubscribe(greetings), c.node.Sub[0].Subscribe(greetings))
}

// doubts says why the end is not certain, nil when it is.
func (c *Consumer) doubts(now time.Time) *IncompleteError {
	e := &c.ending
	d := &IncompleteError{}
	doubt := func(format string, args ...any) { d.Doubts = append(d.Doubts, fmt.Sprintf(format, args...)) }
	var towers []string
	for _, l := range c.node.Links() {
		towers = append(towers, l.Endpoint.String())
	}
	switch stores := c.answered(now); {
	case e.towers == 0:
		doubt("no tower answers at %s", strings.Join(towers, ", "))
		d.Endpoints = append(d.Endpoints, towers...)
	case stores < c.minStores && stores == 0:
		doubt("no store has answered in the cluster of the tower at %s", strings.Join(towers, ", "))
		d.Endpoints = append(d.Endpoints, towers...)
	case stores < c.minStores:
		doubt("only %d of %d stores have answered in the cluster of the tower at %s", stores, c.minStores, strings.Join(towers, ", "))
		d.Endpoints = append(d.Endpoints, towers...)
	}
	if nodes := c.awaited(now); len(nodes) > 0 {
		doubt("%s announced and %s not answer: %s", counted(len(nodes), "node is", "nodes are"),
			choose(len(nodes), "does", "do"), named(nodes))
		d.Endpoints = append(d.Endpoints, nodes...)
	}
	writers := 0
	for _, ears := range e.ears {
		if ears == records|heads {
			writers++
		}
	}
	if n := writers - len(e.readers); n > 0 {
		doubt("%s records and answers no requests", counted(n, "store receives", "stores receive"))
	}
	for _, p := range e.lacking {
		records := fmt.Sprintf("record %d", p.Next())
		if last := p.Next() + p.Missing() - 1; last > p.Next() {
			records = fmt.Sprintf("records %d to %d", p.Next(), last)
		}
		doubt("no node sends %s of topic %q, partition %q, which were announced", records, p.Topic, p.Partition)
	}
	if n := e.lacks - len(e.lacking); n > 0 {
		doubt("%s announced records", counted(n, "more partition lacks", "more partitions lack"))
	}
	if c.untaken {
		doubt("the stores have more partitions without a record than can be looked into at once, %d", maxClaims)
	}
	if c.refused > 0 {
		doubt("%s left out: their peers announce more than %d without a record",
			counted(int(c.refused), "announced partition was", "announced partitions were"), maxClaims)
	}
	if len(d.Doubts) == 0 {
		return nil
	}
	return d
}

func choose(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func counted(n int, one, many string) string { return fmt.Sprint(n, " ", choose(n, one, many)) }

// named lists some endpoints, and says how many there are besides.
func named(endpoints []string) string {
	if n := len(endpoints) - maxNamed; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(endpoints[:maxNamed], ", "), n)
	}
	return strings.Join(endpoints, ", ")
}

// answers reports whether a store's reader, which greeted the consumer last at that time, has done so since it was asked,
// a moment before now: what a store has follows its greeting.
func (e *ending) answers(last, now time.Time) bool {
	return !e.asked.IsZero() && !last.Before(e.asked) && now.Sub(last) >= endQuiet/4
}

// answered counts the stores that have sent all they have.
func (c *Consumer) answered(now time.Time) (stores int) {
	for _, last := range c.ending.readers {
		if c.ending.answers(last, now) {
			stores++
		}
	}
	return stores
}

// awaited returns the endpoints of those who may still send something: the nodes that are known and have not connected,
// and the stores that have not answered.
func (c *Consumer) awaited(now time.Time) (endpoints []string) {
	e := &c.ending
	for _, member := range c.node.Members() {
		last, reader := e.readers[member.Address]
		if !e.met[member.Address] || reader && !e.answers(last, now) {
			endpoints = append(endpoints, member.Endpoint.String())
		}
	}
	return endpoints
}
