package flow

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
	"github.com/google/go-cmp/cmp"
)

func fetch(requester, topic, partition string, first uint64, count uint32) *zmqwire.Message {
	return &zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(partition), Address: []byte(requester), Subject: []byte(topic),
		Sequence: first, Count: count,
	}
}

// shelf is a partition's records in runs of ten, as a store would find them: record i of partition p is "p/i".
func shelf(partition string, n int) []*zmqwire.Run {
	var runs []*zmqwire.Run
	for i := range n {
		if i%10 == 0 {
			runs = append(runs, &zmqwire.Run{First: uint64(i)})
		}
		runs[len(runs)-1].Append([]byte(fmt.Sprintf("%s/%d", partition, i)))
	}
	return runs
}

// served is what one node sends in answer, turn by turn.
type served struct {
	Answers
	shelves map[string][]*zmqwire.Run
	room    map[string]int // how many records a requester's queue still takes; absent: all
	sent    []string       // "requester<partition/sequence", with the partition's content
	done    []string       // "requester<partition: next"
}

func (s *served) turn(t *testing.T) (moved bool) {
	t.Helper()
	return s.Serve(
		time.Now(),
		func(c *Cursor) *zmqwire.Run {
			runs := s.shelves[c.Partition]
			if i := c.Next() / 10; i < uint64(len(runs)) && c.Next() < runs[i].End() {
				return runs[i]
			}
			return nil
		},
		func(c *Cursor, run *zmqwire.Run, from, to int) int {
			var m zmqwire.Message
			frame := append(slices.Clone(c.Header), "\x00\x00\x00\x00\x00\x00\x00\x00"...)
			must(t, m.Decode([][]byte{frame, nil}))
			requester := string(m.Routing)
			if m.Kind != zmqwire.DirectRecord || string(m.Subject) != "topic" {
				t.Errorf("sent %+v", m)
			}
			if room, ok := s.room[requester]; ok {
				to = min(to, from+room)
				s.room[requester] -= to - from
			}
			for i := from; i < to; i++ {
				content := string(run.Content(i))
				if want := fmt.Sprintf("%s/%d", m.Address, run.First+uint64(i)); content != want {
					t.Errorf("record %q sent as %q", content, want)
				}
				s.sent = append(s.sent, requester+"<"+content)
			}
			return to - from
		},
		func(c *Cursor) { s.done = append(s.done, fmt.Sprintf("%s<%s: %d", c.Requester, c.Partition, c.Next())) },
	)
}

// all serves until nobody waits for anything.
func (s *served) all(t *testing.T) {
	t.Helper()
	for range 1000 {
		s.turn(t)
		if s.Len() == 0 {
			return
		}
	}
	t.Errorf("%d answers do not end", s.Len())
}

// records is what a requester gets when it gets all of them.
func answered(requester, partition string, first, n int) []string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprintf("%s<%s/%d", requester, partition, first+i))
	}
	return s
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name  string
		fetch []*zmqwire.Message
		sent  []string
		done  []string
	}{
		{"one record", []*zmqwire.Message{fetch("r", "topic", "p", 5, 1)}, answered("r", "p", 5, 1), []string{"r<p: 6"}},
		{"some runs", []*zmqwire.Message{fetch("r", "topic", "p", 5, 30)}, answered("r", "p", 5, 30), []string{"r<p: 35"}},
		{"to the end of a run", []*zmqwire.Message{fetch("r", "topic", "p", 5, 5)}, answered("r", "p", 5, 5), []string{"r<p: 10"}},
		{"none", []*zmqwire.Message{fetch("r", "topic", "p", 5, 0)}, nil, []string{"r<p: 5"}},
		{"more than there are", []*zmqwire.Message{fetch("r", "topic", "p", 95, 1<<32-1)}, answered("r", "p", 95, 5), []string{"r<p: 100"}},
		{"beyond the end", []*zmqwire.Message{fetch("r", "topic", "p", 100, 10)}, nil, []string{"r<p: 100"}},
		{"beyond all sequences", []*zmqwire.Message{fetch("r", "topic", "p", 1<<64-1, 1<<32-1)}, nil, []string{"r<p: 18446744073709551615"}},
		{"unknown partition", []*zmqwire.Message{fetch("r", "topic", "q", 0, 10)}, nil, []string{"r<q: 0"}},
		{
			"the same twice", []*zmqwire.Message{fetch("r", "topic", "p", 5, 20), fetch("r", "topic", "p", 5, 20)},
			answered("r", "p", 5, 20), []string{"r<p: 25"},
		}, {
			"part of it again", []*zmqwire.Message{fetch("r", "topic", "p", 5, 20), fetch("r", "topic", "p", 7, 2)},
			answered("r", "p", 5, 20), []string{"r<p: 25"},
		}, {
			"the next block", []*zmqwire.Message{fetch("r", "topic", "p", 5, 20), fetch("r", "topic", "p", 25, 20)},
			answered("r", "p", 5, 40), []string{"r<p: 45"},
		}, {
			"overlapping", []*zmqwire.Message{fetch("r", "topic", "p", 5, 20), fetch("r", "topic", "p", 15, 20)},
			answered("r", "p", 5, 30), []string{"r<p: 35"},
		}, {
			// Who asks behind a hole has what lies in it.
			"behind a hole", []*zmqwire.Message{fetch("r", "topic", "p", 5, 20), fetch("r", "topic", "p", 50, 20)},
			answered("r", "p", 50, 20), []string{"r<p: 70"},
		},
	} {
		s := served{shelves: map[string][]*zmqwire.Run{"p": shelf("p", 100)}}
		for _, f := range test.fetch {
			if err := s.Add(f, netip.AddrPort{}); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		s.all(t)
		if diff := cmp.Diff(test.sent, s.sent); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(test.done, s.done); diff != "" {
			t.Errorf("%s: done (-want +got):\n%s", test.name, diff)
		}
		if s.turn(t) {
			t.Errorf("%s: something moved for nobody", test.name)
		}
	}
}

// A request that comes while its records are under way repeats nothing and extends what is left.
func TestAnswersWhileUnderWay(t *testing.T) {
	s := served{shelves: map[string][]*zmqwire.Run{"p": shelf("p", 100)}}
	s.Add(fetch("r", "topic", "p", 0, 30), netip.AddrPort{})
	s.turn(t) // 0 to 9
	s.Add(fetch("r", "topic", "p", 0, 30), netip.AddrPort{})
	s.turn(t)                                                 // 10 to 19
	s.Add(fetch("r", "topic", "p", 30, 20), netip.AddrPort{}) // the next block
	s.all(t)
	if diff := cmp.Diff(answered("r", "p", 0, 50), s.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	// What was done can be asked for anew.
	s.sent = nil
	s.Add(fetch("r", "topic", "p", 0, 1), netip.AddrPort{})
	s.all(t)
	if diff := cmp.Diff(answered("r", "p", 0, 1), s.sent); diff != "" {
		t.Errorf("sent again (-want +got):\n%s", diff)
	}
}

func TestAnswersTakeTurns(t *testing.T) {
	s := served{shelves: map[string][]*zmqwire.Run{"p": shelf("p", 1000), "q": shelf("q", 1000)}}
	// The first asks for much and in two partitions, the others for little, later.
	s.Add(fetch("greedy", "topic", "p", 0, 1000), netip.AddrPort{})
	s.Add(fetch("greedy", "topic", "q", 0, 1000), netip.AddrPort{})
	s.Add(fetch("a", "topic", "p", 0, 15), netip.AddrPort{})
	s.turn(t)
	s.Add(fetch("b", "topic", "q", 500, 5), netip.AddrPort{})
	s.turn(t)
	s.turn(t)
	want := slices.Concat(
		answered("greedy", "p", 0, 10), answered("a", "p", 0, 10),
		answered("greedy", "q", 0, 10), answered("a", "p", 10, 5), answered("b", "q", 500, 5),
		answered("greedy", "p", 10, 10),
	)
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a<p: 15", "b<q: 505"}, s.done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	s.all(t)
}

func TestAnswersDoNotWaitForAStalledRequester(t *testing.T) {
	s := served{
		shelves: map[string][]*zmqwire.Run{"p": shelf("p", 100), "q": shelf("q", 100)},
		room:    map[string]int{"stalled": 3},
	}
	s.Add(fetch("stalled", "topic", "p", 0, 100), netip.AddrPort{})
	s.Add(fetch("other", "topic", "p", 0, 100), netip.AddrPort{})
	for range 10 {
		s.turn(t)
	}
	want := append(answered("stalled", "p", 0, 3), answered("other", "p", 0, 100)...)
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"other<p: 100"}, s.done); diff != "" || s.Len() != 1 {
		t.Errorf("%d left, done (-want +got):\n%s", s.Len(), diff)
	}
	if moved := s.turn(t); moved || s.Len() != 1 {
		t.Errorf("a full queue: something moved: %v, %d requests left", moved, s.Len())
	}
	// It goes on where it was, however little it takes at a time, and loses nothing.
	s.sent = nil
	for next := 3; next < 100; next++ {
		s.room["stalled"] = 1
		if !s.turn(t) {
			t.Fatalf("nothing is sent after %d", next)
		}
	}
	if diff := cmp.Diff(answered("stalled", "p", 3, 97), s.sent); diff != "" {
		t.Errorf("sent later (-want +got):\n%s", diff)
	}
	if s.Len() != 0 {
		t.Errorf("%d requests left", s.Len())
	}
}

// A record that is gone, or cannot be read, ends the answer where it stands.
func TestAnswersEndWhereRecordsEnd(t *testing.T) {
	s := served{shelves: map[string][]*zmqwire.Run{"p": shelf("p", 100)}}
	s.Add(fetch("r", "topic", "p", 0, 50), netip.AddrPort{})
	s.turn(t)
	s.shelves["p"] = nil
	s.turn(t)
	if diff := cmp.Diff([]string{"r<p: 10"}, s.done); diff != "" || s.Len() != 0 {
		t.Errorf("%d left, done (-want +got):\n%s", s.Len(), diff)
	}
}

// Who asks without end for what is not there does not wait in the place of what is: neither others nor its own requests do.
func TestAnswersOfWhatIsNotThere(t *testing.T) {
	s := served{shelves: map[string][]*zmqwire.Run{"p": shelf("p", 100), "q": shelf("q", 100)}}
	s.Add(fetch("r", "topic", "p", 0, 100), netip.AddrPort{})
	s.Add(fetch("r", "topic", "q", 0, 100), netip.AddrPort{})
	for range 3 * 10 {
		s.Add(fetch("r", "topic", "gone", 0, 1), netip.AddrPort{})
		if !s.turn(t) {
			t.Fatal("nothing moved, as if nobody had room")
		}
	}
	slices.Sort(s.sent)
	want := slices.Concat(answered("r", "p", 0, 100), answered("r", "q", 0, 100))
	slices.Sort(want)
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestAnswersAtTheLastSequences(t *testing.T) {
	const last = 1<<64 - 2 // the greatest sequence that has one behind it
	var a Answers
	a.Add(fetch("r", "topic", "p", last, 1<<32-1), netip.AddrPort{})
	var sent []string
	for range 3 {
		a.Serve(
			time.Now(),
			func(*Cursor) *zmqwire.Run { return runOf(last-1, "before the last", "the last") },
			func(_ *Cursor, run *zmqwire.Run, from, to int) int {
				sent = append(sent, contentsOf(run)[from:to]...)
				return to - from
			},
			func(*Cursor) {},
		)
	}
	if diff := cmp.Diff([]string{"the last"}, sent); diff != "" || a.Len() != 0 {
		t.Errorf("%d left, sent (-want +got):\n%s", a.Len(), diff)
	}
}

// A partition is one of its topic: the same address may stand for two.
func TestAnswersTellTopicsApart(t *testing.T) {
	var a Answers
	for _, f := range []*zmqwire.Message{
		fetch("r", "one", "p", 0, 1), fetch("r", "two", "p", 0, 1), fetch("r", "one", "q", 0, 1), fetch("s", "one", "p", 0, 1),
	} {
		a.Add(f, netip.AddrPort{})
	}
	if a.Len() != 4 {
		t.Errorf("%d requests under way, want 4", a.Len())
	}
	var done []string
	for range 10 {
		a.Serve(time.Now(), func(*Cursor) *zmqwire.Run { return nil }, nil, func(c *Cursor) {
			done = append(done, c.Requester+" "+c.Topic+" "+c.Partition)
		})
	}
	slices.Sort(done)
	if diff := cmp.Diff([]string{"r one p", "r one q", "r two p", "s one p"}, done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	const most = 100
	a := Answers{MaxRequests: most}
	for i := range most {
		must(t, a.Add(fetch("r", "topic", fmt.Sprint(i), 0, 1<<32-1), netip.AddrPort{}))
	}
	for _, f := range []*zmqwire.Message{fetch("r", "topic", "one more", 0, 1), fetch("another", "topic", "0", 0, 1)} {
		err := a.Add(f, netip.AddrPort{})
		if !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "limit requests is 100") || a.Len() != most {
			t.Errorf("%d requests under way, want %d; error %v", a.Len(), most, err)
		}
	}
	if err := a.Add(fetch("r", "topic", "0", 0, 1), netip.AddrPort{}); err != nil {
		t.Errorf("a request for what is under way: %v", err)
	}
	a.Serve(time.Now(), func(*Cursor) *zmqwire.Run { return nil }, nil, func(*Cursor) {})
	if err := a.Add(fetch("another", "topic", "0", 0, 1), netip.AddrPort{}); err != nil || a.Len() != most {
		t.Errorf("%d under way after one of %d was done and another came: %v", a.Len(), most, err)
	}
}

// However much is asked for by those who do not read, no more than the bounds is on its way to one of them, and to all.
func TestAnswersBoundTheirBytes(t *testing.T) {
	const size = 100_000
	pub, sub := pair(t, zsock.Options{Patience: time.Millisecond}, zsock.Options{ReceiveLimit: 1})
	a := Answers{MaxPeerBytes: 4 * size, MaxBytes: 6 * size}
	const records = 1000
	for _, requester := range []string{"r", "s"} {
		must(t, a.Add(fetch(requester, "topic", "p", 0, records), netip.AddrPort{}))
	}
	run := runOf(0, slices.Repeat([]string{strings.Repeat("x", size)}, records)...)
	serve := func() bool {
		t.Helper()
		moved := a.Serve(
			time.Now(),
			func(*Cursor) *zmqwire.Run { return run },
			func(c *Cursor, run *zmqwire.Run, from, to int) int {
				n, err := pub.SendRun(c.Header, run, from, to, c.Load, false)
				must(t, err)
				if c.Load.Bytes() > 4*size {
					t.Fatalf("%d bytes on their way to one requester, at most %d may be", c.Load.Bytes(), 4*size)
				}
				return n
			},
			func(*Cursor) {},
		)
		// Each may have one content in spite of what the others have.
		if a.load.Bytes() > 7*size {
			t.Fatalf("%d bytes on their way, at most %d may be", a.load.Bytes(), 7*size)
		}
		return moved
	}
	full := func() bool { return a.load.Bytes() > 5*size }
	for begin := time.Now(); serve() || !full(); {
		if time.Since(begin) > bound {
			t.Fatalf("peers that do not read take everything: %d bytes are on their way", a.load.Bytes())
		}
	}
	received, got := zsock.NewBatch(), 0
	for begin := time.Now(); got < 2*records; {
		if time.Since(begin) > bound {
			t.Fatalf("%d records of %d", got, 2*records)
		}
		must(t, sub.Drain(received))
		got += received.Len()
		serve()
	}
}

// Whoever waits for a large record asks again and again, because it cannot see that it is coming. It is sent once, and
// again only when it is not on its way any more.
func TestAnswersOnTheirWayAreNotRepeated(t *testing.T) {
	pub, sub := pair(t, zsock.Options{}, zsock.Options{})
	var a Answers
	sent := func() (contents int) {
		t.Helper()
		a.Serve(
			time.Now(),
			func(*Cursor) *zmqwire.Run { return runOf(7, strings.Repeat("x", 64<<20), "small") },
			func(c *Cursor, run *zmqwire.Run, from, to int) int {
				n, err := pub.SendRun(c.Header, run, from, to, c.Load, false)
				must(t, err)
				contents += n
				return n
			},
			func(*Cursor) {},
		)
		return contents
	}
	a.Add(fetch("r", "topic", "p", 7, 1), netip.AddrPort{})
	if n := sent(); n != 1 || a.Len() != 0 {
		t.Fatalf("%d records sent, want the one asked for", n)
	}
	for range 3 {
		a.Add(fetch("r", "topic", "p", 7, 1), netip.AddrPort{})
	}
	if n := sent(); n != 0 {
		t.Errorf("%d records sent again while they are on their way", n)
	}
	a.Add(fetch("r", "topic", "p", 7, 2), netip.AddrPort{})
	if n := sent(); n != 1 {
		t.Errorf("%d records sent, want the next one", n)
	}
	a.Add(fetch("s", "topic", "p", 8, 1), netip.AddrPort{})
	if n := sent(); n != 1 {
		t.Errorf("%d records sent to another requester, want 1", n)
	}
	await(t, sub, 3)
	if must(t, a.Add(fetch("r", "topic", "p", 7, 1), netip.AddrPort{})); a.Len() != 1 {
		t.Error("not sent again although nothing is on its way")
	}
}
