package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// role is what a node does in its cluster, as far as its subscriptions tell.
type role string

const (
	roleUnknown  role = "unknown"
	roleProducer role = "producer"
	roleConsumer role = "consumer"
	roleReader   role = "store" // the half of a store that answers: it stands for the store
	roleWriter   role = "store writer"
	roleObserver role = "observer" // it only asks for heads, as this program does
)

// picture is what is known of a cluster: who says that there is what. It holds no socket and no clock.
//
// It believes what it is told: an operator wants to see a wrong claim, not to be spared it.
type picture struct {
	members    []tower.Member
	kinds      map[string]string // by address, the kinds of messages that it subscribes to for itself
	partitions map[partitionName]*partition
	faults     map[string]map[zmqwire.Fault]uint64 // what each sender got wrong, by address
	news       time.Time                           // when something was last learned that was not known before
	told       time.Time                           // when a store last told a head
	message    zmqwire.Message
}

type partitionName struct{ topic, address string }

// partition is what is said of one. All counts are of records, not heads.
type partition struct {
	stored    map[string]uint64 // at each store, by the address of its reader
	published uint64            // says its producer
	acked     uint64            // say the stores
	heard     time.Time         // when its producer last said so
	due       uint64            // what stores should have: all that was known when they were last asked
}

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
	}
}

// clone is the picture as it is now.
func (p *picture) clone() *picture {
	c := *p
	c.message = zmqwire.Message{}
	c.members, c.kinds = slices.Clone(p.members), maps.Clone(p.kinds)
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
func (p *picture) meet(members []tower.Member, now time.Time) {
	known := func(m tower.Member) bool {
		return slices.ContainsFunc(p.members, func(k tower.Member) bool { return k.Address == m.Address && k.At == m.At })
	}
	if len(members) != len(p.members) || !allOf(members, known) {
		p.news = now
	}
	p.members = members
}

func allOf[T any](all []T, is func(T) bool) bool {
	return !slices.ContainsFunc(all, func(one T) bool { return !is(one) })
}

// subscribed takes a subscription that arrived from some node: its kind, and for whom it is, which is the node itself.
func (p *picture) subscribed(prefix []byte, now time.Time) {
	if len(prefix) < 2 || !strings.Contains("KFDELW", string(prefix[:1])) {
		return
	}
	address, kind := string(prefix[1:]), string(prefix[:1])
	if known := p.kinds[address]; !strings.Contains(known, kind) && (known != "" || len(p.kinds) < maxNames) {
		p.kinds[address] = known + kind
		p.news = now
	}
}

// role is that of the node with this address.
func (p *picture) role(address string) role {
	switch kinds := p.kinds[address]; {
	case strings.ContainsAny(kinds, "KF"):
		return roleProducer
	case strings.Contains(kinds, "L"):
		return roleConsumer
	case strings.Contains(kinds, "W"):
		return roleReader
	case strings.Contains(kinds, "D"):
		return roleWriter
	case kinds != "":
		return roleObserver
	}
	return roleUnknown
}

// hear takes a message that the member sent. own is the address for which answers are.
func (p *picture) hear(from, own string, frames [][]byte, now time.Time) error {
	m := &p.message
	err := m.Decode(frames)
	if err == nil && m.Kind != zmqwire.Ack {
		err = m.Check(own)
	}
	if err != nil {
		return err
	}
	switch m.Kind {
	case zmqwire.Head, zmqwire.DirectHead:
		q, err := p.partition(string(m.Subject), string(m.Address), now)
		if err != nil {
			return err
		}
		if m.Kind == zmqwire.Head {
			q.published, q.heard = max(q.published, m.Sequence+1), now
			return nil
		}
		p.told = now
		if q.stored[from] == 0 {
			p.news = now
		}
		q.stored[from] = m.Sequence + 1
	case zmqwire.Ack:
		q, err := p.partition(string(m.Subject), string(m.Routing), now)
		if err != nil {
			return err
		}
		q.acked = max(q.acked, m.Sequence+1)
		if m.Address != nil {
			p.blame(from, ErrOldAck)
		}
	}
	return nil
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
	p.partitions[name] = q
	p.news = now
	return q, nil
}

// blame counts what the member got wrong.
func (p *picture) blame(from string, reason zmqwire.Fault) {
	if p.faults[from] == nil {
		p.faults[from] = make(map[zmqwire.Fault]uint64)
	}
	p.faults[from][reason]++
}

// member finds a member by its address.
func (p *picture) member(address string) (tower.Member, bool) {
	i, ok := slices.BinarySearchFunc(p.members, address, func(m tower.Member, address string) int {
		return strings.Compare(m.Address, address)
	})
	if !ok {
		return tower.Member{}, false
	}
	return p.members[i], true
}

// stores are the members that answer for stores.
func (p *picture) stores() []tower.Member {
	var stores []tower.Member
	for _, m := range p.members {
		if p.role(m.Address) == roleReader {
			stores = append(stores, m)
		}
	}
	return stores
}

// names lists the partitions, by topic and address.
func (p *picture) names() []partitionName {
	return slices.SortedFunc(maps.Keys(p.partitions), func(a, b partitionName) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.address, b.address))
	})
}

// records is how many there are of a partition, by all that is said.
func (p *picture) records(q *partition) uint64 {
	return max(q.published, q.acked, p.kept(q))
}

// expect notes that stores are being asked: what is known now, they lack if their answers do not have it. What comes
// meanwhile, they do not.
func (p *picture) expect() {
	for _, q := range p.partitions {
		q.due = p.records(q)
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

// The rows of the tables. Their names in JSON and YAML are part of what programs rely on.

type topicRow struct {
	Topic       string   `json:"topic"`
	TopicBase64 bool     `json:"topic_base64,omitempty"`
	Partitions  int      `json:"partitions"`
	Producers   int      `json:"producers"` // of the partitions, those whose producer is there
	Records     uint64   `json:"records"`
	LastHeard   *seconds `json:"last_heard_seconds"` // since a producer last spoke; null: none has
}

type partitionRow struct {
	Topic           string      `json:"topic"`
	TopicBase64     bool        `json:"topic_base64,omitempty"`
	Partition       string      `json:"partition"`
	PartitionBase64 bool        `json:"partition_base64,omitempty"`
	Records         uint64      `json:"records"`
	Producer        string      `json:"producer"` // alive or gone
	Stores          []storeHead `json:"stores"`
}

type storeHead struct {
	Endpoint string  `json:"endpoint"`
	Head     *uint64 `json:"head"` // the newest record's sequence; null: it has none
	Lacks    uint64  `json:"lacks"`
}

type peerRow struct {
	Role          role    `json:"role"`
	Address       string  `json:"address"`
	AddressBase64 bool    `json:"address_base64,omitempty"`
	Endpoint      string  `json:"endpoint"`
	Made          string  `json:"made_in"` // go or c
	Beacon        seconds `json:"last_beacon_seconds"`
}

type storeRow struct {
	Endpoint      string  `json:"endpoint"`
	Address       string  `json:"address"`
	AddressBase64 bool    `json:"address_base64,omitempty"`
	Made          string  `json:"made_in"`
	Partitions    int     `json:"partitions"`
	Records       uint64  `json:"records"`
	Lacks         uint64  `json:"lacks"` // records that exist elsewhere
	Beacon        seconds `json:"last_beacon_seconds"`
}

// seconds are how long ago something was, to a tenth.
type seconds float64

func since(then, now time.Time) seconds {
	return seconds(max(0, now.Sub(then)).Round(100 * time.Millisecond).Seconds())
}

func madeIn(address string) string {
	if zmqwire.MadeInC(address) {
		return "c"
	}
	return "go"
}

func (p *picture) topicRows(now time.Time) []topicRow {
	rows := make([]topicRow, 0)
	var heard time.Time // of the last row's topic
	last := ""
	for _, name := range p.names() {
		q := p.partitions[name]
		if len(rows) == 0 || name.topic != last {
			row := topicRow{}
			row.Topic, row.TopicBase64 = textOrBase64(name.topic)
			rows, last, heard = append(rows, row), name.topic, time.Time{}
		}
		row := &rows[len(rows)-1]
		row.Partitions++
		row.Records += p.records(q)
		if _, alive := p.member(name.address); alive {
			row.Producers++
		}
		if q.heard.After(heard) {
			heard = q.heard
			age := since(heard, now)
			row.LastHeard = &age
		}
	}
	return rows
}

// partitionRows are those of one topic, or of all when it is empty.
func (p *picture) partitionRows(topic string) []partitionRow {
	rows, stores := make([]partitionRow, 0), p.stores()
	for _, name := range p.names() {
		if topic != "" && name.topic != topic {
			continue
		}
		q := p.partitions[name]
		row := partitionRow{Records: p.records(q), Producer: "gone", Stores: make([]storeHead, 0, len(stores))}
		row.Topic, row.TopicBase64 = textOrBase64(name.topic)
		row.Partition, row.PartitionBase64 = textOrBase64(name.address)
		if _, alive := p.member(name.address); alive {
			row.Producer = "alive"
		}
		for _, s := range stores {
			at := storeHead{Endpoint: hostPort(s), Lacks: q.lacks(s.Address)}
			if stored := q.stored[s.Address]; stored > 0 {
				head := stored - 1
				at.Head = &head
			}
			row.Stores = append(row.Stores, at)
		}
		rows = append(rows, row)
	}
	return rows
}

func (p *picture) peerRows(now time.Time) []peerRow {
	rows := make([]peerRow, 0, len(p.members))
	for _, m := range p.members {
		row := peerRow{Role: p.role(m.Address), Endpoint: hostPort(m), Made: madeIn(m.Address), Beacon: since(m.Heard, now)}
		row.Address, row.AddressBase64 = textOrBase64(m.Address)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b peerRow) int {
		return cmp.Or(strings.Compare(string(a.Role), string(b.Role)), strings.Compare(a.Endpoint, b.Endpoint))
	})
	return rows
}

func (p *picture) storeRows(now time.Time) []storeRow {
	rows := make([]storeRow, 0)
	for _, s := range p.stores() {
		row := storeRow{Endpoint: hostPort(s), Made: madeIn(s.Address), Beacon: since(s.Heard, now)}
		row.Address, row.AddressBase64 = textOrBase64(s.Address)
		for _, q := range p.partitions {
			if stored := q.stored[s.Address]; stored > 0 {
				row.Partitions++
				row.Records += stored
			}
			row.Lacks += q.lacks(s.Address)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b storeRow) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return rows
}

// hostPort is where a member can be reached, as people name it.
func hostPort(m tower.Member) string { return strings.TrimPrefix(m.Endpoint.String(), "tcp://") }
