package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// compareCommand is `dafka compare`: do the stores of a cluster hold the same?
func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "compare what the stores hold, record by record",
		ArgsUsage: "[TOPIC...]",
		Description: "All stores, in Go or in C, are asked for the records that two or more of them say they have, and everything they\n" +
			"give is compared. The exit status is 1 when any of it differs, or when a store does not give what it has. So much\n" +
			"is read and sent: on a busy cluster, name the topics.\n\n" +
			"Example: dafka compare packages",
		Flags: nodeFlags(
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json or yaml", Value: "text"},
		),
		Action: runCompare,
	}
}

func runCompare(c *cli.Context) error {
	for _, topic := range c.Args().Slice() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return wrong(c, "%v", err)
		}
	}
	format := c.String("format")
	if err := checkFormat(c, format); err != nil {
		return err
	}
	s, err := openSurvey(c, zmqwire.Options{}, zmqwire.DirectRecord)
	if err != nil {
		return err
	}
	defer s.close()
	stopSaying := sayWaiting(s.config, s.node.Connected)
	if err = s.settle(c.Context); err == nil {
		err = s.refresh(c.Context)
	}
	stopSaying()
	if err == nil {
		comparison := newComparison(s, c.Args().Slice())
		if err = comparison.run(c.Context); err == nil {
			err = comparison.show(os.Stdout, format)
		}
	}
	if c.Context.Err() != nil {
		return nil
	}
	return err
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
	*survey
	waiting []*compared
	active  map[partitionName]*compared
	done    []*compared
	seed    maphash.Seed
	out     *zmqwire.Batch
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
	member  tower.Member
	records uint64   // says its head
	given   []uint64 // hashes of those from from on
	refused int      // how often it ended its answer since it last gave any
	fails   bool     // it did not give what it has
	failed  uint64   // the first that it did not give
}

func newComparison(s *survey, topics []string) *comparison {
	c := &comparison{survey: s, active: make(map[partitionName]*compared), seed: maphash.MakeSeed(), out: zmqwire.NewBatch()}
	stores := s.stores()
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
	hearHeads := s.listener.hear
	s.listener.hear = func(from tower.Member, frames [][]byte) {
		if len(frames) == 2 {
			c.hearRecord(from, frames)
			return
		}
		hearHeads(from, frames)
		c.hearEnd(from, frames)
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
		if err := c.survey.turn(); err != nil {
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
		Kind: zmqwire.Fetch, Routing: []byte(p.name.address), Address: []byte(c.node.Address()), Subject: []byte(p.name.topic),
		Sequence: first, Count: uint32(p.to - first),
	})
	if err != nil {
		c.node.Faults().Note(err)
	}
}

// owes says that the store has more to give of what is asked for.
func (s *comparedStore) owes(p *compared) bool {
	return !s.fails && p.from+uint64(len(s.given)) < min(p.to, s.records)
}

// hearRecord takes what a store gives.
func (c *comparison) hearRecord(from tower.Member, frames [][]byte) {
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

// hearEnd takes a store's head: with it an answer ends.
func (c *comparison) hearEnd(from tower.Member, frames [][]byte) {
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

// compareRow is what a comparison tells of one partition. The names in JSON are part of what programs rely on.
type compareRow struct {
	Topic           string   `json:"topic"`
	TopicBase64     bool     `json:"topic_base64,omitempty"`
	Partition       string   `json:"partition"`
	PartitionBase64 bool     `json:"partition_base64,omitempty"`
	Stores          []string `json:"stores"`             // those that hold some of it
	Compared        uint64   `json:"compared"`           // records that two of them gave
	Differ          uint64   `json:"differ"`             // of these, how many are not the same
	First           *uint64  `json:"first,omitempty"`    // the sequence of the first that is not
	Sides           string   `json:"sides,omitempty"`    // who agrees about it
	Failures        []string `json:"failures,omitempty"` // stores that did not give what they have
}

// show prints what was found; what is wrong is an error too.
func (c *comparison) show(out io.Writer, format string) error {
	slices.SortFunc(c.done, func(a, b *compared) int {
		return cmp.Or(strings.Compare(a.name.topic, b.name.topic), strings.Compare(a.name.address, b.name.address))
	})
	rows, wrong := make([]compareRow, 0), 0
	for _, p := range c.done {
		row := compareRow{Stores: make([]string, 0), Compared: p.records, Differ: p.differ, Sides: p.sides}
		row.Topic, row.TopicBase64 = textOrBase64(p.name.topic)
		row.Partition, row.PartitionBase64 = textOrBase64(p.name.address)
		for _, s := range p.stores {
			row.Stores = append(row.Stores, hostPort(s.member))
			if s.fails {
				row.Failures = append(row.Failures, fmt.Sprintf("%s does not give record %d of %d", hostPort(s.member), s.failed, s.records))
			}
		}
		if p.differ > 0 {
			row.First = &p.first
		}
		if p.differ > 0 || len(row.Failures) > 0 {
			wrong++
		}
		rows = append(rows, row)
	}
	err := show(out, format, false, view{rows, func(w io.Writer) {
		fmt.Fprintln(w, "TOPIC\tPARTITION\tSTORES\tCOMPARED\tRESULT")
		for _, r := range rows {
			result := "same"
			if len(r.Stores) < 2 {
				result = "nothing to compare with"
			}
			if r.Differ > 0 {
				result = fmt.Sprintf("%s from %d on: %s", count(r.Differ, "record differs", "records differ"), *r.First, r.Sides)
			} else if len(r.Failures) > 0 {
				result = strings.Join(r.Failures, ", ")
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", printable(r.Topic, r.TopicBase64), printable(r.Partition, r.PartitionBase64), len(r.Stores),
				r.Compared, result)
		}
	}})
	if err == nil && wrong > 0 {
		err = &statusError{status: statusFailure}
	}
	return err
}
