package survey

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

// Role is what a node does in its cluster, as far as its subscriptions show. Their texts are part of the JSON output.
type Role string

// Unknown is the role of a node that has not connected to the survey. A store is two nodes: Store answers requests and
// stands for the store, StoreWriter stores. An Observer only asks for heads, as a survey does.
const (
	Unknown     Role = "unknown"
	Producer    Role = "producer"
	Consumer    Role = "consumer"
	Store       Role = "store"
	StoreWriter Role = "store writer"
	Observer    Role = "observer"
)

// picture is what is known of a cluster: who claims that there is what. It holds no socket and no clock.
//
// It believes every claim: an operator wants to see a wrong claim, not to be spared it.
type picture struct {
	members    []node.Member
	kinds      map[string]string // by address, the kinds of messages that it subscribes to for itself
	partitions map[partitionName]*partition
	faults     map[string]map[zmqwire.Fault]uint64 // what each sender got wrong, by address
	news       time.Time                           // when something was last learned that was not known before
	answers    map[string]answer                   // of stores, by address
	links      map[int]*link                       // by connection, what nodes subscribe to
	linked     int                                 // topics in all links
	complete   time.Time                           // when all stores had last answered
	message    zmqwire.Message
}

// link is a connection on which a node subscribes.
type link struct {
	address string // empty until the node subscribes to what is sent to it
	topics  map[string]bool
}

// answer is when a store last sent a head to the survey, and a greeting.
type answer struct{ head, greeting time.Time }

type partitionName struct{ topic, address string }

// partition is what is claimed of one. All counts are of records, not heads.
type partition struct {
	stored    map[string]uint64 // at each store, by the address of its reader
	published uint64            // by its producer's HEADs
	acked     uint64            // by the ACKs of stores
	heard     time.Time         // when its producer last sent a HEAD
	most      uint64            // the most that was ever claimed
	due       uint64            // what stores should have: all that was known when they were last asked
	growth    growth
}

// growth is how many records were published while the survey looked on. Records that only become known, because a store
// comes back that has them, are no growth.
type growth struct {
	records uint64
	seen    time.Time // when the count was last confirmed
	points  []point   // of the last rateWindow, and one older
}

type point struct {
	at      time.Time
	records uint64
}

// rateWindow is what rates are the mean of.
const rateWindow = 5 * time.Second

// maxNames bounds what strangers can make a picture remember of each sort.
const maxNames = 1 << 20

// ErrOldAck is not a reason to ignore an ACK, but to ask who still sends such.
const ErrOldAck zmqwire.Fault = "ack_with_address"

// ErrNames is the reason to ignore what would be one name too many.
const ErrNames zmqwire.Fault = "too_many_names"

func newPicture() *picture {
	return &picture{
		kinds:      make(map[string]string),
		partitions: make(map[partitionName]*partition),
		faults:     make(map[string]map[zmqwire.Fault]uint64),
		answers:    make(map[string]answer),
		links:      make(map[int]*link),
	}
}

// clone is the picture as it is now.
func (p *picture) clone() *picture {
	c := *p
	c.message = zmqwire.Message{}
	c.members, c.kinds, c.answers = slices.Clone(p.members), maps.Clone(p.kinds), maps.Clone(p.answers)
	c.partitions, c.faults = make(map[partitionName]*partition), make(map[string]map[zmqwire.Fault]uint64)
	for name, q := range p.partitions {
		same := *q
		same.stored = maps.Clone(q.stored)
		c.partitions[name] = &same
	}
	for from, faults := range p.faults {
		c.faults[from] = maps.Clone(faults)
	}
	return &c
}

// meet takes the members as they are now.
func (p *picture) meet(members []node.Member, now time.Time) {
	// Both are sorted by address.
	same := func(a, b node.Member) bool { return a.Address == b.Address && a.At == b.At }
	if !slices.EqualFunc(members, p.members, same) {
		p.news = now
	}
	p.members = members
}

// subscribed takes a subscription that arrived by a connection. Its prefix begins with a kind of message. Then comes a
// topic, or the address of the node that subscribes to what is sent to it.
func (p *picture) subscribed(prefix []byte, connection int, now time.Time) {
	if len(prefix) == 0 {
		return
	}
	kind, name := string(prefix[:1]), string(prefix[1:])
	l := p.links[connection]
	ofTopic := zmqwire.Kind(prefix[0]) == zmqwire.Record
	ofNode := name != "" && strings.Contains("KFDELWG", kind)
	// The number of a connection that has ended is given to another.
	if l == nil || ofNode && l.address != "" && l.address != name {
		if len(p.links) >= maxNames {
			return
		}
		l = &link{topics: make(map[string]bool)}
		p.links[connection] = l
	}
	switch {
	case ofTopic && p.linked < maxNames && !l.topics[name]:
		l.topics[name] = true
		p.linked++
	case ofNode:
		l.address = name
		if known := p.kinds[name]; !strings.Contains(known, kind) && (known != "" || len(p.kinds) < maxNames) {
			p.kinds[name] = known + kind
			p.news = now
		}
	}
}

// topics are those that consumers subscribe to, by the consumers' addresses.
func (p *picture) topics() map[string][]string {
	topics := make(map[string][]string)
	for _, l := range p.links {
		if p.role(l.address) == Consumer {
			topics[l.address] = slices.AppendSeq(topics[l.address], maps.Keys(l.topics))
		}
	}
	return topics
}

// comparing is the kind of message that a survey subscribes to for itself when it compares, and no other node does. It
// receives records as the half of a store does that writes.
const comparing = string(rune(zmqwire.GetHeads))

// role is that of the node with this address.
func (p *picture) role(address string) Role {
	switch kinds := p.kinds[address]; {
	case strings.Contains(kinds, comparing):
		return Observer
	case strings.ContainsAny(kinds, "KF"):
		return Producer
	case strings.Contains(kinds, "L"):
		return Consumer
	case strings.Contains(kinds, "W"):
		return Store
	case strings.Contains(kinds, "D"):
		return StoreWriter
	case kinds != "":
		return Observer
	}
	return Unknown
}

// receive takes a message that the member sent. own is the address to which answers go.
func (p *picture) receive(from, own string, frames [][]byte, now time.Time) error {
	m := &p.message
	err := m.Decode(frames)
	if err == nil && m.Kind != zmqwire.Ack {
		err = m.Check(own)
	}
	if err != nil {
		return err
	}
	// A head of 2^64-1 is not one record more.
	records := m.Sequence + min(1, math.MaxUint64-m.Sequence)
	switch m.Kind {
	case zmqwire.Head:
		q, err := p.partition(string(m.Subject), string(m.Address), now)
		if err != nil {
			return err
		}
		known := q.published > 0 || q.acked > 0
		q.published, q.heard = max(q.published, records), now
		q.claim(records, known, now)
	case zmqwire.DirectHead:
		q, err := p.partition(string(m.Subject), string(m.Address), now)
		if err != nil {
			return err
		}
		if len(p.answers) < maxNames {
			p.answers[from] = answer{now, p.answers[from].greeting}
		}
		if q.stored[from] == 0 {
			p.news = now
		}
		known := q.stored[from] > 0 || p.answeredBefore(from)
		q.stored[from] = records
		q.claim(records, known, now)
	case zmqwire.Ack:
		q, err := p.partition(string(m.Subject), string(m.Routing), now)
		if err != nil {
			return err
		}
		known := q.acked > 0 || p.answeredBefore(from)
		q.acked = max(q.acked, records)
		q.claim(records, known, now)
		if m.Address != nil {
			p.blame(from, ErrOldAck)
		}
	case zmqwire.StoreHello:
		if len(p.answers) < maxNames {
			p.answers[from] = answer{p.answers[from].head, now}
		}
	}
	return nil
}

// claim takes a count of records. known says that its source would have claimed them before, had they been there.
func (q *partition) claim(records uint64, known bool, now time.Time) {
	if records < q.most {
		return
	}
	if known {
		q.growth.records += records - q.most
	}
	q.most, q.growth.seen = records, now
}

// answeredBefore says that the node was there when all stores had answered.
func (p *picture) answeredBefore(address string) bool {
	m, ok := p.member(address)
	return ok && m.Since.Before(p.complete)
}

func (p *picture) partition(topic, address string, now time.Time) (*partition, error) {
	name := partitionName{topic, address}
	if q := p.partitions[name]; q != nil {
		return q, nil
	}
	if len(p.partitions) >= maxNames || topic == "" || address == "" {
		return nil, ErrNames
	}
	q := &partition{stored: make(map[string]uint64)}
	if q.growth.points = []point{{now, 0}}; !p.complete.IsZero() {
		q.growth.points[0].at = p.complete // no store had any of it
	}
	p.partitions[name] = q
	p.news = now
	return q, nil
}

// measure notes how much each partition has grown by now.
func (p *picture) measure(now time.Time) {
	for _, q := range p.partitions {
		g := &q.growth
		if last := g.points[len(g.points)-1]; g.seen.After(last.at) {
			g.points = append(g.points, point{g.seen, g.records})
		}
		for len(g.points) > 2 && now.Sub(g.points[1].at) >= rateWindow {
			g.points = g.points[1:]
		}
	}
}

// rate is how many records a second were published in the last rateWindow. After a time in which nothing was known of
// the partition, it is the mean of that time.
func (g *growth) rate(now time.Time) float64 {
	first, last := g.points[0], g.points[len(g.points)-1]
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 || now.Sub(last.at) >= rateWindow {
		return 0
	}
	return float64(last.records-first.records) / took
}

// blame counts what the member got wrong.
func (p *picture) blame(from string, reason zmqwire.Fault) {
	if p.faults[from] == nil {
		p.faults[from] = make(map[zmqwire.Fault]uint64)
	}
	p.faults[from][reason]++
}

// member finds a member by its address.
func (p *picture) member(address string) (node.Member, bool) {
	i, ok := slices.BinarySearchFunc(p.members, address, func(m node.Member, address string) int {
		return strings.Compare(m.Address, address)
	})
	if !ok {
		return node.Member{}, false
	}
	return p.members[i], true
}

// having lists the members of a role.
func (p *picture) having(r Role) []node.Member {
	var members []node.Member
	for _, m := range p.members {
		if p.role(m.Address) == r {
			members = append(members, m)
		}
	}
	return members
}

// stores are the members that answer for stores.
func (p *picture) stores() []node.Member { return p.having(Store) }

// names lists the partitions, by topic and address.
func (p *picture) names() []partitionName {
	return slices.SortedFunc(maps.Keys(p.partitions), func(a, b partitionName) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.address, b.address))
	})
}

// expect notes that stores are being asked: what is known now, they lack if their answers do not have it. What comes
// meanwhile, they do not.
func (p *picture) expect() {
	for _, q := range p.partitions {
		q.due = q.most
	}
}

// lacks is how many of the records that a store should have it has not.
func (q *partition) lacks(store string) uint64 { return q.due - min(q.due, q.stored[store]) }

// kept is how many of a partition's records stores hold.
func (p *picture) kept(q *partition) uint64 {
	var most uint64
	for _, s := range p.stores() {
		most = max(most, q.stored[s.Address])
	}
	return most
}

// sum is a + b, or the largest number where that is larger: heads are what others claim.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
