package survey

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

// Snapshot is what a cluster has at one moment. All counts are of records; a count that would exceed 2^64-1 is 2^64-1.
// It shares nothing with the survey.
type Snapshot struct {
	At         time.Time
	Towers     []node.Link  // in the order of the configuration
	Topics     []Topic      // sorted by name
	Partitions []Partition  // sorted by topic and address
	Stores     []StoreState // sorted by endpoint
	Peers      []Peer       // all nodes but the survey, sorted by role and endpoint
	// Missing lists what the snapshot may lack, and why. It is empty when every store that is known has answered and every
	// node has connected to the survey.
	Missing []Missing
}

// Complete reports whether nothing is known to be missing.
func (s *Snapshot) Complete() bool { return len(s.Missing) == 0 }

// Connected reports whether a tower can be heard.
func (s *Snapshot) Connected() bool {
	return slices.ContainsFunc(s.Towers, func(l node.Link) bool { return l.Connected })
}

// Missing is one reason for which a snapshot may be incomplete.
type Missing struct {
	Reason   Reason
	Endpoint string // host:port of the node, empty where none is meant
	Count    int    // of stores, where Reason is about their number
}

// Reason says why a snapshot may be incomplete.
type Reason string

const (
	NoTower     Reason = "no_tower"     // no tower can be heard
	FewStores   Reason = "few_stores"   // fewer stores than Config.MinStores are known: Count
	Silent      Reason = "silent"       // the store did not answer within Config.Timeout
	Left        Reason = "left"         // the store left before it answered
	Unconnected Reason = "unconnected"  // the node has not connected to the survey: it may be a store
	HalfAStore  Reason = "half_a_store" // Count stores announce only the half that writes
)

// Topic is what is known of one topic.
type Topic struct {
	Name       string
	Partitions int
	Producers  int       // of the partitions, those whose producer is there
	Records    uint64    // the most that a producer or a store claimed; it never falls within a survey
	Unacked    uint64    // records published, and held by no store that is known
	Rate       float64   // records a second that were published lately; 0 in the first snapshot
	LastHead   time.Time // when a producer last announced a head; zero: none has
}

// Partition is what is known of one partition.
type Partition struct {
	Topic, Address string
	Began          time.Time // when the producer made the address, by its clock; zero: the address does not tell
	Records        uint64    // as in Topic
	Unacked        uint64
	Rate           float64
	Alive          bool   // its producer is there
	Heads          []Head // one for each store, in the order of Snapshot.Stores
}

// Head is how much of a partition a store holds.
type Head struct {
	Endpoint string // host:port of the store
	Records  uint64 // the head is the sequence Records-1; 0: it holds none
	Lacks    uint64 // records that were known to exist before it was asked, and that it does not hold
	Silent   bool   // it has not answered: Records may be too low
}

// StoreState is what is known of one store.
type StoreState struct {
	Address, Endpoint string // of the half that answers
	MadeInC           bool
	Partitions        int
	Records, Lacks    uint64
	LastBeacon        time.Time
	Silent            bool // it has not answered
}

// Peer is a node of the cluster.
type Peer struct {
	Role              Role
	Address, Endpoint string
	MadeInC           bool
	Topics            []string // that it publishes or subscribes to, sorted; one in C subscribes to what begins so
	LastBeacon        time.Time
}

// hostPort is where a member can be reached, as people name it.
func hostPort(m node.Member) string { return strings.TrimPrefix(m.Endpoint.String(), "tcp://") }

// snapshot makes a Snapshot of the picture. silent are the addresses of the stores that have not answered.
func (p *picture) snapshot(silent map[string]bool, now time.Time) *Snapshot {
	s := &Snapshot{At: now}
	stores := p.stores()
	slices.SortFunc(stores, func(a, b node.Member) int { return strings.Compare(hostPort(a), hostPort(b)) })
	for _, m := range stores {
		s.Stores = append(s.Stores, StoreState{
			Address: m.Address, Endpoint: hostPort(m), MadeInC: zmqwire.MadeInC(m.Address), LastBeacon: m.Heard,
			Silent: silent[m.Address],
		})
	}
	topics := p.topics()
	for _, name := range p.names() {
		q := p.partitions[name]
		_, alive := p.member(name.address)
		row := Partition{
			Topic: name.topic, Address: name.address, Records: q.most, Alive: alive, Rate: q.growth.rate(now),
			Unacked: q.published - min(q.published, max(q.acked, p.kept(q))),
		}
		row.Began, _ = zmqwire.Began(name.address)
		for i, m := range stores {
			stored, lacks := q.stored[m.Address], q.lacks(m.Address)
			row.Heads = append(row.Heads, Head{Endpoint: hostPort(m), Records: stored, Lacks: lacks, Silent: silent[m.Address]})
			if at := &s.Stores[i]; stored > 0 {
				at.Partitions++
				at.Records = sum(at.Records, stored)
			}
			s.Stores[i].Lacks = sum(s.Stores[i].Lacks, lacks)
		}
		s.Partitions = append(s.Partitions, row)

		if n := len(s.Topics); n == 0 || s.Topics[n-1].Name != name.topic {
			s.Topics = append(s.Topics, Topic{Name: name.topic})
		}
		topic := &s.Topics[len(s.Topics)-1]
		topic.Partitions++
		topic.Records = sum(topic.Records, row.Records)
		topic.Unacked = sum(topic.Unacked, row.Unacked)
		topic.Rate += row.Rate
		if alive {
			topic.Producers++
			topics[name.address] = append(topics[name.address], name.topic)
		}
		if q.heard.After(topic.LastHead) {
			topic.LastHead = q.heard
		}
	}
	for _, m := range p.members {
		slices.Sort(topics[m.Address])
		s.Peers = append(s.Peers, Peer{
			Role: p.role(m.Address), Address: m.Address, Endpoint: hostPort(m), MadeInC: zmqwire.MadeInC(m.Address),
			Topics: slices.Compact(topics[m.Address]), LastBeacon: m.Heard,
		})
	}
	slices.SortStableFunc(s.Peers, func(a, b Peer) int {
		return cmp.Or(strings.Compare(string(a.Role), string(b.Role)), strings.Compare(a.Endpoint, b.Endpoint))
	})
	return s
}
