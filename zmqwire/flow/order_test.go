package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/google/go-cmp/cmp"
)

// taker takes a partition's records as nodes do.
type taker struct {
	Order
	taken []string
	kept  int // bytes, as Keep counted them
}

func newTaker(next uint64) *taker { return &taker{Order: NewOrder("topic", "partition", next)} }

func (k *taker) record(sequence uint64, content string) {
	switch next := k.Next(); {
	case sequence == next:
		k.take(content)
		for kept, ok := k.Kept(); ok; kept, ok = k.Kept() {
			k.kept -= len(kept) + zmqwire.RecordOverhead
			k.take(string(kept))
		}
	case sequence > next:
		k.kept += k.Keep(sequence, []byte(content))
	}
}

func (k *taker) take(content string) {
	k.taken = append(k.taken, content)
	k.Took(len(content))
}

// sequences gives n numbers from first on.
func sequences(first uint64, n int) []uint64 {
	var s []uint64
	for i := range n {
		s = append(s, first+uint64(i))
	}
	return s
}

func reversed(s []uint64) []uint64 {
	slices.Reverse(s)
	return s
}

func TestOrderTakesEachRecordOnceInOrder(t *testing.T) {
	for _, test := range []struct {
		name    string
		next    uint64
		arrive  []uint64
		taken   int // how many of those from next on
		missing uint64
	}{
		{"in order", 0, sequences(0, 100), 100, 0},
		{"in order from the middle", 1 << 40, sequences(1<<40, 100), 100, 0},
		{"backwards", 0, reversed(sequences(0, 100)), 100, 0},
		{"one late", 0, []uint64{1, 2, 3, 0, 4}, 5, 0},
		{"gap", 0, []uint64{0, 1, 3, 4}, 2, 3},
		{"two gaps, the second filled first", 0, []uint64{0, 2, 4, 3, 1}, 5, 0},
		{"duplicates of what was taken", 0, []uint64{0, 0, 1, 0, 1, 2}, 3, 0},
		{"duplicates of what is kept", 0, []uint64{2, 3, 2, 3, 5, 5, 1, 0, 4}, 6, 0},
		{"every second, then the others", 0, append(everySecond(1, 500), everySecond(0, 500)...), 1000, 0},
		{"every second, then the others backwards", 0, append(everySecond(1, 500), reversed(everySecond(0, 500))...), 1000, 0},
		{"before the first", 100, []uint64{99, 0, 98}, 0, 0},
		{"last of all sequences", 0, []uint64{1<<64 - 1}, 0, 0},
	} {
		k := newTaker(test.next)
		arrived := make(map[uint64]int)
		for _, sequence := range test.arrive {
			k.record(sequence, fmt.Sprintf("record %d, copy %d", sequence, arrived[sequence]))
			arrived[sequence]++
		}
		var want []string
		for _, sequence := range sequences(test.next, test.taken) {
			want = append(want, fmt.Sprintf("record %d, copy 0", sequence))
		}
		if diff := cmp.Diff(want, k.taken); diff != "" {
			t.Errorf("%s: taken (-want +got):\n%s", test.name, diff)
		}
		if k.Missing() != test.missing || k.Behind() != (test.missing > 0) {
			t.Errorf("%s: %d missing, behind %v; want %d missing", test.name, k.Missing(), k.Behind(), test.missing)
		}
		if test.missing == 0 && k.kept != 0 {
			t.Errorf("%s: %d bytes kept of nothing", test.name, k.kept)
		}
	}
}

func everySecond(first uint64, n int) []uint64 {
	var s []uint64
	for i := range n {
		s = append(s, first+2*uint64(i))
	}
	return s
}

func TestOrderKeepsLongRunsInPieces(t *testing.T) {
	k := newTaker(0)
	var want []string
	for i := range 10 {
		want = append(want, strings.Repeat(string(rune('a'+i)), zmqwire.RunBytes/3))
	}
	for i := 1; i < 10; i++ {
		k.record(uint64(i), want[i])
	}
	for i, run := range k.early {
		if run.Size() > zmqwire.RunBytes {
			t.Errorf("run %d of %d bytes", i, run.Size())
		}
	}
	k.record(0, want[0])
	if diff := cmp.Diff(want, k.taken); diff != "" || k.kept != 0 {
		t.Errorf("%d bytes kept, taken (-want +got):\n%.1000s", k.kept, diff)
	}
}

// The next record may wait, what was taken is not kept, and what comes after the last sequence can never be.
func TestOrderKeepsWhatHasATurn(t *testing.T) {
	o := NewOrder("topic", "partition", 10)
	for sequence, want := range map[uint64]int{0: 0, 9: 0, 10: 7 + zmqwire.RecordOverhead, 11: 7 + zmqwire.RecordOverhead, 1<<64 - 1: 0} {
		if n := o.Keep(sequence, []byte("content")); n != want {
			t.Errorf("record %d takes %d bytes, want %d", sequence, n, want)
		}
	}
	var b Backlog
	if b.Add(&o); o.Missing() != 2 || b.Len() != 0 {
		t.Errorf("%d missing, %d to fetch, want 2 that are kept", o.Missing(), b.Len())
	}
	if content, ok := o.Kept(); !ok || string(content) != "content" {
		t.Errorf("%q kept for the next", content)
	}
}

func TestOrderBoundsPieces(t *testing.T) {
	o := NewOrder("topic", "partition", 0)
	content := []byte("content")
	for i := range uint64(earlyRuns) {
		if o.Keep(2+2*i, content) == 0 {
			t.Fatalf("piece %d not kept", i)
		}
	}
	for _, sequence := range []uint64{2 + 2*earlyRuns, 1 << 50} {
		if n := o.Keep(sequence, content); n != 0 || len(o.early) != earlyRuns {
			t.Errorf("record %d kept in piece %d", sequence, len(o.early))
		}
	}
	// Not kept, but known to be missing.
	if o.Missing() != 1<<50+1 {
		t.Errorf("%d missing", o.Missing())
	}
	if o.Keep(3, content) == 0 || o.Keep(3+2*(earlyRuns-1), content) == 0 {
		t.Error("a record that makes a piece longer is not kept")
	}
	// A piece that is used up makes room for another.
	for range 4 {
		o.Took(0)
	}
	if o.Keep(1<<50, content) == 0 {
		t.Error("a piece that was used up makes no room")
	}
}

func TestOrderForgets(t *testing.T) {
	k := newTaker(0)
	for _, sequence := range []uint64{2, 3, 7, 4, 10_000} {
		k.record(sequence, strings.Repeat("x", int(sequence)))
	}
	k.record(0, "")
	// Taken without a look at Kept, as by a node that handed it over before: its bytes are not freed twice.
	k.Took(1)
	k.Took(2)
	k.kept -= 2 + zmqwire.RecordOverhead
	if freed := k.Forget(); freed != k.kept {
		t.Errorf("%d bytes freed, %d were kept", freed, k.kept)
	}
	if content, ok := k.Kept(); ok || k.Behind() || k.Next() != 3 || k.Forget() != 0 {
		t.Errorf("after Forget: %q kept (%v), behind %v, next %d", content, ok, k.Behind(), k.Next())
	}
	k.Restart(1)
	k.kept, k.taken = 0, nil
	for _, sequence := range []uint64{2, 0, 1} {
		k.record(sequence, fmt.Sprint(sequence))
	}
	if diff := cmp.Diff([]string{"1", "2"}, k.taken); diff != "" || k.Behind() {
		t.Errorf("after Restart: behind %v, taken (-want +got):\n%s", k.Behind(), diff)
	}
}

// asked is what a backlog asks for at some time, each as "first+count".
func asked(b *Backlog, now time.Time, budget int) (asks []string, wait time.Duration) {
	wait = b.Ask(now, budget, func(o *Order, first uint64, count uint32) {
		asks = append(asks, fmt.Sprintf("%d+%d", first, count))
	})
	return asks, wait
}

const plenty = 1 << 40

// began is when all tests with a clock of their own begin.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestOrderAsksBlockAfterBlock(t *testing.T) {
	o := NewOrder("topic", "partition", 0)
	var b Backlog
	now := began
	b.Add(&o)
	if asks, _ := asked(&b, now, plenty); asks != nil || b.Len() != 0 {
		t.Errorf("asked %v of a partition that lacks nothing", asks)
	}
	o.Saw(20_000)
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		// A record's size is not known yet.
		{"first", func() { b.Add(&o) }, []string{"0+64", "64+64"}},
		{"nothing new", func() {}, nil},
		{"put in again", func() { b.Add(&o); b.Add(&o) }, nil},
		{"one record", func() { o.Took(99) }, []string{"128+8192"}},
		{"a few more", func() { took(&o, 99, 99) }, nil},
		{"the next block is asked for while one is on its way", func() { took(&o, 28, 99) }, []string{"8320+8192"}},
		{"the newest is heard of", func() { o.Saw(20_100) }, nil},
		{"the last block is as large as what exists", func() { took(&o, 8192, 99) }, []string{"16512+3589"}},
		{"nothing is asked for that is not known", func() { took(&o, 8192, 99) }, nil},
		{"one came into being", func() { o.Saw(20_101) }, []string{"20101+1"}},
		{"all are there", func() { took(&o, 20_102-16_512, 99) }, nil},
		{"it left the backlog and comes back", func() { o.Saw(20_102); b.Add(&o) }, []string{"20102+1"}},
	} {
		now = now.Add(time.Millisecond)
		step.do()
		asks, _ := asked(&b, now, plenty)
		if diff := cmp.Diff(step.want, asks); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	for sequence, want := range map[uint64]bool{0: true, 20_102: true, 20_103: false, 1 << 60: false} {
		if o.Asked(sequence) != want {
			t.Errorf("record %d was asked for: %v, want %v", sequence, o.Asked(sequence), want)
		}
	}
}

// took takes the next n records, each of so many bytes.
func took(o *Order, n, size int) {
	for range n {
		o.Took(size)
	}
}

func TestOrderAsksForFewLargeRecords(t *testing.T) {
	for _, test := range []struct {
		size int
		want []string
	}{
		{0, []string{"1+8192", "8193+8192"}},
		{1023, []string{"1+2048", "2049+2048"}},
		{1 << 20, []string{"1+1", "2+1"}},
		{1 << 30, []string{"1+1", "2+1"}},
	} {
		o := NewOrder("topic", "partition", 0)
		o.Took(test.size)
		o.Saw(1_000_000)
		var b Backlog
		b.Add(&o)
		asks, _ := asked(&b, began, plenty)
		if diff := cmp.Diff(test.want, asks); diff != "" {
			t.Errorf("records of %d bytes (-want +got):\n%s", test.size, diff)
		}
	}
}

func TestOrderAsksForTheGapAlone(t *testing.T) {
	k := newTaker(0)
	var b Backlog
	for _, sequence := range []uint64{0, 5, 6, 9, 20} {
		k.record(sequence, "")
	}
	b.Add(&k.Order)
	for _, step := range []struct {
		arrive []uint64
		want   []string
	}{
		{nil, []string{"1+4"}},
		{[]uint64{1, 3}, nil},
		{[]uint64{2}, nil},
		{[]uint64{4}, []string{"7+2"}},
		{[]uint64{8, 7}, []string{"10+10"}},
		{sequences(10, 10), nil},
	} {
		for _, sequence := range step.arrive {
			k.record(sequence, "")
		}
		asks, _ := asked(&b, began, plenty)
		if diff := cmp.Diff(step.want, asks); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", step.arrive, diff)
		}
	}
}

func TestOrderAsksAgainAfterSilence(t *testing.T) {
	o := NewOrder("topic", "partition", 0)
	o.Saw(99)
	var b Backlog
	b.Add(&o)
	now := began
	ms := time.Millisecond
	both := []string{"0+64", "64+36"}
	for i, step := range []struct {
		after time.Duration
		do    func()
		want  []string
		wait  time.Duration
	}{
		{0, nil, both, 250 * ms},
		{100 * ms, nil, nil, 150 * ms},
		{149 * ms, nil, nil, ms},
		{ms, nil, both, 500 * ms},
		{499 * ms, nil, nil, ms},
		{ms, nil, both, 1000 * ms},
		{1000 * ms, nil, both, 2000 * ms},
		{2000 * ms, nil, both, 4000 * ms},
		{4000 * ms, nil, both, 4000 * ms},
		{3999 * ms, nil, nil, ms},
		{0, func() { b.Came("another") }, nil, ms},
		{0, func() { b.Came("partition") }, both, 250 * ms},
		// A record that comes shows that somebody answers.
		{0, func() { o.Took(0) }, nil, 250 * ms},
		{249 * ms, nil, nil, ms},
		{0, func() { o.Took(0) }, nil, 250 * ms},
		{250 * ms, nil, []string{"2+98"}, 500 * ms},
		// What is late may come twice; the second time it is nothing new.
		{0, func() { took(&o, 98, 0) }, nil, 4000 * ms},
		// The next gap begins with the patience of the first.
		{10_000 * ms, func() { o.Saw(199); b.Add(&o) }, []string{"100+100"}, 250 * ms},
	} {
		now = now.Add(step.after)
		if step.do != nil {
			step.do()
		}
		asks, wait := asked(&b, now, plenty)
		if diff := cmp.Diff(step.want, asks); diff != "" {
			t.Errorf("step %d: asked (-want +got):\n%s", i, diff)
		}
		if wait != step.wait {
			t.Errorf("step %d: to be called in %v, want %v", i, wait, step.wait)
		}
	}
}

// backlogOf makes a backlog of partitions that all lack the same number of records; each has the name of its index.
func backlogOf(n int, size int, missing uint64) (*Backlog, []*Order) {
	var b Backlog
	var orders []*Order
	for i := range n {
		o := NewOrder("topic", fmt.Sprint(i), 0)
		o.Took(size)
		o.Saw(missing)
		b.Add(&o)
		orders = append(orders, &o)
	}
	return &b, orders
}

func TestBacklogKeepsToItsBudget(t *testing.T) {
	const size, block = 1023, blockBytes / 1024
	for _, test := range []struct {
		budget int
		want   int // partitions that fetch
	}{
		{-1, 0}, {0, 0}, {1, 1}, {2 * block * 1024, 1}, {2*block*1024 + 1, 2}, {20 * block * 1024, 10}, {plenty, backlogTurns},
	} {
		b, _ := backlogOf(100, size, 1_000_000)
		for range 3 { // what is on its way still counts the next time
			asks := make(map[string]bool)
			b.Ask(began, test.budget, func(o *Order, _ uint64, _ uint32) { asks[o.Partition] = true })
			inFlight := 0
			for _, o := range b.fetching {
				if o.asked > o.next {
					inFlight++
				}
			}
			if inFlight != test.want {
				t.Errorf("budget %d: %d partitions fetch (now: %v), want %d", test.budget, inFlight, asks, test.want)
			}
		}
	}
}

func TestBacklogGivesAllTheirTurn(t *testing.T) {
	const n = 100
	for _, test := range []struct {
		name    string
		answers func(partition int) bool
	}{
		{"nobody answers", func(int) bool { return false }},
		{"all are answered", func(int) bool { return true }},
		{"the first 50 are not answered", func(i int) bool { return i >= 50 }},
		{"every tenth is answered", func(i int) bool { return i%10 == 0 }},
		{"only the last is answered", func(i int) bool { return i == n-1 }},
	} {
		b, orders := backlogOf(n, 0, 10)
		asks := make(map[string]int)
		now := began
		for range 4 * n / backlogTurns {
			b.Ask(now, plenty, func(o *Order, first uint64, count uint32) {
				asks[o.Partition]++
				if first != 1 || count != 10 {
					t.Errorf("%s: asked for %d+%d", test.name, first, count)
				}
			})
			inFlight := 0
			for i, o := range orders {
				if o.asked <= o.next {
					continue
				}
				// Those that were silent in their turn wait for the next one; nothing of theirs is on its way.
				if slices.Contains(b.fetching, o) {
					inFlight++
				}
				if test.answers(i) {
					took(o, 10, 0)
				}
			}
			if inFlight > backlogTurns {
				t.Errorf("%s: %d partitions fetch at once", test.name, inFlight)
			}
			now = now.Add(firstRetry)
		}
		left := 0
		for i, o := range orders {
			if asks[o.Partition] == 0 {
				t.Errorf("%s: partition %d never had its turn", test.name, i)
			}
			if o.Behind() == test.answers(i) {
				t.Errorf("%s: partition %d is behind: %v", test.name, i, o.Behind())
			}
			if o.Behind() {
				left++
			}
		}
		b.Ask(now, plenty, func(*Order, uint64, uint32) {})
		if b.Len() != left {
			t.Errorf("%s: %d in the backlog, %d are behind", test.name, b.Len(), left)
		}
	}
}

// What answers goes on block after block, however many there are that do not.
// TestBacklogLacking: what nobody answers is told apart from what may come, however many partitions take turns, and
// counts as before once a record came.
func TestBacklogLacking(t *testing.T) {
	b, orders := backlogOf(3*backlogTurns, 100, 10)
	type lacking struct{ Hoped, Unanswered int }
	look := func() lacking {
		hoped, unanswered := b.Lacking()
		return lacking{hoped, unanswered}
	}
	all := len(orders)
	if diff := cmp.Diff(lacking{all, 0}, look()); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	now := began
	for look().Unanswered < all {
		if now.Sub(began) > time.Minute {
			t.Fatalf("after %v in vain: %+v", now.Sub(began), look())
		}
		now = now.Add(b.Ask(now, 1<<30, func(*Order, uint64, uint32) {}))
		if now.Sub(began) < time.Second && look().Unanswered > 0 {
			t.Fatalf("given up after %v: %+v", now.Sub(began), look())
		}
	}
	took(orders[0], 1, 100)
	took(orders[1], 10, 100)
	if diff := cmp.Diff(lacking{1, all - 2}, look()); diff != "" {
		t.Errorf("after an answer (-want +got):\n%s", diff)
	}
}

func TestBacklogIsNotHeldUpBySilentPartitions(t *testing.T) {
	b, orders := backlogOf(1000, 0, 100_000)
	last := orders[len(orders)-1]
	now := began
	for rounds := 0; last.Behind(); rounds++ {
		if rounds > 200 {
			t.Fatalf("%d of %d records taken in %v", last.Next(), last.known, now.Sub(began))
		}
		wait := b.Ask(now, plenty, func(*Order, uint64, uint32) {})
		if last.asked > last.next {
			took(last, int(last.asked-last.next), 0)
			wait = time.Millisecond
		}
		now = now.Add(wait)
	}
}

// What was asked for in vain is on its way for ever, and must not use up the budget of those who are answered.
func TestBacklogIsNotStarvedBySilentPartitions(t *testing.T) {
	const size, block = 1023, blockBytes / 1024
	for _, budget := range []int{1, 2 * block * 1024, 10 * block * 1024} {
		b, orders := backlogOf(backlogTurns/2, size, 10*block)
		last := orders[len(orders)-1]
		now := began
		asks := 0
		for last.Behind() {
			if now.Sub(began) > time.Minute {
				t.Fatalf("budget %d: %d of %d records taken in %v", budget, last.Next(), last.known, now.Sub(began))
			}
			wait := b.Ask(now, budget, func(*Order, uint64, uint32) { asks++ })
			if last.asked > last.next {
				took(last, int(last.asked-last.next), size)
				wait = time.Millisecond
			}
			now = now.Add(wait)
		}
		if most := 1000; asks > most {
			t.Errorf("budget %d: asked %d times, want at most %d", budget, asks, most)
		}
	}
}

// A partition that is put into another backlog is asked for there, and not where it was, whether it had its turn there or
// waited for one.
func TestBacklogIsLeftForAnother(t *testing.T) {
	const n = 2 * backlogTurns
	first, orders := backlogOf(n, 100, 10)
	var second Backlog
	asked := func(b *Backlog, now time.Time) (names []string) {
		b.Ask(now, 1<<30, func(o *Order, _ uint64, _ uint32) { names = append(names, o.Partition) })
		slices.Sort(names)
		return names
	}
	now := time.Now()
	asked(first, now)
	var want []string
	for i := 0; i < n; i += 2 {
		second.Add(orders[i])
		want = append(want, orders[i].Partition)
	}
	now = now.Add(time.Hour)
	slices.Sort(want)
	if diff := cmp.Diff(want, asked(&second, now)); diff != "" {
		t.Errorf("asked for by the second (-want +got):\n%s", diff)
	}
	var got []string
	for range 4 {
		now = now.Add(time.Hour)
		got = append(got, asked(first, now)...)
	}
	for _, name := range got {
		if slices.Contains(want, name) {
			t.Errorf("%s is asked for by the first, too", name)
		}
	}
	if first.Len() != n/2 || second.Len() != n/2 {
		t.Errorf("%d and %d in the backlogs, want %d each", first.Len(), second.Len(), n/2)
	}
}
