package flow

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/google/go-cmp/cmp"
)

// model is a node that takes some partitions' records, and one that has them all and answers. Between them lies a
// network that loses, repeats and reorders. It runs on a clock of its own.
type model struct {
	*rand.Rand
	now  time.Time
	tick int

	loss, repeat float64
	latest       int              // a message's longest way, in ticks
	way          map[int][]func() // what arrives, by tick
	lastArrival  int              // the last tick at which something does
	streams      []*stream
	partitions   map[string]*stream // the same by address
	backlog      Backlog
	answers      Answers
	budget, most int // of bytes: on their way, and kept
	kept         int

	wrong string // the first thing that was wrong
}

// stream is a partition at both of its ends.
type stream struct {
	taker
	contents []string // all that will ever be
	emitted  uint64
	runs     []*zmqwire.Run // what was emitted
	known    uint64         // what the taker has heard of
	early    map[uint64]bool
	flying   uint64    // records before it were asked for
	awaited  time.Time // since when the next of them is awaited
}

const (
	modelTick = 10 * time.Millisecond
	headTicks = 100 // from one HEAD to the next
)

func newModel(seed uint64) *model {
	m := &model{Rand: rand.New(rand.NewPCG(seed, 0)), now: began, way: make(map[int][]func()), partitions: make(map[string]*stream)}
	m.loss, m.repeat = m.Float64()*0.5, m.Float64()*0.3
	m.latest = 1 + m.IntN(40)
	m.budget, m.most = 1<<m.IntN(30), 1<<(12+m.IntN(12))
	partitions, records, size := 1+m.IntN(3), 1+m.IntN(300), m.IntN(100)
	switch m.IntN(100) {
	case 0, 1, 2, 3, 4:
		partitions, records = backlogTurns+m.IntN(30), 1+m.IntN(30)
	case 5:
		// Each gap takes a round trip, so there must not be too many of them.
		partitions, records, m.loss = 1, 3*blockRecords, m.loss/20
	case 6, 7, 8, 9, 10:
		records, size = 1+m.IntN(30), zmqwire.RunBytes
	}
	for i := range partitions {
		address := fmt.Sprint("partition ", i)
		s := &stream{taker: taker{Order: NewOrder("topic", address, 0)}, early: make(map[uint64]bool)}
		for j := range records {
			s.contents = append(s.contents, fmt.Sprintf("%d %d %d %0*d", seed, i, j, m.IntN(size+1), 0))
		}
		m.streams, m.partitions[address] = append(m.streams, s), s
	}
	return m
}

func (m *model) fail(format string, args ...any) {
	if m.wrong == "" {
		m.wrong = fmt.Sprintf("after %v: ", m.now.Sub(began)) + fmt.Sprintf(format, args...)
	}
}

// send puts a message on its way, or several, or none.
func (m *model) send(arrive func()) {
	for m.Float64() >= m.loss {
		at := m.tick + 1 + m.IntN(m.latest)
		m.way[at] = append(m.way[at], arrive)
		m.lastArrival = max(m.lastArrival, at)
		if m.Float64() >= m.repeat {
			return
		}
	}
}

// emit makes a partition's next record, which is kept for those who ask and sent to whoever listens.
func (m *model) emit(s *stream) {
	sequence, content := s.emitted, s.contents[s.emitted]
	if len(s.runs) == 0 || s.runs[len(s.runs)-1].Full(len(content)) {
		s.runs = append(s.runs, &zmqwire.Run{First: sequence})
	}
	s.runs[len(s.runs)-1].Append([]byte(content))
	s.emitted++
	m.send(func() { m.record(s, sequence, content) })
}

// record is what both the consumer and the store do with a record, a bound on what is kept included.
func (m *model) record(s *stream, sequence uint64, content string) {
	s.known = max(s.known, sequence+1)
	before, kept := s.Next(), s.kept
	switch {
	case sequence > before && m.kept+len(content) > m.most:
		s.Saw(sequence)
	default:
		s.taker.record(sequence, content)
	}
	m.kept += s.kept - kept
	if s.kept > kept {
		s.early[sequence] = true
	}
	if s.Next() > before {
		s.awaited = m.now
	}
	m.backlog.Add(&s.Order)
}

// ask checks each request before it is sent.
func (m *model) ask() (wait time.Duration) {
	return m.backlog.Ask(m.now, m.budget, func(o *Order, first uint64, count uint32) {
		s := m.partitions[o.Partition]
		end := first + uint64(count)
		if count == 0 || count > blockRecords || first < s.Next() || end > s.known {
			m.fail("%s asks for %d+%d, next is %d, known are %d", o.Partition, first, count, s.Next(), s.known)
		}
		for sequence := first; sequence < end; sequence++ {
			if s.early[sequence] {
				m.fail("%s asks for %d+%d and has %d", o.Partition, first, count, sequence)
			}
		}
		switch {
		case s.flying <= s.Next():
			s.awaited = m.now
		case first < s.flying && m.now.Sub(s.awaited) < firstRetry:
			m.fail("%s asks for %d+%d, those before %d are on their way, awaited for %v",
				o.Partition, first, count, s.flying, m.now.Sub(s.awaited))
		case first < s.flying:
			s.awaited = m.now
		}
		s.flying = end
		m.send(func() { m.answers.Add(fetch("taker", "topic", o.Partition, first, count), netip.AddrPort{}) })
	})
}

func (m *model) answer() {
	room := m.IntN(500)
	m.answers.Serve(
		m.now,
		func(c *Cursor) *zmqwire.Run {
			runs := m.partitions[c.Partition].runs
			i, _ := slices.BinarySearchFunc(runs, c.Next(), func(run *zmqwire.Run, next uint64) int {
				if run.End() <= next {
					return -1
				}
				return 0
			})
			if i == len(runs) {
				return nil
			}
			return runs[i]
		},
		func(c *Cursor, run *zmqwire.Run, from, to int) int {
			var frames [2][]byte
			to = min(to, from+room)
			for i := from; i < to; i++ {
				sequence := run.First + uint64(i)
				frames[0], frames[1] = appendSequence(c.Header, sequence), run.Content(i)
				var d zmqwire.Message
				if err := d.Decode(frames[:]); err != nil || d.Sequence != sequence {
					m.fail("a direct record of sequence %d, not %d: %v", d.Sequence, sequence, err)
				}
				s, content := m.partitions[string(d.Address)], string(d.Content)
				m.send(func() {
					if !s.Asked(sequence) {
						m.fail("record %d came and was never asked for", sequence)
					}
					m.record(s, sequence, content)
				})
			}
			return max(0, to-from)
		},
		func(*Cursor) {},
	)
}

func appendSequence(header []byte, sequence uint64) []byte {
	frame := slices.Clone(header)
	for shift := 56; shift >= 0; shift -= 8 {
		frame = append(frame, byte(sequence>>shift))
	}
	return frame
}

// run lets time pass until all records are taken.
func (m *model) run() {
	for m.wrong == "" {
		missing, emitting := false, false
		for _, s := range m.streams {
			for n := m.IntN(50); n > 0 && s.emitted < uint64(len(s.contents)); n-- {
				m.emit(s)
			}
			emitting = emitting || s.emitted < uint64(len(s.contents))
			if s.Next() == uint64(len(s.contents)) {
				continue
			}
			missing = true
			if m.tick%headTicks == 0 && s.emitted > 0 {
				head := s.emitted - 1
				m.send(func() {
					s.known = max(s.known, head+1)
					s.Saw(head)
					m.backlog.Add(&s.Order)
				})
			}
		}
		if !missing && m.tick > m.lastArrival {
			return
		}
		if m.now.Sub(began) > 10*time.Hour {
			m.fail("records are still missing")
		}
		arrivals := m.way[m.tick]
		delete(m.way, m.tick)
		m.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
		for _, arrive := range arrivals {
			arrive()
		}
		wait := m.ask()
		m.answer()

		// Times at which nothing happens are left out.
		next := m.tick + 1
		if !emitting && m.answers.Len() == 0 {
			next = min(m.tick+max(1, int(wait/modelTick)), (m.tick/headTicks+1)*headTicks)
			for tick := m.tick + 1; tick < next; tick++ {
				if m.way[tick] != nil {
					next = tick
				}
			}
		}
		m.now = m.now.Add(time.Duration(next-m.tick) * modelTick)
		m.tick = next
	}
}

func TestOrderAndAnswersUnderLoss(t *testing.T) {
	seeds := uint64(1000)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		m := newModel(seed)
		m.run()
		if m.wrong != "" {
			t.Errorf("seed %d: %s", seed, m.wrong)
		}
		for _, s := range m.streams {
			if diff := cmp.Diff(s.contents, s.taken); diff != "" {
				t.Errorf("seed %d: %s (-sent +taken):\n%.1000s", seed, s.Partition, diff)
			}
		}
		if m.kept != 0 {
			t.Errorf("seed %d: %d bytes kept of nothing", seed, m.kept)
		}
		if t.Failed() {
			return
		}
	}
}
