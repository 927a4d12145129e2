package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/tower/towertest"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

func openStore(t testing.TB, tw *tower.Tower, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, Node: at(tw)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openOver opens a store over a file system of the test's making.
func openOver(t testing.TB, tw *tower.Tower, fs vfs.FS) *Store {
	t.Helper()
	db := storetest.DatabaseOver(t, fs)
	config := at(tw)
	config.Logger = db.Log
	s, err := build(db, config, config)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close() })
	return s
}

// nowhere is a node whose tower does not exist.
func nowhere(db *partdb.Database) tower.NodeConfig {
	const tcp = "tcp://127.0.0.1:1"
	return tower.NodeConfig{Pub: []string{tcp}, Sub: []string{tcp}, Bind: "tcp://127.0.0.1:*", Logger: db.Log}
}

// writerAlone makes a writer whose tower does not exist, and which does not run.
func writerAlone(t testing.TB) *writer {
	t.Helper()
	db := storetest.DatabaseOver(t, vfs.NewMem())
	w, err := newWriter(nowhere(db), db, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.node.Close()
		db.Close()
	})
	return w
}

// readerAlone is writerAlone of a reader.
func readerAlone(t testing.TB, limits tower.Limits) *reader {
	t.Helper()
	db := storetest.DatabaseOver(t, vfs.NewMem())
	config := nowhere(db)
	config.Limits = limits
	r, err := newReader(config, db, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.node.Close()
		db.Close()
	})
	return r
}

// visit joins a peer that the store's two nodes hear, and that hears them.
func visit(t testing.TB, tw *tower.Tower, s *Store, address string, respond func(*peer, *zmqwire.Message)) *peer {
	t.Helper()
	p := join(t, tw, address, respond, "", "L"+address)
	meetReader(t, p)
	eventually(t, "the writer listens", func() bool {
		return p.Subscribed("M") && p.Subscribed("H") && p.Subscribed("D"+s.writer.node.Address())
	})
	// The writer says nothing by itself: it acks a record of a partition that no test minds, again and again.
	meeting := zmqwire.Message{
		Kind: zmqwire.Record, Routing: []byte("meeting"), Address: []byte(address), Subject: []byte("meeting"),
	}
	said := time.Time{}
	eventually(t, "an ACK", func() bool {
		if time.Since(said) > 50*time.Millisecond {
			said = time.Now()
			p.Say(meeting)
		}
		return slices.ContainsFunc(p.Heard(zmqwire.Ack), func(m *zmqwire.Message) bool { return string(m.Routing) == address })
	})
	return p
}

// meetReader waits until the store's reader hears the peer and is heard.
func meetReader(t testing.TB, p *peer) {
	t.Helper()
	eventually(t, "the reader listens", func() bool { return p.Subscribed("F") && p.Subscribed("G") })
	eventually(t, "a STORE-HELLO", func() bool { return len(p.Heard(zmqwire.StoreHello)) > 0 })
}

// record is one of partition "P" of topic "hello", unless a test changes it.
func recordMessage(kind zmqwire.Kind, s *Store, sequence uint64, content string) zmqwire.Message {
	m := zmqwire.Message{
		Kind: kind, Routing: []byte("hello"), Address: []byte("P"), Subject: []byte("hello"),
		Sequence: sequence, Content: []byte(content),
	}
	if kind == zmqwire.DirectRecord {
		m.Routing = []byte(s.writer.node.Address())
	}
	return m
}

func content(sequence uint64) string { return fmt.Sprintf("content %d", sequence) }

// fill stores records of partition "P" of topic "hello", from sequence first on.
func fill(t testing.TB, p *peer, s *Store, first, end uint64) {
	t.Helper()
	for sequence := first; sequence < end; sequence++ {
		p.Say(recordMessage(zmqwire.Record, s, sequence, content(sequence)))
	}
	eventually(t, fmt.Sprintf("ACK of record %d", end-1), func() bool { return p.lastAck("P") == end-1 })
}

// lastAck is the newest ACK of a partition; 2^64-1 when there is none.
func (p *peer) lastAck(partition string) uint64 {
	for _, m := range slices.Backward(p.Heard(zmqwire.Ack)) {
		if string(m.Routing) == partition {
			return m.Sequence
		}
	}
	return 1<<64 - 1
}

type fetch struct {
	Topic, Partition string
	First            uint64
	Count            uint32
}

func (p *peer) fetches(partition string) (fetches []fetch) {
	for _, m := range p.Heard(zmqwire.Fetch) {
		if string(m.Routing) == partition {
			fetches = append(fetches, fetch{string(m.Subject), partition, m.Sequence, m.Count})
		}
	}
	return fetches
}

// given is what one requester was sent.
type given struct {
	Records []string // sequence and content
	Heads   []string // topic, partition and sequence
}

func (p *peer) given(requester string) (g given) {
	for _, m := range p.Heard(zmqwire.DirectRecord, zmqwire.DirectHead) {
		switch {
		case string(m.Routing) != requester:
		case m.Kind == zmqwire.DirectRecord:
			g.Records = append(g.Records, fmt.Sprintf("%d %s", m.Sequence, m.Content))
		case m.Kind == zmqwire.DirectHead:
			g.Heads = append(g.Heads, fmt.Sprintf("%q %q %d", m.Subject, m.Address, m.Sequence))
		}
	}
	slices.Sort(g.Heads)
	return g
}

func lines(first, end uint64) (lines []string) {
	for sequence := first; sequence < end; sequence++ {
		lines = append(lines, fmt.Sprintf("%d %s", sequence, content(sequence)))
	}
	return lines
}

func (p *peer) fetch(requester, topic, partition string, first uint64, count uint32) {
	p.Say(zmqwire.Message{
		Kind: zmqwire.Fetch, Routing: []byte(partition), Address: []byte(requester), Subject: []byte(topic),
		Sequence: first, Count: count,
	})
}

func (p *peer) getHeads(requester, topic string) {
	p.Say(zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(requester)})
}

// answered waits until what was asked for before is answered: everybody's turn comes before his who asks last.
func answered(t testing.TB, p *peer, mark string) {
	t.Helper()
	p.getHeads(mark, "meeting")
	eventually(t, "heads of topic meeting", func() bool { return len(p.given(mark).Heads) > 0 })
	p.fetch(mark, "meeting", p.Address(), 0, 1)
	eventually(t, "the record of topic meeting", func() bool { return len(p.given(mark).Records) > 0 })
}

// What others say under a producer's address is neither stored nor acked.
func TestForgedRecordsAreNotStored(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p, forger := visit(t, tw, s, "P", nil), visit(t, tw, s, "FORGER", nil)
	fill(t, p, s, 0, 10)
	for sequence := range uint64(20) {
		forger.Say(recordMessage(zmqwire.Record, s, sequence, "forged"))
	}
	head := recordMessage(zmqwire.Head, s, 1<<40, "")
	head.Content = nil
	forger.Say(head)
	eventually(t, "all forgeries counted", func() bool { return s.Stats().Faults[node.ErrOwner] == 21 })
	fill(t, p, s, 10, 20)
	if diff := cmp.Diff(contentsUpTo(20), storetest.Stored(t, s.db, "hello", "P")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func contentsUpTo(end uint64) (contents []string) {
	for sequence := range end {
		contents = append(contents, content(sequence))
	}
	return contents
}

// An ACK promises that the records survive power loss. So at each ACK the power is cut: what was not synced is gone.
func TestAckedRecordsSurviveACrash(t *testing.T) {
	t.Parallel()
	const records, partitions = 600, 3
	tw := openTower(t)
	fs := vfs.NewCrashableMem()
	s := openOver(t, tw, fs)
	type crash struct {
		partition string
		acked     uint64
		fs        *vfs.MemFS
	}
	var mu sync.Mutex
	var crashes []crash
	p := visit(t, tw, s, "PEER", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Ack && string(m.Subject) == "hello" {
			mu.Lock()
			crashes = append(crashes, crash{string(m.Routing), m.Sequence, fs.CrashClone(vfs.CrashCloneCfg{})})
			mu.Unlock()
		}
	})
	say := func(partition int, sequence uint64) {
		m := recordMessage(zmqwire.Record, s, sequence, fmt.Sprintf("%d of %d", sequence, partition))
		m.Address = fmt.Append(nil, "P", partition)
		p.Say(m)
	}
	for sequence := range uint64(records) {
		for partition := range partitions {
			say(partition, sequence)
		}
		if sequence%20 == 0 {
			// Let the store commit what it has, or all would be one commit.
			eventually(t, "an ACK", func() bool { return p.lastAck("P0") == sequence })
		}
	}
	for partition := range partitions {
		eventually(t, "the last ACK", func() bool { return p.lastAck(fmt.Sprint("P", partition)) == records-1 })
	}
	mu.Lock()
	defer mu.Unlock()
	if len(crashes) < 30 {
		t.Fatalf("%d ACKs: too few to tell", len(crashes))
	}
	for _, crash := range crashes {
		db := storetest.DatabaseOver(t, crash.fs)
		for partition := range partitions {
			name := fmt.Sprint("P", partition)
			got := storetest.Stored(t, db, "hello", name)
			if name == crash.partition && uint64(len(got)) <= crash.acked {
				t.Errorf("after a crash at ACK %d of %s: %d records", crash.acked, name, len(got))
			}
			for sequence, content := range got {
				if want := fmt.Sprintf("%d of %d", sequence, partition); content != want {
					t.Fatalf("after a crash, record %d of %s is %q", sequence, name, content)
				}
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// When the disk fails the store ends, says why, and acks nothing of the commit that failed.
func TestFailedCommitAcksNothing(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	full := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})}
	fs := vfs.NewCrashableMem()
	s := openOver(t, tw, errorfs.Wrap(fs, full))
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 10)
	full.On()
	for sequence := uint64(10); sequence < 20; sequence++ {
		p.Say(recordMessage(zmqwire.Record, s, sequence, content(sequence)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	err := s.Wait(ctx)
	if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) || !strings.Contains(err.Error(), "nothing more is acked") {
		t.Errorf("Wait after a failed commit: %v", err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("Close after a failed commit: %v", err)
	}
	if acked := p.lastAck("P"); acked != 9 {
		t.Errorf("ACK %d, and nothing after 9 can be stored", acked)
	}
	db := storetest.DatabaseOver(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer db.Close()
	if got := storetest.Stored(t, db, "hello", "P"); len(got) < 10 || got[9] != content(9) {
		t.Errorf("after the failure %d records are left of 10 acked", len(got))
	}
}

// A disk that takes 2.5 s for each sync makes ACKs late, and nothing else: none comes before the sync has returned, who
// asks is answered meanwhile, and Close ends with everything acked that was taken.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	const takes = 2500 * time.Millisecond // two of them are longer than nodes wait for one that is silent
	tw := openTower(t)
	var syncs atomic.Int32 // under way
	slow := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			syncs.Add(1)
			time.Sleep(takes)
			syncs.Add(-1)
		}
		return nil
	})}
	fs := vfs.NewCrashableMem()
	s := openOver(t, tw, errorfs.Wrap(fs, slow))
	var mu sync.Mutex
	crashes := make(map[uint64]*vfs.MemFS) // what a power loss would have left at each ACK
	p := visit(t, tw, s, "PEER", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Ack && string(m.Routing) == "P" {
			mu.Lock()
			crashes[m.Sequence] = fs.CrashClone(vfs.CrashCloneCfg{})
			mu.Unlock()
		}
	})
	fill(t, p, s, 0, 100)

	slow.On()
	begin := time.Now()
	for sequence := uint64(100); sequence < 110; sequence++ {
		p.Say(recordMessage(zmqwire.Record, s, sequence, content(sequence)))
	}
	eventually(t, "a sync", func() bool { return syncs.Load() > 0 })
	p.fetch("READER", "hello", "P", 0, 100)
	eventually(t, "an answer", func() bool { return len(p.given("READER").Records) >= 100 })
	if took := time.Since(begin); took > takes || p.lastAck("P") != 99 {
		t.Errorf("answered after %v, with ACK %d, want less than %v and 99", took, p.lastAck("P"), takes)
	}
	if diff := cmp.Diff(lines(0, 100), p.given("READER").Records); diff != "" {
		t.Errorf("answer during a sync (-want +got):\n%s", diff)
	}
	eventually(t, "the ACK after the sync", func() bool { return p.lastAck("P") == 109 })
	if took := time.Since(begin); took < takes {
		t.Errorf("acked %v after it was said, and a sync takes %v", took, takes)
	}

	// Some may arrive too late to be taken; what was taken is acked.
	for sequence := uint64(110); sequence < 120; sequence++ {
		p.Say(recordMessage(zmqwire.Record, s, sequence, content(sequence)))
	}
	eventually(t, "a sync", func() bool { return syncs.Load() > 0 })
	begin = time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*takes {
		t.Errorf("Close took %v", took)
	} else {
		t.Logf("Close took %v", took)
	}
	slow.Off()
	reopened := func(fs vfs.FS) []string {
		db := storetest.DatabaseOver(t, fs)
		defer db.Close()
		return storetest.Stored(t, db, "hello", "P")
	}
	all := reopened(fs)
	eventually(t, "ACK of the last record stored", func() bool { return p.lastAck("P") == uint64(len(all))-1 })
	mu.Lock()
	defer mu.Unlock()
	for acked, fs := range crashes {
		got := reopened(fs)
		if uint64(len(got)) <= acked {
			t.Errorf("after a crash at ACK %d: %d records", acked, len(got))
		}
		for sequence, text := range got {
			if text != content(uint64(sequence)) {
				t.Fatalf("after a crash at ACK %d, record %d is %q", acked, sequence, text)
			}
		}
	}
}

func TestReopenedStoreGoesOn(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(context.Background()); err != nil {
		t.Errorf("Wait after Close: %v", err)
	}
	p.End()

	s = openStore(t, tw, dir)
	p = visit(t, tw, s, "PEER2", nil)
	p.getHeads("R", "hello")
	p.fetch("R", "hello", "P", 0, 300)
	answered(t, p, "MARK")
	eventually(t, "300 records", func() bool { return len(p.given("R").Records) >= 300 })
	want := given{Records: lines(0, 300), Heads: []string{`"hello" "P" 299`}}
	if diff := cmp.Diff(want, p.given("R")); diff != "" {
		t.Errorf("after it was opened again (-want +got):\n%s", diff)
	}
	fill(t, p, s, 300, 310)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Records; got != 11 { // and one of topic meeting
		t.Errorf("Stats: %d records stored, want 11", got)
	}
}

// A lost ACK would let a producer wait for ever. So what the store has it acks again.
func TestAcksAgain(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 5)
	for _, reopened := range []bool{false, true} {
		if reopened {
			s.Close()
			p.End()
			s = openStore(t, tw, dir)
			p = visit(t, tw, s, "PEER2", nil)
		}
		for _, test := range []struct {
			what string
			say  zmqwire.Message
		}{
			{"the last record again", recordMessage(zmqwire.Record, s, 4, content(4))},
			{"an older record again", recordMessage(zmqwire.Record, s, 1, content(1))},
			{"an answer again", recordMessage(zmqwire.DirectRecord, s, 3, "another")},
			{"HEAD at the head", recordMessage(zmqwire.Head, s, 4, "")},
			{"HEAD below the head", recordMessage(zmqwire.Head, s, 0, "")},
		} {
			p.Forget()
			p.Say(test.say)
			eventually(t, "ACK after "+test.what, func() bool { return p.lastAck("P") == 4 })
			if got := p.fetches("P"); len(got) > 0 {
				t.Errorf("%s: %v", test.what, got)
			}
		}
	}
	if got := s.Stats().Duplicates; got < 3 {
		t.Errorf("Stats: %d duplicates, want 3 at least", got)
	}
	s.Close()
	db := storetest.DatabaseIn(t, dir)
	defer db.Close()
	want := []string{content(0), content(1), content(2), content(3), content(4)}
	if diff := cmp.Diff(want, storetest.Stored(t, db, "hello", "P")); diff != "" {
		t.Errorf("stored records (-want +got):\n%s", diff)
	}
}

// A producer can be heard before it hears. What it then missed it is told as soon as it listens.
func TestTellsNewcomersWhatTheyMissed(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 5)
	p.Forget()
	acks := join(t, tw, "P", nil, "KP")
	eventually(t, "the ACK", func() bool { return acks.lastAck("P") == 4 })
	// Everybody hears it, also PEER, from whom the store took the records.
	eventually(t, "the ACK at others", func() bool { return p.lastAck("P") == 4 })

	// Nobody answers for so long that it takes 4 s until the store asks again by itself.
	p.Say(recordMessage(zmqwire.Head, s, 9, ""))
	eventually(t, "some FETCHes", func() bool { return len(p.fetches("P")) == 5 })
	asked := time.Now()
	join(t, tw, "Q", nil, "FQ", "KQ")
	fetches := join(t, tw, "P2", nil, "FP")
	eventually(t, "the FETCH", func() bool { return len(fetches.fetches("P")) > 0 })
	want := []fetch{{"hello", "P", 5, 5}}
	if diff := cmp.Diff(want, fetches.fetches("P")[:1]); diff != "" {
		t.Errorf("FETCH (-want +got):\n%s", diff)
	}
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("asked again after %v: that was the time, and not the producer", took)
	}
}

// Each step makes a gap, or makes one larger; exactly what is missing is asked for, from the first record not stored.
func TestGapsAreFetched(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what   string
		stored uint64
		say    func(s *Store) zmqwire.Message
		want   fetch
		acked  uint64 // in the end
	}{
		{"HEAD of an unknown partition", 0, func(s *Store) zmqwire.Message { return recordMessage(zmqwire.Head, s, 9, "") },
			fetch{"hello", "P", 0, 10}, 9},
		{"HEAD 0 of an unknown partition", 0, func(s *Store) zmqwire.Message { return recordMessage(zmqwire.Head, s, 0, "") },
			fetch{"hello", "P", 0, 1}, 0},
		{"HEAD above the head", 5, func(s *Store) zmqwire.Message { return recordMessage(zmqwire.Head, s, 9, "") },
			fetch{"hello", "P", 5, 5}, 9},
		{"record ahead of an unknown partition", 0, func(s *Store) zmqwire.Message { return recordMessage(zmqwire.Record, s, 9, "live") },
			fetch{"hello", "P", 0, 9}, 9},
		{"record ahead", 5, func(s *Store) zmqwire.Message { return recordMessage(zmqwire.Record, s, 9, "live") },
			fetch{"hello", "P", 5, 4}, 9},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			s := openStore(t, tw, t.TempDir())
			p := visit(t, tw, s, "PEER", nil)
			if test.stored > 0 {
				fill(t, p, s, 0, test.stored)
			}
			p.Forget()
			p.Say(test.say(s))
			eventually(t, "a FETCH", func() bool { return len(p.fetches("P")) > 0 })
			// An answer that is lost is asked for again.
			eventually(t, "a second FETCH", func() bool { return len(p.fetches("P")) > 1 })
			if diff := cmp.Diff([]fetch{test.want, test.want}, p.fetches("P")[:2]); diff != "" {
				t.Errorf("FETCH (-want +got):\n%s", diff)
			}
			if acked := p.lastAck("P"); acked != 1<<64-1 {
				t.Errorf("ACK %d with nothing new stored", acked)
			}
			// C producers may answer with more than was asked for, and with wrong contents: what is live stays.
			end := test.want.First + uint64(test.want.Count)
			for sequence := test.want.First; sequence < end; sequence++ {
				p.Say(recordMessage(zmqwire.DirectRecord, s, sequence, content(sequence)))
			}
			p.Say(recordMessage(zmqwire.DirectRecord, s, end, "not asked for"))
			eventually(t, "ACK", func() bool { return p.lastAck("P") == test.acked })
			want := lines(0, end)
			if end == test.acked {
				want = append(want, fmt.Sprintf("%d live", end))
			}
			p.fetch("R", "hello", "P", 0, 100)
			answered(t, p, "MARK")
			if diff := cmp.Diff(given{Records: want}, p.given("R")); diff != "" {
				t.Errorf("stored records (-want +got):\n%s", diff)
			}
		})
	}
}

// A long gap is asked for block after block, each beginning where the one before ends, and nothing that does not exist.
func TestLongGap(t *testing.T) {
	t.Parallel()
	const head = 20_000
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	var mu sync.Mutex
	asked := uint64(0) // records before it were asked for
	p := visit(t, tw, s, "PEER", func(p *peer, m *zmqwire.Message) {
		if m.Kind != zmqwire.Fetch {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		end := m.Sequence + uint64(m.Count)
		if m.Sequence > asked || m.Count == 0 || end > head+1 {
			t.Errorf("FETCH %d, %d with %d asked for before, of %d", m.Sequence, m.Count, asked, head+1)
		}
		asked = max(asked, end)
		for sequence := m.Sequence; sequence < end; sequence++ {
			p.Say(recordMessage(zmqwire.DirectRecord, s, sequence, content(sequence)))
		}
	})
	p.Say(recordMessage(zmqwire.Head, s, head, ""))
	eventually(t, "the last ACK", func() bool { return p.lastAck("P") == head })
	p.fetch("R", "hello", "P", 0, head+1)
	eventually(t, "all records", func() bool { return len(p.given("R").Records) > head })
	if diff := cmp.Diff(given{Records: lines(0, head+1)}, p.given("R")); diff != "" {
		t.Errorf("stored records (-want +got):\n%s", diff)
	}
}

func TestUnaskedRecordsAreDropped(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 3)
	p.Say(recordMessage(zmqwire.DirectRecord, s, 3, "forged"))
	p.Say(recordMessage(zmqwire.DirectRecord, s, 7, "forged"))
	longer := recordMessage(zmqwire.DirectRecord, s, 3, "meant for another")
	longer.Routing = append(longer.Routing, '0')
	p.Say(longer)
	p.SayFrames([]byte("M"))
	eventually(t, "four faults", func() bool {
		total := uint64(0)
		for n := range maps.Values(s.Stats().Faults) {
			total += n
		}
		return total >= 4
	})
	want := map[zmqwire.Fault]uint64{ErrUnasked: 2, zmqwire.ErrForeign: 1, zmqwire.ErrUnterminated: 1}
	if diff := cmp.Diff(want, s.Stats().Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	fill(t, p, s, 3, 4)
	p.fetch("R", "hello", "P", 0, 100)
	answered(t, p, "MARK")
	if diff := cmp.Diff(given{Records: lines(0, 4)}, p.given("R")); diff != "" {
		t.Errorf("stored records (-want +got):\n%s", diff)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	fill(t, p, s, 0, 10)
	for _, name := range []struct{ topic, partition string }{
		{"hello", "P2"}, {"hello2", "P"}, {"hello2", "P2"}, {"hell", "P"}, {"\xff", "\xfe"},
	} {
		m := recordMessage(zmqwire.Record, s, 0, "of "+name.topic+" "+name.partition)
		m.Routing, m.Subject, m.Address = []byte(name.topic), []byte(name.topic), []byte(name.partition)
		p.Forget()
		p.Say(m)
		eventually(t, "ACK", func() bool { return p.lastAck(name.partition) == 0 })
	}
	hello := []string{`"hello" "P" 9`, `"hello" "P2" 0`}
	hello2 := []string{`"hello2" "P" 0`, `"hello2" "P2" 0`}
	all := slices.Sorted(slices.Values(append(append([]string{
		`"\xff" "\xfe" 0`, `"hell" "P" 0`, `"meeting" "PEER" 0`}, hello...), hello2...)))
	hell := append(append([]string{`"hell" "P" 0`}, hello...), hello2...)
	inC := func(n int) string { return fmt.Sprintf("%012X4%03X8%015X", n, n, n) }
	reader := s.reader.node.Address()
	greet := func(requester string, topics ...string) zmqwire.Message {
		m := zmqwire.Message{Kind: zmqwire.ConsumerHello, Routing: []byte(reader), Address: []byte(requester)}
		for _, topic := range topics {
			m.Topics = append(m.Topics, []byte(topic))
		}
		return m
	}
	heads := func(requester, topic string) zmqwire.Message {
		return zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(requester)}
	}
	ask := func(requester, topic, partition string, first uint64, count uint32) zmqwire.Message {
		return zmqwire.Message{
			Kind: zmqwire.Fetch, Routing: []byte(partition), Address: []byte(requester), Subject: []byte(topic),
			Sequence: first, Count: count,
		}
	}
	// When an answer ends below the head the head is told, or a C consumer would not go on.
	more := []string{`"hello" "P" 9`}
	for i, test := range []struct {
		what string
		ask  zmqwire.Message
		want given
	}{
		{"GET-HEADS of a topic", heads("R1", "hello"), given{Heads: hello}},
		{"GET-HEADS of a longer topic", heads("R2", "hello2"), given{Heads: hello2}},
		{"GET-HEADS of an unknown topic", heads("R3", "hel"), given{}},
		{"GET-HEADS of all topics", heads("R4", ""), given{Heads: all}},
		{"CONSUMER-HELLO with a topic", greet("R5", "hello2"), given{Heads: hello2}},
		{"CONSUMER-HELLO with topics", greet("R6", "hello", "unknown", "hello2"), given{Heads: append(hello, hello2...)}},
		{"CONSUMER-HELLO without topics", greet("R7"), given{}},
		{"all records", ask("R8", "hello", "P", 0, 10), given{Records: lines(0, 10)}},
		{"more records than there are", ask("R9", "hello", "P", 0, 1<<32-1), given{Records: lines(0, 10)}},
		{"the first", ask("R10", "hello", "P", 0, 1), given{Records: lines(0, 1), Heads: more}},
		{"some from the middle", ask("R11", "hello", "P", 3, 4), given{Records: lines(3, 7), Heads: more}},
		{"the last", ask("R12", "hello", "P", 9, 1), given{Records: lines(9, 10)}},
		{"behind the last", ask("R13", "hello", "P", 10, 5), given{}},
		{"the highest sequence there is", ask("R14", "hello", "P", 1<<64-1, 1<<32-1), given{}},
		{"no records", ask("R15", "hello", "P", 4, 0), given{Heads: more}},
		{"another partition", ask("R16", "hello", "P2", 0, 5), given{Records: []string{"0 of hello P2"}}},
		{"a partition with a longer name", ask("R17", "hello", "P2", 1, 5), given{}},
		{"an unknown partition", ask("R18", "hello", "P1", 0, 5), given{}},
		{"an unknown topic", ask("R19", "hel", "P", 0, 5), given{}},
		{"a longer topic", ask("R20", "hello2", "P", 0, 5), given{Records: []string{"0 of hello2 P"}}},
		{"names that are not UTF-8", ask("R21", "\xff", "\xfe", 0, 5), given{Records: []string{"0 of \xff \xfe"}}},
		{"GET-HEADS of a node made in C, of topics that begin so", heads(inC(1), "hell"), given{Heads: hell}},
		{"GET-HEADS of a node made in C, of one topic", heads(inC(2), "hello2"), given{Heads: hello2}},
		{"GET-HEADS of a node made in C, of the last topic", heads(inC(3), "\xff"), given{Heads: []string{`"\xff" "\xfe" 0`}}},
		{"GET-HEADS of a node made in C, of no topic", heads(inC(4), "hello3"), given{}},
		{"CONSUMER-HELLO of a node made in C", greet(inC(5), "hello"), given{Heads: append(hello, hello2...)}},
		{"GET-HEADS of a node made in Go, of topics that begin so", heads(zmqwire.NewAddress(), "hel"), given{}},
	} {
		p.Say(test.ask)
		answered(t, p, fmt.Sprint("MARK", i))
		if diff := cmp.Diff(test.want, p.given(string(test.ask.Address))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

// What is asked for beyond a limit is left out, and why is said; what is asked for within it is done.
func TestLimits(t *testing.T) {
	limits := tower.Limits{Peers: 10, Frame: 1 << 20, Topics: 2, Requests: 1, PeerBytes: 1000, Bytes: 2000}
	r := readerAlone(t, limits)
	hear := func(m zmqwire.Message) error {
		t.Helper()
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.hear([][]byte{frame})
	}
	greet := func(requester string, topics ...string) error {
		m := zmqwire.Message{Kind: zmqwire.ConsumerHello, Routing: []byte(r.node.Address()), Address: []byte(requester)}
		for _, topic := range topics {
			m.Topics = append(m.Topics, []byte(topic))
		}
		return hear(m)
	}
	fetch := func(partition string) error {
		return hear(zmqwire.Message{
			Kind: zmqwire.Fetch, Routing: []byte(partition), Address: []byte("A"), Subject: []byte("a"), Count: 1,
		})
	}
	for _, test := range []struct {
		what string
		err  error
		want error
		says string
	}{
		{"as many topics as may be", greet("A", "a", "b"), nil, ""},
		{"more of them", greet("B", "a", "b", "c", "d"), ErrTopics, "2 of 4, because the limit topics is 2: raise it"},
		{"a third", greet("C", "a", "b"), nil, ""},
		{"a fourth", greet("D", "a", "b"), nil, ""},
		{"too many requests", greet("E", "a", "b"), ErrHeadRequests, "the limit topics is 2"},
		{"one that is under way", greet("A", "b"), nil, ""},
		{"a FETCH", fetch("P"), nil, ""},
		{"another", fetch("Q"), flow.ErrTooMany, "the limit requests is 1"},
		{"the first again", fetch("P"), nil, ""},
	} {
		if !errors.Is(test.err, test.want) || test.err != nil && !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("%s: %v, want %v and %q", test.what, test.err, test.want, test.says)
		}
	}
	var asked []headKey
	for h := range r.heads.All() {
		asked = append(asked, h.headKey)
	}
	var want []headKey
	for _, requester := range []string{"A", "B", "C", "D"} {
		want = append(want, headKey{requester: requester, topic: "a"}, headKey{requester: requester, topic: "b"})
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	for range want {
		if err := r.tellHeads(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := greet("E", "a", "b"); err != nil || r.heads.Len() != 2 || len(r.asked) != 2 {
		t.Errorf("when all is told: %v, %d and %d requests, want 2", err, r.heads.Len(), len(r.asked))
	}
	if a := &r.answers; a.MaxPeerBytes != limits.PeerBytes || a.MaxBytes != limits.Bytes {
		t.Errorf("contents under way: %d and %d bytes, want %d and %d", a.MaxPeerBytes, a.MaxBytes, limits.PeerBytes, limits.Bytes)
	}
}

// A requester that does not read keeps its answer waiting, and nobody else.
func TestSlowRequester(t *testing.T) {
	t.Parallel()
	const records, size, pieces = 4000, 20_000, 8
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	padding := strings.Repeat("x", size)
	for sequence := range uint64(records) {
		p.Say(recordMessage(zmqwire.Record, s, sequence, fmt.Sprint(sequence, padding)))
	}
	eventually(t, "the last ACK", func() bool { return p.lastAck("P") == records-1 })

	slow := join(t, tw, "SLOW", nil, "DSLOW", "LSLOW")
	meetReader(t, slow)
	slow.Listen(false)
	slow.fetch("SLOW", "hello", "P", 0, records)
	quick := join(t, tw, "QUICK", nil, "DQUICK", "LQUICK")
	meetReader(t, quick)
	for piece := range uint64(pieces) {
		quick.Forget()
		quick.fetch("QUICK", "hello", "P", piece*records/pieces, 100)
		eventually(t, "an answer beside the slow requester", func() bool { return len(quick.Heard(zmqwire.DirectRecord)) >= 100 })
	}
	// Or there was nothing to hold up: the store was still at it.
	if given := s.Stats().Answered; given >= records+pieces*100 {
		t.Fatalf("%d records are sent: the slow requester's queue took everything", given)
	}
	slow.Listen(true)
	eventually(t, "all records", func() bool { return len(slow.Heard(zmqwire.DirectRecord)) >= records })
	for i, m := range slow.Heard(zmqwire.DirectRecord) {
		if m.Sequence != uint64(i) || string(m.Content) != fmt.Sprint(i, padding) {
			t.Fatalf("the slow requester is given %d (%.20q) as record %d", m.Sequence, m.Content, i)
		}
	}
}

// One that listens to everything and does not read, as a listener that was stopped, keeps nobody from heads for long.
func TestHeadsBesideADeafListener(t *testing.T) {
	t.Parallel()
	const partitions, most = 300, 1000
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	var want []string
	for i := range partitions {
		address := fmt.Sprintf("%0250d", i)
		want = append(want, address)
		m := recordMessage(zmqwire.Record, s, 0, "content")
		m.Address = []byte(address)
		p.Say(m)
	}
	eventually(t, "the last ACK", func() bool { return len(p.Heard(zmqwire.Ack)) >= partitions })
	deaf := towertest.JoinReading(t, tw, "DEAF", zsock.Options{ReceiveLimit: 1}, nil, "", "LDEAF")
	meetReader(t, &peer{deaf})
	deaf.Listen(false)

	name := strings.Repeat("A", 240)
	asker := join(t, tw, name, nil, "E"+name, "L"+name)
	meetReader(t, asker)
	for i, held := 0, false; !held; i++ {
		if i == most {
			t.Fatalf("%d times heads: nobody held them up", i)
		}
		asker.Forget()
		asked := time.Now()
		asker.getHeads(name, "hello")
		eventually(t, "heads", func() bool { return len(asker.Heard(zmqwire.DirectHead)) >= partitions })
		took := time.Since(asked)
		if held = took > 3*time.Second; took > 20*time.Second {
			t.Errorf("heads came after %v", took)
		}
	}
	var got []string
	for _, m := range asker.Heard(zmqwire.DirectHead) {
		got = append(got, string(m.Address))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
	meetReader(t, join(t, tw, "LATE", nil, "LLATE"))
}

// Large and small records at one requester, in turns.
func TestMixedSizes(t *testing.T) {
	t.Parallel()
	const rounds, each = 4, 700
	tw := openTower(t)
	s := openStore(t, tw, t.TempDir())
	p := visit(t, tw, s, "PEER", nil)
	sequence := uint64(0)
	var want []string
	large := strings.Repeat("0123456789abcdef", 1<<16)
	for range rounds {
		for range each {
			want = append(want, fmt.Sprintf("small %d", len(want)))
		}
		for range 10 {
			want = append(want, fmt.Sprintf("large %d %s", len(want), large))
		}
	}
	for sequence < uint64(len(want)) {
		p.Say(recordMessage(zmqwire.Record, s, sequence, want[sequence]))
		sequence++
	}
	eventually(t, "the last ACK", func() bool { return p.lastAck("P") == sequence-1 })
	p.Forget()
	p.fetch("R", "hello", "P", 0, uint32(len(want)))
	eventually(t, "all records", func() bool { return len(p.Heard(zmqwire.DirectRecord)) >= len(want) })
	for i, m := range p.Heard(zmqwire.DirectRecord) {
		if m.Sequence != uint64(i) || string(m.Content) != want[i] {
			t.Fatalf("%d (%.20q) is given as record %d", m.Sequence, m.Content, i)
		}
	}
}

// What is damaged on disk is left out and counted; everything else is given.
func TestDamage(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "PEER", nil)
	for end := uint64(10); end <= 30; end += 10 { // three runs
		fill(t, p, s, end-10, end)
	}
	s.Close()
	p.End()

	db := storetest.DatabaseIn(t, dir)
	key := partdb.AppendRunKey(nil, "hello", "P", 10)
	value, closer, err := db.Pebble.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(value)
	damaged[len(damaged)/2] ^= 1
	closer.Close()
	err = errors.Join(db.Pebble.Set(key, damaged, pebble.Sync),
		db.Pebble.Set(partdb.AppendPartition(nil, partdb.HeadPrefix, "hello", "Q"), []byte("seven b"), pebble.Sync), db.Close())
	if err != nil {
		t.Fatal(err)
	}

	s = openStore(t, tw, dir)
	p = visit(t, tw, s, "PEER2", nil)
	p.fetch("R1", "hello", "P", 0, 30)
	p.fetch("R2", "hello", "P", 20, 10)
	p.getHeads("R3", "hello")
	answered(t, p, "MARK")
	for requester, want := range map[string]given{
		"R1": {Records: lines(0, 10), Heads: []string{`"hello" "P" 29`}},
		"R2": {Records: lines(20, 30)},
		"R3": {Heads: []string{`"hello" "P" 29`}},
	} {
		// The end of an answer may come after the mark.
		eventually(t, "what "+requester+" asked for", func() bool { return cmp.Equal(want, p.given(requester)) })
	}
	if got := s.Stats().Damaged; got != 2 {
		t.Errorf("Stats: %d times damage, want 2", got)
	}
	// A partition whose head cannot be read takes no records: nobody knows where they belong.
	m := recordMessage(zmqwire.Record, s, 0, "")
	m.Address = []byte("Q")
	p.Say(m)
	fill(t, p, s, 30, 31)
	if acked := p.lastAck("Q"); acked != 1<<64-1 {
		t.Errorf("ACK %d of a partition with a damaged head", acked)
	}
}

func TestOpenErrors(t *testing.T) {
	tw := openTower(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign, future, used := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, key := range map[string]string{foreign: "key", future: partdb.VersionKey} {
		db, err := pebble.Open(dir, &pebble.Options{Logger: partdb.PebbleLog{Log: slog.New(slog.DiscardHandler)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set([]byte(key), []byte("3"), pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// What LevelDB leaves in a C store's folder.
	ofC := t.TempDir()
	if err := os.WriteFile(filepath.Join(ofC, "CURRENT"), []byte("MANIFEST-000002\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	openStore(t, tw, used)
	bind := func(endpoint string) func(*tower.NodeConfig) {
		return func(c *tower.NodeConfig) { c.Bind = endpoint }
	}
	for _, test := range []struct {
		what   string
		dir    string
		change func(*tower.NodeConfig)
		want   []string // parts of the error
	}{
		{"no folder", "", nil, []string{"set Dir"}},
		{"a folder in use", used, nil, []string{used, "in use by another store"}},
		{"a file in place of the folder", file, nil, []string{file, "not a directory"}},
		{"a folder below a file", filepath.Join(file, "db"), nil, []string{file, "not a directory"}},
		{"another program's database", foreign, nil, []string{foreign, "not made by a Dafka store"}},
		{"a C store's database", ofC, nil, []string{ofC, "perhaps by a C store"}},
		{"a later format", future, nil, []string{future, `format "3"`}},
		{"no port for the writer", t.TempDir(), bind("tcp://127.0.0.1:65535"), []string{"want 1 to 65534"}},
		{"bad endpoint", t.TempDir(), bind("nonsense"), []string{"bind nonsense"}},
		{"bad tower", t.TempDir(), func(c *tower.NodeConfig) { c.Pub = []string{"here"} }, []string{"tower", `"here"`}},
		{"bad address", t.TempDir(), func(c *tower.NodeConfig) { c.Address = "a\x00" }, []string{"NUL"}},
	} {
		config := Config{Dir: test.dir, Node: at(tw)}
		if test.change != nil {
			test.change(&config.Node)
		}
		s, err := Open(config)
		if err == nil {
			s.Close()
		}
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", test.what, err, want)
			}
		}
		if test.change != nil {
			// What failed left nothing behind.
			openStore(t, tw, test.dir).Close()
		}
	}
}

// With a fixed port the reader listens on it and the writer on the next.
func TestFixedPorts(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	var s *Store
	// A free port whose successor is free too is found by trying.
	for port := 20_000 + os.Getpid()%20_000; s == nil && port < 60_000; port += 2 {
		config := Config{Dir: t.TempDir(), Node: at(tw)}
		config.Node.Bind = fmt.Sprintf("tcp://127.0.0.1:%d", port)
		var err error
		if s, err = Open(config); err != nil && !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
		if err == nil {
			config.Dir = t.TempDir()
			_, err = Open(config)
			if err == nil || !strings.Contains(err.Error(), config.Node.Bind) {
				t.Errorf("a second store on port %d: error %v", port, err)
			}
			config.Node.Bind = fmt.Sprintf("tcp://127.0.0.1:%d", port+1)
			_, err = Open(config)
			if err == nil || !strings.Contains(err.Error(), config.Node.Bind) {
				t.Errorf("a second store on port %d: error %v", port+1, err)
			}
		}
	}
	if s == nil {
		t.Fatal("no two free ports in a row")
	}
	defer s.Close()
	visit(t, tw, s, "PEER", nil)
}

// Close commits and acks what has arrived, however much that is.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := t.TempDir()
	s := openStore(t, tw, dir)
	p := visit(t, tw, s, "PEER", nil)
	padding := strings.Repeat("x", 1000)
	go func() {
		for sequence := range uint64(20_000) {
			p.Say(recordMessage(zmqwire.Record, s, sequence, fmt.Sprint(sequence, padding)))
		}
	}()
	eventually(t, "an ACK", func() bool { return p.lastAck("P") != 1<<64-1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := storetest.DatabaseIn(t, dir)
	defer db.Close()
	got := storetest.Stored(t, db, "hello", "P")
	for sequence, content := range got {
		if content != fmt.Sprint(sequence, padding) {
			t.Fatalf("record %d is %.20q", sequence, content)
		}
	}
	eventually(t, "ACK of the last record stored", func() bool { return p.lastAck("P") == uint64(len(got))-1 })
	if n := s.Stats().Records; n != uint64(len(got))+1 {
		t.Errorf("Stats: %d records stored, the database has %d and one of topic meeting", n, len(got))
	}
}

// A commit waits for more while more comes, and only then.
func TestGathers(t *testing.T) {
	now := time.Now()
	type step struct {
		after time.Duration
		bytes int
		want  bool
	}
	for _, test := range []struct {
		what  string
		steps []step
	}{
		{"little", []step{{0, 1000, false}, {0, gatherFrom - 1, false}}},
		{"much, and more", []step{{0, gatherFrom, true}, {gatherFor / 2, gatherTo - 1, true}, {0, gatherTo, false}}},
		{"a pause", []step{{0, gatherFrom, true}, {gatherPause, gatherFrom, false}}},
		{"too long", []step{{0, gatherFrom, true}, {gatherFor - 1, gatherFrom + 1, true}, {1, gatherFrom + 2, false}}},
		{"all at once", []step{{0, gatherTo, false}}},
	} {
		w := &writer{}
		at := now
		for i, s := range test.steps {
			at = at.Add(s.after)
			w.bytes = s.bytes
			if got := w.gathers(at); got != s.want {
				t.Errorf("%s: step %d: %v", test.what, i, got)
			}
		}
		w.committing = true
		if w.bytes++; w.gathers(at) {
			t.Errorf("%s: waits during a commit", test.what)
		}
	}
}

// What the node's goroutine does with each record of 100 bytes: the sockets and the disk are left out.
func BenchmarkIngest(b *testing.B) {
	w := writerAlone(b)
	go func() {
		for task := range w.commits {
			w.done <- committed{task, nil}
		}
	}()
	defer close(w.commits)
	p, err := w.partition(&zmqwire.Message{Subject: []byte("hello"), Address: []byte("P")})
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		w.record(source{p, true}, p.Next(), content)
		if w.bytes >= pendingBytes/8 {
			w.handOver(time.Now())
			if err := w.settle(<-w.done); err != nil {
				b.Fatal(err)
			}
			w.out.Reset()
		}
	}
}

// Synced commits of 1,000 records of 100 bytes.
func BenchmarkCommit(b *testing.B) {
	db, err := partdb.Open(b.TempDir(), false, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	commits := db.NewCommits()
	defer commits.Close()
	run := storetest.RunOf(0, slices.Repeat([]string{strings.Repeat("x", 100)}, 1000)...)
	b.ReportAllocs()
	b.SetBytes(int64(len(run.Contents)))
	for b.Loop() {
		err := commits.Commit([]*partdb.Appended{{Topic: "hello", Address: "P", Runs: []*zmqwire.Run{run}, Records: run.End()}})
		if err != nil {
			b.Fatal(err)
		}
		run.First = run.End()
	}
}
