package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// cancelled is a context for calls that must not have to wait.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// open opens a producer that the end of the test closes, acked or not.
func open(t testing.TB, config Config) *Producer {
	t.Helper()
	p, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(cancelled()) })
	return p
}

// alone opens a producer whose tower does not exist.
func alone(t testing.TB, config Config) *Producer {
	t.Helper()
	const nowhere = "tcp://127.0.0.1:1"
	config.Topic = "hello"
	config.Node = tower.NodeConfig{Pub: []string{nowhere}, Sub: []string{nowhere}, Bind: "tcp://127.0.0.1:*"}
	return open(t, config)
}

func send(t testing.TB, p *Producer, contents ...[]byte) {
	t.Helper()
	for _, content := range contents {
		if _, err := p.Send(context.Background(), content); err != nil {
			t.Fatal(err)
		}
	}
}

// acked sends n records and has the first of them acked.
func acked(t testing.TB, p *Producer, store *peer, n, acked int) {
	t.Helper()
	for i := range n {
		send(t, p, fmt.Appendf(nil, "record %d", i))
	}
	eventually(t, "all records published", func() bool { return published(p) == uint64(n) })
	if acked > 0 {
		ack(store, p, uint64(acked-1))
		eventually(t, "ACK", func() bool { return p.Acked() == uint64(acked) })
	}
}

// published is how many records the node has sent; an ACK for more is refused.
func published(p *Producer) uint64 {
	_, sent, _ := p.log.positions()
	return sent
}

func ack(from *peer, p *Producer, sequence uint64) {
	from.Say(zmqwire.Message{
		Kind: zmqwire.Ack, Routing: []byte(p.Address()), Subject: []byte(p.topic), Sequence: sequence,
	})
}

// meet waits until a store and a producer hear each other: the producer must have a HEAD to say.
func meet(t testing.TB, store *peer, p *Producer) {
	t.Helper()
	eventually(t, "the producer listens", func() bool {
		return store.Subscribed("K"+p.Address()) && store.Subscribed("F"+p.Address())
	})
	eventually(t, "a HEAD", func() bool { return len(store.Heard(zmqwire.Head)) > 0 })
}

type record struct {
	Sequence uint64
	Content  string
}

func recordsOf(messages []*zmqwire.Message) (records []record) {
	for _, m := range messages {
		records = append(records, record{m.Sequence, string(m.Content)})
	}
	return records
}

// mixed gives a content unlike all others: mostly short, some empty, some longer than a run.
func mixed(rng *rand.Rand, sequence int) []byte {
	size := rng.IntN(300)
	switch rng.IntN(100) {
	case 0:
		return nil
	case 1:
		size = rng.IntN(2 * zmqwire.RunBytes)
	}
	return append(fmt.Appendf(nil, "%d:", sequence), bytes.Repeat([]byte{byte(sequence)}, size)...)
}

// C producers answer with wrong contents once an ACK has cut a chunk. So: many requests, acks in between and records
// still being added, each answer compared with what was sent.
func TestFetchGivesTheRightContents(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	rng := rand.New(rand.NewPCG(46, 1))
	var sent []record
	add := func(n int) {
		for range n {
			content := mixed(rng, len(sent))
			send(t, p, content)
			sent = append(sent, record{uint64(len(sent)), string(content)})
		}
		eventually(t, "all records published", func() bool { return published(p) == uint64(len(sent)) })
	}
	requests := 0
	// Each request is another requester's: one that asks again before its last answer has ended is not answered twice.
	fetch := func(first, count int) {
		requests++
		store.Say(zmqwire.Message{
			Kind: zmqwire.Fetch, Routing: []byte(p.Address()), Address: fmt.Append(nil, "REQUESTER ", requests),
			Subject: []byte("hello"), Sequence: uint64(first), Count: uint32(count),
		})
	}
	add(2000)
	meet(t, store, p)

	kept := 0 // the first record not acked
	for range 200 {
		add(rng.IntN(20))
		if rng.IntN(4) == 0 {
			kept = min(kept+rng.IntN(60), len(sent)-1)
			ack(store, p, uint64(kept))
			kept++
			add(1)
		}
		// One request in five goes beyond the end.
		first := kept + rng.IntN(len(sent)-kept)
		count := 1 + rng.IntN(len(sent)-first)
		want := sent[first : first+count]
		if rng.IntN(5) == 0 {
			count = 1000 + rng.IntN(1<<31)
			want = sent[first:]
		}
		store.Forget()
		fetch(first, count)
		eventually(t, fmt.Sprintf("records %d to %d", first, first+len(want)-1), func() bool {
			return len(store.Heard(zmqwire.DirectRecord)) >= len(want)
		})
		if diff := cmp.Diff(want, recordsOf(store.Heard(zmqwire.DirectRecord))); diff != "" {
			t.Fatalf("answer to FETCH %d, %d with %d acked (-sent +given):\n%s", first, count, kept, diff)
		}
	}

	// What is acked may be gone, but never wrong. The last request tells when the others are answered.
	store.Forget()
	for first := 0; first < kept; first += 7 {
		fetch(first, 3)
	}
	add(1)
	fetch(len(sent)-1, 1)
	eventually(t, "the last record", func() bool {
		given := store.Heard(zmqwire.DirectRecord)
		return len(given) > 0 && given[len(given)-1].Sequence == uint64(len(sent)-1)
	})
	for _, m := range store.Heard(zmqwire.DirectRecord) {
		if diff := cmp.Diff(sent[m.Sequence].Content, string(m.Content)); diff != "" {
			t.Errorf("record %d, acked (-sent +given):\n%s", m.Sequence, diff)
		}
	}
}

// The log under random appends, sends and ACKs, against a slice of all contents.
func TestLogAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 46))
		l := &log{most: 1 << 40}
		var all []string
		for range 3000 {
			switch rng.IntN(5) {
			case 0, 1:
				content := mixed(rng, len(all))
				if sequence, ok := l.append(content); !ok || sequence != uint64(len(all)) {
					t.Fatalf("seed %d: append gives %d, %v, want %d", seed, sequence, ok, len(all))
				}
				all = append(all, string(content))
			case 2:
				run, first := l.unsent()
				if n := run.Len() - first; n > 0 {
					for i := first; i < run.Len(); i++ {
						sequence := run.First + uint64(i)
						if sequence < l.sent || string(run.Content(i)) != all[sequence] {
							t.Fatalf("seed %d: unsent gives another record as %d", seed, sequence)
						}
					}
					l.markSent(1 + rng.IntN(n))
				} else if l.sent != l.next {
					t.Fatalf("seed %d: %d of %d sent, and nothing to send", seed, l.sent, l.next)
				}
			case 3:
				records := min(l.sent, l.acked+uint64(rng.IntN(40))-uint64(min(l.acked, 3)))
				before := l.acked
				if l.ack(records); l.acked != max(before, records) {
					t.Fatalf("seed %d: ack of %d records moves acked from %d to %d", seed, records, before, l.acked)
				}
			case 4:
				if len(all) == 0 {
					continue
				}
				sequence := rng.Uint64N(uint64(len(all)) + 2)
				run := l.kept(sequence)
				if run.Len() == 0 {
					if sequence >= l.acked && sequence < l.sent {
						t.Fatalf("seed %d: record %d of %d to %d is not kept", seed, sequence, l.acked, l.sent)
					}
					continue
				}
				if sequence < run.First || sequence >= run.End() || run.End() > l.sent {
					t.Fatalf("seed %d: kept(%d) gives %d to %d of %d sent", seed, sequence, run.First, run.End(), l.sent)
				}
				for i := range run.Len() {
					if string(run.Content(i)) != all[run.First+uint64(i)] {
						t.Fatalf("seed %d: kept gives another record as %d", seed, run.First+uint64(i))
					}
				}
			}
		}
		// Nothing is kept when all is acked.
		for l.sent < l.next {
			run, first := l.unsent()
			l.markSent(run.Len() - first)
		}
		if l.ack(l.next); l.bytes != 0 || len(l.runs) != 0 {
			t.Errorf("seed %d: all acked, and %d bytes kept in %d runs", seed, l.bytes, len(l.runs))
		}
	}
}

func TestAcks(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	acked(t, p, store, 10, 0)
	meet(t, store, p)
	// Counted faults, and an ACK that moves, tell when one was looked at; where neither is to happen, the next one does.
	faults := make(map[zmqwire.Fault]uint64)
	for _, test := range []struct {
		what     string
		routing  string
		subject  string
		sequence uint64
		fault    zmqwire.Fault
		acked    uint64
	}{
		{what: "ahead of what was sent", sequence: 10, fault: ErrAckAhead, acked: 0},
		{what: "far ahead", sequence: 1<<64 - 1, fault: ErrAckAhead, acked: 0},
		{what: "of five records", sequence: 4, acked: 5},
		{what: "repeated", sequence: 4, acked: 5},
		{what: "that goes back", sequence: 2, acked: 5},
		{what: "ahead again", sequence: 11, fault: ErrAckAhead, acked: 5},
		{what: "for another topic", subject: "hello2", sequence: 7, fault: zmqwire.ErrForeign, acked: 5},
		{what: "for a longer address", routing: p.Address() + "0", sequence: 7, fault: zmqwire.ErrForeign, acked: 5},
		{what: "of all", sequence: 9, acked: 10},
	} {
		m := zmqwire.Message{
			Kind: zmqwire.Ack, Routing: []byte(p.Address()), Subject: []byte("hello"), Sequence: test.sequence,
		}
		if test.routing != "" {
			m.Routing = []byte(test.routing)
		}
		if test.subject != "" {
			m.Subject = []byte(test.subject)
		}
		store.Say(m)
		if test.fault != "" {
			faults[test.fault]++
		}
		eventually(t, "ACK "+test.what, func() bool {
			return p.Acked() == test.acked && p.Stats().Faults[test.fault] == faults[test.fault]
		})
	}
	if diff := cmp.Diff(faults, p.Stats().Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if s := p.Stats(); s.UnackedBytes != 0 || s.Sent != 10 {
		t.Errorf("%d bytes kept of %d records, all acked", s.UnackedBytes, s.Sent)
	}
}

// A store that has more records of the producer's partition than it sent shows that the given address was used. The
// store may come when the producer has begun.
func TestAckAheadOfAGivenAddress(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	config := at(tw)
	config.Address = "GIVEN"
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: config})
	send(t, p, []byte("a"), []byte("b"))
	eventually(t, "all records published", func() bool { return published(p) == 2 })
	store := join(t, tw, "STORE", nil)
	meet(t, store, p)
	ack(store, p, 0)
	eventually(t, "ACK", func() bool { return p.Acked() == 1 })
	ack(store, p, 2)
	for what, err := range map[string]error{
		"Wait": p.Wait(context.Background()), "Flush": p.Flush(context.Background()), "Close": p.Close(context.Background()),
	} {
		if !errors.Is(err, ErrAddressUsed) {
			t.Errorf("%s: %v, want %v", what, err, ErrAddressUsed)
		}
	}
}

// A store that is silent holds up the first record of a given address for a while, and not for ever.
func TestInquiryIsBounded(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	join(t, tw, "SILENT", nil, "F", "G", "WSILENT")
	config := at(tw)
	config.Address = "GIVEN"
	p := open(t, Config{Topic: "hello", Node: config})
	begin := time.Now()
	send(t, p, []byte("a"))
	eventually(t, "the record published", func() bool { return published(p) == 1 })
	if took := time.Since(begin); took < inquiryTime-time.Second {
		t.Errorf("published after %v, without waiting for the store", took)
	}
}

// With MinAcks, a record is acked when so many different stores have it: one that says so twice is still one.
func TestMinAcks(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	var stores []*peer
	for _, name := range []string{"ONE", "TWO", "THREE"} {
		stores = append(stores, join(t, tw, name, nil))
	}
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, MinAcks: 2, Node: at(tw)})
	acked(t, p, stores[0], 10, 0)
	for _, store := range stores {
		meet(t, store, p)
	}
	faults := uint64(0)
	for i, step := range []struct {
		store    int
		sequence uint64
		acked    uint64
	}{
		{0, 9, 0},
		{0, 9, 0},
		{1, 4, 5},
		{1, 2, 5},
		{2, 7, 8},
		{0, 9, 8},
		{1, 6, 8},
		{2, 9, 10},
	} {
		ack(stores[step.store], p, step.sequence)
		ack(stores[step.store], p, 99) // counted when the one before it was looked at
		faults++
		eventually(t, "the ACKs looked at", func() bool { return p.Stats().Faults[ErrAckAhead] == faults })
		if got := p.Acked(); got != step.acked {
			t.Errorf("step %d: %d records acked, want %d", i, got, step.acked)
		}
	}
	var got []uint64
	for _, store := range p.Stats().Stores {
		got = append(got, store.Acked)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]uint64{7, 10, 10}, got); diff != "" {
		t.Errorf("records acked by each store (-want +got):\n%s", diff)
	}

	// What not enough stores have, Close says for each store.
	send(t, p, []byte("of one store"))
	eventually(t, "the record published", func() bool { return published(p) == 11 })
	ack(stores[0], p, 10)
	eventually(t, "the ACK", func() bool {
		return slices.ContainsFunc(p.Stats().Stores, func(s StoreAcks) bool { return s.Acked == 11 })
	})
	var unacked *UnackedError
	if err := p.Close(cancelled()); !errors.As(err, &unacked) {
		t.Fatalf("Close: %v", err)
	}
	if want := (UnackedError{Count: 1, MinAcks: 2, Stores: p.Stats().Stores}); !cmp.Equal(*unacked, want) || len(unacked.Stores) != 3 {
		t.Errorf("Close: %+v, want %+v", *unacked, want)
	}
}

func TestQuorumIsBounded(t *testing.T) {
	q := quorum{stores: 2}
	store := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(i))
	}
	q.ack(store(1), 100)
	for i := range 10 * maxStores {
		if got := q.ack(store(10+i), 1); got != 1 {
			t.Fatalf("%d records acked by two stores, want 1", got)
		}
	}
	if len(q.acked) > maxStores {
		t.Errorf("%d stores are remembered, want %d", len(q.acked), maxStores)
	}
	if got := q.ack(store(2), 90); got != 90 {
		t.Errorf("%d records acked by two stores, want 90: who acked most is remembered", got)
	}
}

func TestBadMessagesAreCounted(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	acked(t, p, store, 1, 0)
	meet(t, store, p)
	good := zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(p.Address()), Address: []byte("STORE"), Subject: []byte("hello"), Count: 1,
	}
	frame, err := good.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(m *zmqwire.Message)) []byte {
		m := good
		change(&m)
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	faults := make(map[zmqwire.Fault]uint64)
	for _, test := range []struct {
		fault  zmqwire.Fault
		frames [][]byte
	}{
		{zmqwire.ErrTruncated, [][]byte{frame[:len(frame)-1]}},
		{zmqwire.ErrTrailing, [][]byte{append(bytes.Clone(frame), 0)}},
		{zmqwire.ErrSurplusFrame, [][]byte{frame, nil}},
		{zmqwire.ErrSurplusFrame, [][]byte{frame, nil, nil, nil}},
		{zmqwire.ErrUnterminated, [][]byte{[]byte("F" + p.Address())}},
		{zmqwire.ErrForeign, [][]byte{with(func(m *zmqwire.Message) { m.Subject = []byte("hell") })}},
		{zmqwire.ErrForeign, [][]byte{with(func(m *zmqwire.Message) { m.Routing = []byte(p.Address() + "x") })}},
		{zmqwire.ErrNoName, [][]byte{with(func(m *zmqwire.Message) { m.Address = nil })}},
	} {
		store.SayFrames(test.frames...)
		faults[test.fault]++
	}
	store.Forget()
	store.Say(good)
	eventually(t, "an answer to the good message after the bad ones", func() bool {
		return len(store.Heard(zmqwire.DirectRecord)) > 0
	})
	if diff := cmp.Diff(faults, p.Stats().Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	want := []record{{0, "record 0"}}
	if diff := cmp.Diff(want, recordsOf(store.Heard(zmqwire.DirectRecord))); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestHeads(t *testing.T) {
	t.Parallel()
	const interval = 100 * time.Millisecond
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: interval, Node: at(tw)})
	// Several intervals pass before the first record: as many as a second producer needs for its HEADs.
	other := open(t, Config{Topic: "other", HeadInterval: interval, Node: at(tw)})
	send(t, other, nil)
	eventually(t, "HEADs of the other producer", func() bool { return len(store.Heard(zmqwire.Head)) >= 3 })
	eventually(t, "the producer listens", func() bool { return store.Subscribed("K" + p.Address()) })
	other.Close(cancelled())
	for _, m := range store.Heard(zmqwire.Head) {
		if string(m.Address) == p.Address() {
			t.Errorf("HEAD %d before the first record", m.Sequence)
		}
	}
	store.Forget()

	begin := time.Now()
	send(t, p, []byte("a"), []byte("b"), []byte("c"))
	for n := 1; n <= 3; n++ {
		eventually(t, "HEADs", func() bool { return len(store.Heard(zmqwire.Head)) >= n })
		// The node looks at the clock a moment before it looks at the records.
		if passed := time.Since(begin); passed < time.Duration(n)*interval-interval/2 {
			t.Errorf("HEAD number %d came after %v", n, passed)
		}
	}
	type head struct {
		Routing, Address, Subject string
		Sequence                  uint64
	}
	want := head{"hello", p.Address(), "hello", 2}
	for _, m := range store.Heard(zmqwire.Head) {
		got := head{string(m.Routing), string(m.Address), string(m.Subject), m.Sequence}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("HEAD (-want +got):\n%s", diff)
		}
	}
	// HEADs go on when all is acked: a consumer may still be behind.
	ack(store, p, 2)
	eventually(t, "ACK", func() bool { return p.Acked() == 3 })
	store.Forget()
	eventually(t, "a HEAD after the ACK", func() bool { return len(store.Heard(zmqwire.Head)) > 0 })
}

// The bytes of a record as they go out, and all contents in order.
func TestRecords(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "a topic \xff", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	send(t, p, nil)
	meet(t, store, p)
	store.Forget()
	rng := rand.New(rand.NewPCG(46, 2))
	var want []record
	for i := 1; i <= 1000; i++ {
		content := mixed(rng, i)
		reused := bytes.Clone(content)
		send(t, p, reused)
		clear(reused) // Send took a copy
		want = append(want, record{uint64(i), string(content)})
	}
	eventually(t, "all records", func() bool { return len(store.Heard(zmqwire.Record)) >= len(want) })
	got := store.Heard(zmqwire.Record)
	if diff := cmp.Diff(want, recordsOf(got)); diff != "" {
		t.Errorf("records (-sent +heard):\n%s", diff)
	}
	for _, m := range got {
		if string(m.Routing) != "a topic \xff" || string(m.Subject) != "a topic \xff" || string(m.Address) != p.Address() {
			t.Fatalf("record %d: routing %q, subject %q, address %q", m.Sequence, m.Routing, m.Subject, m.Address)
		}
	}
}

func TestMaxUnackedBytes(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	const each, most = 96 + zmqwire.RecordOverhead, 10
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, MaxUnackedBytes: each*most + each/2, Node: at(tw)})
	content := bytes.Repeat([]byte("x"), 96)
	for i := range most {
		// While there is room, Send does not look at its context.
		if sequence, err := p.Send(cancelled(), content); err != nil || sequence != uint64(i) {
			t.Fatalf("Send number %d: %d, %v", i, sequence, err)
		}
	}
	if _, err := p.Send(cancelled(), content); !errors.Is(err, context.Canceled) {
		t.Errorf("Send with too much unacked and a cancelled context: %v", err)
	}
	if s := p.Stats(); s.Sent != most || s.UnackedBytes != each*most {
		t.Errorf("Sent %d, UnackedBytes %d, want %d and %d", s.Sent, s.UnackedBytes, most, each*most)
	}
	meet(t, store, p)
	sent := make(chan error)
	go func() {
		sequence, err := p.Send(context.Background(), content)
		if err == nil && sequence != most {
			err = fmt.Errorf("sequence %d, want %d", sequence, most)
		}
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("Send returned (%v) with too much unacked", err)
	case <-time.After(20 * time.Millisecond): // one that does not wait has returned by now
	}
	ack(store, p, most-1)
	if err := <-sent; err != nil {
		t.Errorf("Send after ACK: %v", err)
	}
	if s := p.Stats(); s.Sent != most+1 || s.UnackedBytes != each {
		t.Errorf("Sent %d, UnackedBytes %d, want %d and %d", s.Sent, s.UnackedBytes, most+1, each)
	}
}

func TestFullProducer(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{
		Topic: "hello", HeadInterval: 10 * time.Millisecond, MaxUnackedBytes: 1000, FailWhenFull: true, Node: at(tw),
	})
	sequence := uint64(0)
	for _, step := range []struct {
		what string
		size int
		want error
		ack  bool // all, afterwards
	}{
		{what: "small", size: 500},
		{what: "too much besides it", size: 493, want: ErrFull},
		{what: "as much as there is room for", size: 492},
		{what: "empty", want: ErrFull, ack: true},
		{what: "larger than the bound, alone", size: 5000},
		{what: "empty besides it", want: ErrFull, ack: true},
		{what: "empty", ack: true},
	} {
		got, err := p.Send(context.Background(), make([]byte, step.size))
		if err != step.want {
			t.Fatalf("Send, %s: error %v, want %v", step.what, err, step.want)
		}
		if err == nil {
			if got != sequence {
				t.Errorf("Send, %s: sequence %d, want %d", step.what, got, sequence)
			}
			sequence++
		}
		if step.ack {
			meet(t, store, p)
			eventually(t, "all records published", func() bool { return published(p) == sequence })
			ack(store, p, sequence-1)
			eventually(t, "ACK", func() bool { return p.Acked() == sequence })
		}
	}
}

func TestWaitAcked(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	if err := p.Flush(cancelled()); err != nil {
		t.Errorf("Flush of nothing: %v", err)
	}
	acked(t, p, store, 5, 0)
	meet(t, store, p)
	waits := func(ctx context.Context) map[string]error {
		return map[string]error{"2": p.WaitAcked(ctx, 2), "3": p.WaitAcked(ctx, 3), "flush": p.Flush(ctx)}
	}
	check := func(want map[string]error) {
		t.Helper()
		if diff := cmp.Diff(want, waits(cancelled()), cmp.Comparer(errors.Is)); diff != "" {
			t.Errorf("with %d acked (-want +got):\n%s", p.Acked(), diff)
		}
	}
	check(map[string]error{"2": context.Canceled, "3": context.Canceled, "flush": context.Canceled})

	// Each of these waits for an ACK that comes later.
	waited := make(chan error)
	go func() { waited <- p.WaitAcked(context.Background(), 2) }()
	ack(store, p, 2)
	if err := <-waited; err != nil {
		t.Errorf("WaitAcked: %v", err)
	}
	check(map[string]error{"2": nil, "3": context.Canceled, "flush": context.Canceled})
	go func() { waited <- p.Flush(context.Background()) }()
	ack(store, p, 4)
	if err := <-waited; err != nil {
		t.Errorf("Flush: %v", err)
	}
	check(map[string]error{"2": nil, "3": nil, "flush": nil})

	send(t, p, []byte("never acked"))
	go func() { waited <- p.WaitAcked(context.Background(), 5) }()
	p.Close(cancelled())
	if err := <-waited; err != ErrClosed {
		t.Errorf("WaitAcked while the producer is closed: %v", err)
	}
	if err := p.Flush(context.Background()); err != ErrClosed {
		t.Errorf("Flush after Close: %v", err)
	}
	if err := p.WaitAcked(context.Background(), 4); err != nil {
		t.Errorf("WaitAcked after Close for what was acked: %v", err)
	}
}

// OnAck is called for each record in order, however slow it is, and not after Close.
func TestOnAck(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	var called atomic.Uint64
	held := make(chan struct{})
	p := open(t, Config{
		Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw), MaxUnackedBytes: 1000,
		OnAck: func(sequence uint64) {
			if sequence == 0 {
				<-held
			}
			if n := called.Add(1) - 1; n != sequence {
				t.Errorf("call number %d is of record %d", n, sequence)
			}
		},
	})
	// While OnAck does not return, records are taken, published and acked.
	send(t, p, []byte("first"))
	meet(t, store, p)
	for i := range uint64(500) {
		eventually(t, "the record published", func() bool { return published(p) == i+1 })
		ack(store, p, i)
		send(t, p, fmt.Append(nil, i))
	}
	eventually(t, "500 acked", func() bool { return p.Acked() == 500 })
	if n := called.Load(); n != 0 {
		t.Errorf("%d calls ended before the first", n)
	}
	close(held)
	p.Close(cancelled()) // record 500 is not acked
	if n := called.Load(); n != 500 {
		t.Errorf("%d calls, want 500", n)
	}
}

// A record that waits for its ACK for too long stops Send and Flush until it is acked; it is not lost.
func TestDeliveryTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, DeliveryTimeout: timeout, Node: at(tw)})
	begin := time.Now()
	send(t, p, []byte("a"), []byte("b"))
	if err := p.Flush(context.Background()); err != ErrOverdue || time.Since(begin) < timeout {
		t.Errorf("Flush after %v: %v, want %v", time.Since(begin), err, ErrOverdue)
	}
	if _, err := p.Send(context.Background(), nil); err != ErrOverdue {
		t.Errorf("Send: %v, want %v", err, ErrOverdue)
	}
	meet(t, store, p)
	ack(store, p, 0)
	if err := p.WaitAcked(context.Background(), 0); err != nil && err != ErrOverdue {
		t.Errorf("WaitAcked: %v", err)
	}
	ack(store, p, 1)
	eventually(t, "the ACK", func() bool { return p.Acked() == 2 })
	eventually(t, "Send takes records", func() bool {
		sequence, err := p.Send(context.Background(), []byte("c"))
		return err == nil && sequence == 2
	})
	if got := recordsOf(store.Heard(zmqwire.Record)); len(got) > 0 && got[len(got)-1].Sequence > 2 {
		t.Errorf("records %v", got)
	}
}

func TestCloseCountsTheUnacked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sent, acked int
		want        uint64
	}{{0, 0, 0}, {7, 0, 7}, {7, 3, 4}, {7, 7, 0}} {
		t.Run(fmt.Sprintf("%d of %d acked", test.acked, test.sent), func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			store := join(t, tw, "STORE", nil)
			p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
			if test.sent > 0 {
				acked(t, p, store, test.sent, 0)
				meet(t, store, p)
			}
			if test.acked > 0 {
				ack(store, p, uint64(test.acked-1))
				eventually(t, "ACK", func() bool { return p.Acked() == uint64(test.acked) })
			}
			for range 2 {
				err := p.Close(cancelled())
				var unacked *UnackedError
				switch {
				case test.want == 0 && err != nil:
					t.Errorf("Close: %v", err)
				case test.want > 0 && (!errors.As(err, &unacked) || unacked.Count != test.want):
					t.Errorf("Close: %v, want %d unacked", err, test.want)
				}
			}
			if _, err := p.Send(context.Background(), nil); err != ErrClosed {
				t.Errorf("Send after Close: %v", err)
			}
		})
	}
}

func TestCloseWaitsForAcks(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	store := join(t, tw, "STORE", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	acked(t, p, store, 5, 0)
	meet(t, store, p)
	closed := make(chan error)
	go func() { closed <- p.Close(context.Background()) }()
	eventually(t, "no more records taken", func() bool {
		_, err := p.Send(context.Background(), []byte("while closing"))
		return err == ErrClosed
	})
	select {
	case err := <-closed:
		t.Fatalf("Close returned (%v) with records unacked", err)
	default:
	}
	unacked := p.Stats().Sent
	// Closing, the producer still answers.
	store.Forget()
	store.Say(zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(p.Address()), Address: []byte("STORE"), Subject: []byte("hello"),
		Sequence: 4, Count: 1,
	})
	eventually(t, "an answer", func() bool { return len(store.Heard(zmqwire.DirectRecord)) == 1 })
	eventually(t, "all records published", func() bool { return published(p) == unacked })
	ack(store, p, unacked-1)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestTerminateUnacked: without a store all records reach those who listen, and Close returns.
func TestTerminateUnacked(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	listener := join(t, tw, "LISTENER", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, TerminateUnacked: true, Node: at(tw)})
	send(t, p, nil)
	meet(t, listener, p)
	listener.Forget()
	var want []record
	for i := uint64(1); i <= 1000; i++ {
		want = append(want, record{i, fmt.Sprint("record ", i)})
		send(t, p, fmt.Append(nil, "record ", i))
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	eventually(t, "all records", func() bool { return len(listener.Heard(zmqwire.Record)) >= len(want) })
	if diff := cmp.Diff(want, recordsOf(listener.Heard(zmqwire.Record))); diff != "" {
		t.Errorf("records (-sent +heard):\n%s", diff)
	}
}

func TestCloseEndsAWaitingSend(t *testing.T) {
	t.Parallel()
	p := alone(t, Config{MaxUnackedBytes: 10})
	send(t, p, []byte("0123456789"))
	sent := make(chan error)
	go func() {
		_, err := p.Send(context.Background(), nil)
		sent <- err
	}()
	p.Close(cancelled())
	if err := <-sent; err != ErrClosed {
		t.Errorf("Send while the producer is closed: %v", err)
	}
}

// What was published to nobody, because a queue was full, is not what TerminateUnacked may leave behind: until a store
// has it, Close says so.
func TestTerminateUnackedOfWhatWasMissed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ acked, want uint64 }{{0, 4}, {1, 3}, {2, 0}, {4, 0}} {
		p := alone(t, Config{TerminateUnacked: true})
		send(t, p, []byte("a"), []byte("b"))
		eventually(t, "two records published", func() bool { return published(p) == 2 })
		p.log.markMissed(0)
		send(t, p, []byte("c"), []byte("d"))
		eventually(t, "all records published", func() bool { return published(p) == 4 })
		p.log.ack(test.acked)
		err := p.Close(cancelled())
		var unacked *UnackedError
		if errors.As(err, &unacked); unacked == nil && (test.want > 0 || err != nil) || unacked != nil && unacked.Count != test.want {
			t.Errorf("with %d acked, Close: %v, want %d unacked", test.acked, err, test.want)
		}
	}
}

func TestSendFromManyGoroutines(t *testing.T) {
	t.Parallel()
	const senders, each = 8, 2000
	tw := openTower(t)
	var mu sync.Mutex
	heard := make(map[uint64]string)
	// A store that takes records in order and acks the last of each message.
	store := join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Record || m.Kind == zmqwire.DirectRecord {
			mu.Lock()
			heard[m.Sequence] = string(m.Content)
			mu.Unlock()
			p.Say(zmqwire.Message{Kind: zmqwire.Ack, Routing: m.Address, Subject: m.Subject, Sequence: m.Sequence})
		}
	})
	// A small bound makes senders wait for each other's ACKs.
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, MaxUnackedBytes: 20_000, Node: at(tw)})
	send(t, p, []byte("first"))
	meet(t, store, p)
	ack(store, p, 0)

	want := map[uint64]string{}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				content := fmt.Sprintf("%d from %d", j, i)
				sequence, err := p.Send(context.Background(), []byte(content))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if before, ok := want[sequence]; ok {
					t.Errorf("sequence %d given to %q and to %q", sequence, before, content)
				}
				want[sequence] = content
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	delete(heard, 0)
	if len(want) != senders*each {
		t.Errorf("%d sequences for %d records", len(want), senders*each)
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("records (-sent +heard):\n%s", diff)
	}
}

// A peer that does not read fills its queue. The producer goes on without it at the pace of the store, which misses
// nothing.
func TestSlowPeerIsLeftBehind(t *testing.T) {
	t.Parallel()
	const records = 30_000
	tw := openTower(t)
	var next atomic.Uint64
	next.Store(1) // record 0 may come before the store has joined
	store := join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
		if m.Kind != zmqwire.Record || m.Sequence == 0 {
			return
		}
		if m.Sequence != next.Load() || !bytes.HasPrefix(m.Content, fmt.Appendf(nil, "%d:", m.Sequence)) {
			t.Errorf("store: record %d instead of %d: %.20q", m.Sequence, next.Load(), m.Content)
		}
		if next.Store(m.Sequence + 1); m.Sequence%50 == 0 || m.Sequence == records-1 {
			p.Say(zmqwire.Message{Kind: zmqwire.Ack, Routing: m.Address, Subject: m.Subject, Sequence: m.Sequence})
		}
	})
	slow := join(t, tw, "SLOW", nil)
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	send(t, p, []byte("0:"))
	meet(t, store, p)
	meet(t, slow, p)
	slow.Listen(false)

	padding := strings.Repeat("x", 1000)
	for i := 1; i < records; i++ {
		send(t, p, fmt.Appendf(nil, "%d:%s", i, padding))
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("%v: %d of %d acked", err, p.Acked(), records)
	}

	// Otherwise nothing was tested: the slow one did miss records.
	slow.Listen(true)
	eventually(t, "a HEAD for the slow peer", func() bool {
		heads := slow.Heard(zmqwire.Head)
		return len(heads) > 0 && heads[len(heads)-1].Sequence == records-1
	})
	if n := len(slow.Heard(zmqwire.Record)); n >= records-1 {
		t.Errorf("the slow peer has %d records of %d: it was never left behind", n, records)
	}
}

// Large records for a peer that does not read fill the memory they may, and no more. The store then gets what it asks
// for: all of it, in order.
func TestLargeRecordsBesideAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	const records, size = 100, 1 << 20
	tw := openTower(t)
	var next atomic.Uint64
	direct := 0
	join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
		switch m.Kind {
		case zmqwire.Record, zmqwire.DirectRecord:
			if m.Sequence != next.Load() {
				return
			}
			if want := large(int(m.Sequence), size); !bytes.Equal(m.Content, want) {
				t.Errorf("store: record %d is %.20q, want %.20q", m.Sequence, m.Content, want)
			}
			if m.Kind == zmqwire.DirectRecord {
				direct++
			}
			next.Add(1)
			p.Forget()
			p.Say(zmqwire.Message{Kind: zmqwire.Ack, Routing: m.Address, Subject: m.Subject, Sequence: m.Sequence})
		case zmqwire.Head:
			if m.Sequence >= next.Load() {
				p.Say(zmqwire.Message{
					Kind: zmqwire.Fetch, Routing: m.Address, Address: []byte("STORE"), Subject: m.Subject,
					Sequence: next.Load(), Count: uint32(m.Sequence - next.Load() + 1),
				})
			}
		}
	})
	// It asks for what a consumer asks for, and its libzmq reads no further when one message waits.
	slow := towertest.JoinReading(t, tw, "SLOW", zsock.Options{ReceiveLimit: 1}, nil, "Mhello", "Hhello", "DSLOW")
	p := open(t, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	send(t, p, large(0, size))
	eventually(t, "the first record in the store", func() bool { return p.Acked() == 1 })
	meet(t, slow, p)
	slow.Listen(false)

	most := 0
	for i := 1; i < records; i++ {
		send(t, p, large(i, size))
		most = max(most, p.load.Bytes())
	}
	if most < queueBytes-2*size {
		t.Errorf("%d bytes waited for a peer that does not read: the memory was never full", most)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("%v: %d of %d acked", err, p.Acked(), records)
	}
	if most > queueBytes {
		t.Errorf("%d bytes waited for a peer that does not read, at most %d may", most, queueBytes)
	}
	if direct == 0 {
		t.Error("the store was given nothing that it asked for")
	}
}

func large(sequence, size int) []byte {
	return append(fmt.Appendf(nil, "%d:", sequence), bytes.Repeat([]byte{byte(sequence)}, size)...)
}

// A store that comes back learns by a HEAD what it has missed, also while another peer's queue is full and stays so.
func TestHeadsBesideAFullQueue(t *testing.T) {
	t.Parallel()
	const records = 40_000
	tw := openTower(t)
	slow := join(t, tw, "SLOW", nil)
	p := open(t, Config{
		Topic: "hello", HeadInterval: 10 * time.Millisecond, MaxUnackedBytes: 64 << 20, Node: at(tw),
	})
	send(t, p, []byte("0:"))
	meet(t, slow, p)
	slow.Listen(false)
	content := bytes.Repeat([]byte("x"), 1000)
	for i := 1; i < records; i++ {
		send(t, p, content)
	}
	// Nobody acks, so the producer comes to rest when the slow peer's queue is full, or has left it behind altogether.
	before, since := uint64(0), time.Now()
	eventually(t, "the producer comes to rest", func() bool {
		if now := published(p); now != before {
			before, since = now, time.Now()
		}
		return time.Since(since) > 2*leave
	})
	store := join(t, tw, "STORE", nil)
	meet(t, store, p)
}

func TestConfig(t *testing.T) {
	nul, long := "a\x00b", strings.Repeat("x", 256)
	for _, test := range []struct {
		what   string
		config Config
		want   string // part of the error; empty: none
	}{
		{"no topic", Config{}, "topic is empty"},
		{"NUL in the topic", Config{Topic: nul}, "topic \"a\\x00b\" holds a NUL"},
		{"long topic", Config{Topic: long}, "topic is 256 bytes long"},
		{"NUL in the address", Config{Topic: "t", Node: tower.NodeConfig{Address: nul}}, "address \"a\\x00b\" holds a NUL"},
		{"long address", Config{Topic: "t", Node: tower.NodeConfig{Address: long}}, "address is 256 bytes long"},
		{"negative bound", Config{Topic: "t", MaxUnackedBytes: -1}, "MaxUnackedBytes -1"},
		{"negative interval", Config{Topic: "t", HeadInterval: -time.Second}, "HeadInterval -1s"},
		{"two faults", Config{Topic: nul, MaxUnackedBytes: -1}, "MaxUnackedBytes -1"},
		{"bad bind", Config{Topic: "t", Node: tower.NodeConfig{Bind: "tcp://here"}}, "bind tcp://here"},
		{"longest names, not UTF-8", Config{
			Topic: strings.Repeat("\xff", 255), Node: tower.NodeConfig{Address: strings.Repeat("\xfe", 244), Bind: "tcp://127.0.0.1:*"},
		}, ""},
	} {
		p, err := Open(test.config)
		if err == nil {
			p.Close(cancelled())
		}
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %q", test.what, err, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	limits := tower.Limits{Frame: 2048, Requests: 1, PeerBytes: 1000, Bytes: 2000}
	p, err := Open(Config{Topic: "t", Node: tower.NodeConfig{Bind: "tcp://127.0.0.1:*", Limits: limits}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(cancelled())
	send(t, p, make([]byte, 2048))
	sequence, err := p.Send(context.Background(), make([]byte, 2049))
	if err == nil || !strings.Contains(err.Error(), "record of 2049 bytes: the limit frame is 2048") {
		t.Errorf("a record that is too large: %v", err)
	}
	if n := p.Stats().Sent; n != 1 || sequence != 0 {
		t.Errorf("%d records taken, want the first", n)
	}
	if a := &p.answers; a.MaxRequests != 1 || a.MaxPeerBytes != 1000 || a.MaxBytes != 2000 {
		t.Errorf("answers within %d, %d and %d", a.MaxRequests, a.MaxPeerBytes, a.MaxBytes)
	}
}

// What Send costs by itself: a record that is taken, and dropped when it is acked.
func BenchmarkLog(b *testing.B) {
	l := &log{most: 64 << 20}
	content := make([]byte, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, ok := l.append(content); !ok {
			l.markSent(int(l.next - l.sent))
			l.ack(l.next)
		}
	}
}

// Records of 100 bytes on their way to a subscriber that acks what it has drained.
func BenchmarkSend(b *testing.B) {
	tw := openTower(b)
	p := open(b, Config{Topic: "hello", HeadInterval: 10 * time.Millisecond, Node: at(tw)})
	send(b, p, nil)
	stop := subscriber(b, tw, p)
	ctx, content := context.Background(), make([]byte, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := p.Send(ctx, content); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	stop()
}

// subscriber acks the producer's records until it is stopped. It allocates nothing, so that a benchmark counts what the
// producer does.
func subscriber(b *testing.B, tw *tower.Tower, p *Producer) (stop func()) {
	config := at(tw)
	config.Address = "STORE"
	node, err := node.Join(config, node.Sockets{
		Publish: zsock.PUB, Send: zsock.Options{}, Subscribe: []zsock.Options{{}},
	})
	if err == nil {
		err = node.Sub[0].Subscribe("")
	}
	if err != nil {
		b.Fatal(err)
	}
	var stopping atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		batch, out := zsock.NewBatch(), zsock.NewBatch()
		ack := zmqwire.Message{Kind: zmqwire.Ack, Routing: []byte(p.Address()), Subject: []byte(p.topic)}
		for !stopping.Load() {
			// HEADs come without end, and each is answered: the first ACKs may be lost.
			if _, err := node.Wait(100*time.Millisecond, func() bool { return false }); err != nil {
				b.Error(err)
				return
			}
			if err := node.Sub[0].Drain(batch); err != nil {
				b.Error(err)
				return
			}
			for frames := batch.Next(); frames != nil; frames = batch.Next() {
				_, ack.Sequence = zmqwire.SplitRecord(frames[0])
			}
			if batch.Len() > 0 {
				out.Reset()
				out.AddMessage(&ack)
				node.Pub.Send(out)
			}
		}
	}()
	eventually(b, "the first ACK", func() bool { return p.Acked() == 1 })
	return func() {
		stopping.Store(true)
		<-done
		node.Close()
	}
}
