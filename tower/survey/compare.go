package survey

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Comparison is what stores gave of one partition.
type Comparison struct {
	Topic, Address string
	Stores         []string // host:port of those that hold some of it
	Compared       uint64   // records that two of them gave
	Differ         uint64   // of these, how many are not the same
	First          uint64   // the sequence of the first that is not, where Differ > 0
	Sides          string   // which stores agree about it
	Failures       []Failure
}

// Failure is a store that does not give a record that it has.
type Failure struct {
	Endpoint string
	Sequence uint64 // of the first such record
	Records  uint64 // that it says it has
}

// Compare joins the cluster, compares what its stores hold, and leaves: see Survey.Compare.
func Compare(ctx context.Context, config Config, topics ...string) ([]Comparison, *Snapshot, error) {
	s, err := OpenComparing(config)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	return s.Compare(ctx, topics...)
}

// OpenComparing is Open, for a survey that will Compare: it takes frames as large as records are.
func OpenComparing(config Config) (*Survey, error) {
	return open(config, zsock.Options{}, zmqwire.DirectRecord, zmqwire.GetHeads)
}

// Compare asks all stores for the records that two or more of them hold, and compares everything that they give. topics
// are those to compare, all when there are none. It returns the partitions sorted by topic and address, and the
// snapshot from which it began: what that may lack (Snapshot.Missing) was not compared. It reads and sends every record of these
// topics once for each store. It ends the survey's work: only Close may follow.
func (s *Survey) Compare(ctx context.Context, topics ...string) ([]Comparison, *Snapshot, error) {
	snapshot, err := s.Take(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := newComparison(s, topics)
	if err := c.run(ctx); err != nil {
		return nil, nil, err
	}
	return c.results(), snapshot, nil
}

const (
	// compareAtOnce is how many partitions are compared at the same time.
	compareAtOnce = 32
	// What is asked for at once of one partition: few records until it is known how large they are. A C store queues all
	// of it in memory.
	compareFirst, compareRecords, compareBytes = 64, 4096, 1 << 20
	// comparePatience is how long a store may say nothing before it is asked again, and compareTries how often it is.
	comparePatience = time.Second
	compareTries    = 30
	// compareRefusals is how often a store may end its answer before the record it was asked for. One may have been lost.
	compareRefusals = 3
)

// comparison asks stores for the same records, with one request that all of them hear, and compares what each gives.
type comparison struct {
	*Survey
	waiting []*compared
	active  map[partitionName]*compared
	done    []*compared
	seed    maphash.Seed
	out     *zsock.Batch
}

// compared is one partition in a comparison.
type compared struct {
	name   partitionName
	stores []*comparedStore
	from   uint64 // what is asked for: from here
	to     uint64 // and up to here
	end    uint64 // the second store that has most ends here
	size   int    // of the largest record so far
	news   time.Time
	tries  int

	records uint64 // compared so far
	differ  uint64
	first   uint64 // the first that differs
	sides   string // which stores agree on it
}

// comparedStore is one of the stores that have the partition.
type comparedStore struct {
	member  node.Member
	records uint64   // says its head
	given   []uint64 // hashes of those from from on
	refused int      // how often it ended its answer since it last gave any
	fails   bool     // it did not give what it has
	failed  uint64   // the first that it did not give
}

func newComparison(s *Survey, topics []string) *comparison {
	c := &comparison{
		Survey: s, active: make(map[partitionName]*compared), seed: maphash.MakeSeed(), out: zsock.NewBatch(),
	}
	stores := s.picture.stores()
	for _, name := range s.names() {
		if len(topics) > 0 && !slices.Contains(topics, name.topic) {
			continue
		}
		p := &compared{name: name}
		var ends []uint64
		for _, member := range stores {
			if records := s.partitions[name].stored[member.Address]; records > 0 {
				p.stores = append(p.stores, &comparedStore{member: member, records: records})
				ends = append(ends, records)
			}
		}
		if slices.Sort(ends); len(ends) > 1 {
			p.end = ends[len(ends)-2]
		}
		c.waiting = append(c.waiting, p)
	}
	heads := s.Listener.receive
	s.Listener.receive = func(from node.Member, frames [][]byte) {
		if len(frames) == 2 {
			c.takeRecord(from, frames)
			return
		}
		heads(from, frames)
		c.takeEnd(from, frames)
	}
	return c
}

// run compares everything.
func (c *comparison) run(ctx context.Context) error {
	for len(c.active)+len(c.waiting) > 0 && ctx.Err() == nil {
		now := time.Now()
		c.out.Reset()
		for len(c.active) < compareAtOnce && len(c.waiting) > 0 {
			p := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.active[p.name] = p
			c.next(p, now)
		}
		for _, p := range c.active {
			c.advance(p, now)
		}
		if _, err := c.node.Pub.Send(c.out); err != nil {
			return err
		}
		c.nextAsk = now.Add(time.Hour) // heads that come answer requests for records
		if err := c.Survey.turn(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// next asks for what follows what was compared, or ends with the partition.
func (c *comparison) next(p *compared, now time.Time) {
	if p.from = p.to; p.from >= p.end {
		delete(c.active, p.name)
		c.done = append(c.done, p)
		return
	}
	count := uint64(compareFirst)
	if p.size > 0 {
		count = min(compareRecords, max(1, compareBytes/uint64(p.size)))
	}
	p.to = min(p.end, p.from+count)
	p.tries = 0
	for _, s := range p.stores {
		s.given = s.given[:0]
	}
	c.ask(p, now)
}

// ask asks for what a store has not given yet; the others give it again.
func (c *comparison) ask(p *compared, now time.Time) {
	first := p.to
	for _, s := range p.stores {
		if s.owes(p) {
			first = min(first, p.from+uint64(len(s.given)))
		}
	}
	p.news = now
	err := c.out.AddMessage(&zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(p.name.address), Address: []byte(c.node.Address()),
		Subject: []byte(p.name.topic), Sequence: first, Count: uint32(p.to - first),
	})
	if err != nil {
		c.node.Faults().Note(err)
	}
}

// owes says that the store has more to give of what is asked for.
func (s *comparedStore) owes(p *compared) bool {
	return !s.fails && p.from+uint64(len(s.given)) < min(p.to, s.records)
}

// takeRecord takes what a store gives.
func (c *comparison) takeRecord(from node.Member, frames [][]byte) {
	m := &c.message
	if err := m.Decode(frames); err != nil {
		c.node.Faults().Note(err)
		return
	}
	p := c.active[partitionName{string(m.Subject), string(m.Address)}]
	if p == nil || m.Kind != zmqwire.DirectRecord {
		return
	}
	for _, s := range p.stores {
		// A C store gives one more than it is asked for.
		if s.member.Address == from.Address && m.Sequence == p.from+uint64(len(s.given)) && s.owes(p) {
			s.given = append(s.given, maphash.Bytes(c.seed, m.Content))
			p.size = max(p.size, len(m.Content)+zmqwire.RecordOverhead)
			p.news, p.tries, s.refused = time.Now(), 0, 0
		}
	}
}

// takeEnd takes a store's head: with it an answer ends.
func (c *comparison) takeEnd(from node.Member, frames [][]byte) {
	m := &c.message
	if m.Decode(frames) != nil {
		return // who hears heads has counted it
	}
	p := c.active[partitionName{string(m.Subject), string(m.Address)}]
	if p == nil || m.Kind != zmqwire.DirectHead {
		return
	}
	for _, s := range p.stores {
		if s.member.Address == from.Address && s.owes(p) {
			s.refused++
		}
	}
}

// advance compares what was asked for when all of it is there, or when who owes it stays silent.
func (c *comparison) advance(p *compared, now time.Time) {
	silent, owing := now.Sub(p.news) >= comparePatience, false
	if silent {
		p.tries++
	}
	for _, s := range p.stores {
		if s.owes(p) && (s.refused >= compareRefusals || p.tries >= compareTries) {
			s.fails, s.failed = true, p.from+uint64(len(s.given))
		}
		owing = owing || s.owes(p)
	}
	if owing {
		if silent {
			c.ask(p, now)
		}
		return
	}
	for sequence := p.from; sequence < p.to; sequence++ {
		p.compare(sequence)
	}
	c.next(p, now)
}

// compare compares one record, where two stores gave it.
func (p *compared) compare(sequence uint64) {
	at, sides := int(sequence-p.from), make(map[uint64][]string)
	stores := 0
	for _, s := range p.stores {
		if at < len(s.given) {
			sides[s.given[at]] = append(sides[s.given[at]], hostPort(s.member))
			stores++
		}
	}
	if stores < 2 {
		return
	}
	p.records++
	if len(sides) < 2 {
		return
	}
	if p.differ++; p.differ > 1 {
		return
	}
	p.first = sequence
	var agree []string
	for _, side := range sides {
		agree = append(agree, strings.Join(side, ", "))
	}
	slices.Sort(agree)
	p.sides = strings.Join(agree, " against ")
}

// results are what was found, sorted.
func (c *comparison) results() []Comparison {
	slices.SortFunc(c.done, func(a, b *compared) int {
		return cmp.Or(strings.Compare(a.name.topic, b.name.topic), strings.Compare(a.name.address, b.name.address))
	})
	results := make([]Comparison, 0, len(c.done))
	for _, p := range c.done {
		r := Comparison{
			Topic: p.name.topic, Address: p.name.address, Compared: p.records, Differ: p.differ, First: p.first, Sides: p.sides,
		}
		for _, s := range p.stores {
			r.Stores = append(r.Stores, hostPort(s.member))
			if s.fails {
				r.Failures = append(r.Failures, Failure{hostPort(s.member), s.failed, s.records})
			}
		}
		results = append(results, r)
	}
	return results
}
