package store

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

func TestStats(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	before := s.Stats()
	fill(t, p, s, 0, 10)
	before.Duplicates = s.Stats().Duplicates // of what the visitor said until it was heard
	var bytes uint64
	for sequence := range uint64(10) {
		bytes += uint64(len(content(sequence)))
	}
	p.Say(recordMessage(zmqwire.Record, s, 3, content(3)))
	p.fetch("R", "hello", "P", 2, 5)
	answered(t, p, "MARK")
	var got Stats
	eventually(t, "all counted", func() bool {
		got = s.Stats()
		return got.Duplicates == before.Duplicates+1 && got.Answered == before.Answered+6
	})
	if got.Commits.Count <= before.Commits.Count || got.Commits.Sum <= before.Commits.Sum {
		t.Errorf("commits: %+v, before %+v", got.Commits, before.Commits)
	}
	widest := slices.Max(slices.Collect(maps.Keys(got.Commits.Within)))
	if got.Commits.Within[widest] != got.Commits.Count {
		t.Errorf("commits that took %v or less: %+v, want all", widest, got.Commits)
	}
	if d := got.Disk; d.Used == 0 || d.Log == 0 || d.Free == 0 || d.All < d.Free {
		t.Errorf("disk: %+v", d)
	}
	if since := time.Since(got.LastRound); since > waitAtMost {
		t.Errorf("last round %v ago", since)
	}
	// The mark is a request as well, for one record.
	want := Stats{
		Records: before.Records + 10, Bytes: before.Bytes + bytes, Duplicates: before.Duplicates + 1, Commits: got.Commits,
		Fetches: before.Fetches + 2, Answered: before.Answered + 6, Disk: got.Disk, CaughtUp: got.CaughtUp,
		Towers: 1, Peers: 2, Faults: map[zmqwire.Fault]uint64{}, LastRound: got.LastRound,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}

	// Of ten records announced, one came, before its turn.
	p.Say(recordMessage(zmqwire.Record, s, 19, content(19)))
	early := int64(len(content(19)) + zmqwire.RecordOverhead)
	eventually(t, "a partition behind", func() bool { s := s.Stats(); return s.Behind == 1 && s.EarlyBytes == early })
	eventually(t, "no hope", func() bool { s := s.Stats(); return s.Behind == 0 && s.Unanswered == 1 })
	eventually(t, "another round", func() bool { return s.Stats().LastRound.After(got.LastRound) })

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Records != before.Records+10 || got.Disk != (Disk{}) {
		t.Errorf("after Close: %+v", got)
	}
}

// TestCaughtUp: a store that joins says that it has caught up when it has what the other store has, and not before.
func TestCaughtUp(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	first := openStore(t, tw, t.TempDir())
	published := shelves("early", 100)
	publish(t, tw, first, "EARLY", published)
	records := uint64(1) // and the visitor's own
	for _, contents := range published {
		records += uint64(len(contents))
	}
	eventually(t, "the first store has caught up, alone", func() bool { return first.Stats().CaughtUp })
	second := openStore(t, tw, t.TempDir())
	eventually(t, "the second store has caught up", func() bool { return second.Stats().CaughtUp })
	if got := second.Stats().Records; got != records {
		t.Errorf("caught up with %d records, want %d", got, records)
	}
}

// TestCaughtUpInTime: something that is missing for a moment does not count, and without a look nothing does.
func TestCaughtUpInTime(t *testing.T) {
	var c caughtUp
	begin := time.Now()
	for _, step := range []struct {
		after   time.Duration
		lacking bool
		want    bool
	}{
		{1 * time.Second, true, false},
		{2 * time.Second, false, false},
		{3 * time.Second, true, false},
		{4 * time.Second, false, false},
		{5 * time.Second, false, true},
		{6 * time.Second, true, true},
		{14 * time.Second, true, true},
		{15 * time.Second, true, false},
		{16 * time.Second, false, false},
		{17 * time.Second, false, true},
	} {
		now := begin.Add(step.after)
		c.look(now, step.lacking)
		if got := c.is(now); got != step.want {
			t.Errorf("after %v: caught up %v, want %v", step.after, got, step.want)
		}
	}
	if c.is(begin.Add(time.Minute)) {
		t.Error("caught up though nobody has looked for long")
	}
}

// TestLatency puts each time where it belongs.
func TestLatency(t *testing.T) {
	var l latency
	for _, took := range []time.Duration{0, 250 * time.Microsecond, 251 * time.Microsecond, 10 * time.Second, time.Minute} {
		l.add(took)
	}
	got := l.read()
	want := map[time.Duration]uint64{250 * time.Microsecond: 2, 500 * time.Microsecond: 3, 5 * time.Second: 3, 10 * time.Second: 4}
	for within, count := range want {
		if got.Within[within] != count {
			t.Errorf("within %v: %d, want %d", within, got.Within[within], count)
		}
	}
	if sum := 70*time.Second + 501*time.Microsecond; got.Count != 5 || got.Sum != sum || len(got.Within) != len(withins) {
		t.Errorf("%+v, want 5 in %v", got, sum)
	}
}
