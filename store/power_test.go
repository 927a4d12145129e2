package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// powerTrial is a writer over a file system in memory whose power can be cut: then what was synced is left, and of the
// rest as much as chance will have. It has no network: the trial hands the writer its records and reads its ACKs.
//
// Invariant: whenever the power is cut, the database opens, and has of each partition at least what was acked, with its
// bytes, from 0 on, without holes.
type powerTrial struct {
	t *testing.T
	*rand.Rand
	fs        *vfs.MemFS
	tableFrom int          // how many bytes of a partition make a table
	left      atomic.Int64 // operations on files until the power is cut; negative when it is not to be
	loss      vfs.CrashCloneCfg
	during    chan *vfs.MemFS // what that left
	w         *writer
	acked     map[string]uint64
	cuts      int
	tested    int // records compared
}

// powerContent is a record's bytes; some are longer than a run and than a block of Pebble's log.
func powerContent(partition string, sequence uint64) string {
	padding := int(sequence*7919) % 300
	if sequence%53 == 0 {
		padding = 40_000
	}
	return fmt.Sprintf("%s %d %s", partition, sequence, strings.Repeat("x", padding))
}

func (p *powerTrial) database(fs vfs.FS) *partdb.Database {
	p.t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{
		// Small, so that what was logged moves into tables, and tables into others, between one cut and the next.
		FS: fs, MemTableSize: 256 << 10, L0CompactionThreshold: 2, FormatMajorVersion: pebble.FormatNewest, Logger: partdb.PebbleLog{Log: log},
	})
	if err != nil {
		p.t.Fatalf("after %d cuts the database does not open: %v", p.cuts, err)
	}
	d := &partdb.Database{Pebble: db, FS: fs, Sync: pebble.Sync, Log: log, TableFrom: p.tableFrom}
	if err := d.CompleteHeads(); err != nil {
		p.t.Fatalf("after %d cuts the heads cannot be completed: %v", p.cuts, err)
	}
	return d
}

// open starts a writer over what the file system holds.
func (p *powerTrial) open() {
	p.t.Helper()
	const nowhere = "tcp://127.0.0.1:1"
	config := tower.NodeConfig{
		Pub: []string{nowhere}, Sub: []string{nowhere}, Bind: "tcp://127.0.0.1:*", Logger: slog.New(slog.DiscardHandler),
	}
	var err error
	p.left.Store(-1)
	fs := errorfs.Wrap(p.fs, errorfs.InjectorFunc(func(errorfs.Op) error {
		if p.left.Add(-1) == 0 {
			p.during <- p.fs.CrashClone(p.loss)
		}
		return nil
	}))
	if p.w, err = newWriter(config, p.database(fs), &counters{}); err != nil {
		p.t.Fatal(err)
	}
	p.w.committer.Go(p.w.commit)
}

func (p *powerTrial) close() {
	close(p.w.commits)
	p.w.committer.Wait()
	p.w.node.Close()
	p.w.db.Close()
}

// restart goes on with what a power loss left.
func (p *powerTrial) restart(left *vfs.MemFS) {
	p.t.Helper()
	p.close()
	p.fs = left
	p.open()
}

// publish gives the writer each partition's next records, a few of them twice or too early.
func (p *powerTrial) publish(partitions int) {
	p.t.Helper()
	for i := range partitions {
		name := fmt.Sprint("P", i)
		known, err := p.w.partition(&zmqwire.Message{Subject: []byte("hello"), Address: []byte(name)})
		if err != nil {
			p.t.Fatal(err)
		}
		for range p.IntN(20) {
			sequence := known.Next() + uint64(max(0, p.IntN(8)-6)) - min(known.Next(), uint64(max(0, p.IntN(8)-6)))
			p.w.record(source{known, true}, sequence, []byte(powerContent(name, sequence)))
		}
	}
}

// hearAcks takes what the writer says.
func (p *powerTrial) hearAcks() {
	p.t.Helper()
	for frames := p.w.out.Next(); frames != nil; frames = p.w.out.Next() {
		var m zmqwire.Message
		if err := m.Decode(frames); err != nil {
			p.t.Fatal(err)
		}
		if m.Kind == zmqwire.Ack {
			p.acked[string(m.Routing)] = max(p.acked[string(m.Routing)], m.Sequence+1)
		}
	}
	p.w.out.Reset()
}

// cut is the file system as a power loss at this moment leaves it.
func (p *powerTrial) cut() *vfs.MemFS {
	p.cuts++
	return p.fs.CrashClone(p.unsynced())
}

// unsynced is how much is left of what was not synced.
func (p *powerTrial) unsynced() vfs.CrashCloneCfg {
	return vfs.CrashCloneCfg{
		UnsyncedDataPercent: []int{0, 0, 50, 100}[p.IntN(4)], RNG: rand.New(rand.NewPCG(p.Uint64(), 0)),
	}
}

// commit commits what was published, if anything was, and cuts the power on the way.
func (p *powerTrial) commit() (done committed, during *vfs.MemFS) {
	p.loss = p.unsynced()
	p.left.Store(1 + p.Int64N(20))
	p.w.handOver(time.Now())
	if !p.w.committing {
		p.left.Store(-1)
		return committed{}, nil
	}
	done = <-p.w.done
	if p.left.Swap(-1) > 0 {
		return done, p.cut()
	}
	p.cuts++
	return done, <-p.during
}

// check opens what a power loss left.
func (p *powerTrial) check(fs *vfs.MemFS, partitions int) {
	p.t.Helper()
	p.checkLogs(fs)
	db := p.database(fs)
	defer db.Close()
	for i := range partitions {
		name := fmt.Sprint("P", i)
		got := storetest.Stored(p.t, db, "hello", name)
		if uint64(len(got)) < p.acked[name] {
			p.t.Fatalf("cut %d: %d records of %s are left, %d were acked", p.cuts, len(got), name, p.acked[name])
		}
		for sequence, content := range got {
			if want := powerContent(name, uint64(sequence)); content != want {
				p.t.Fatalf("cut %d: record %d of %s is %.40q, want %.40q", p.cuts, sequence, name, content, want)
			}
		}
		p.tested += len(got)
	}
}

// checkLogs insists that what a power loss did to the logs does not pass for damage.
func (p *powerTrial) checkLogs(fs *vfs.MemFS) {
	p.t.Helper()
	names, err := fs.List("db")
	if err != nil {
		p.t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !partdb.IsLog(name) })
	slices.Sort(names)
	for i, name := range names {
		file, err := fs.Open(fs.PathJoin("db", name))
		if err != nil {
			p.t.Fatal(err)
		}
		data, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			p.t.Fatal(err)
		}
		number, _, _ := wal.ParseLogFilename(name)
		l := partdb.LogFile{Data: data, Number: uint32(number)}
		r := l.Read(func([]byte) error { return nil })
		if err := r.Damaged(i == len(names)-1); err != nil {
			p.t.Fatalf("after %d cuts log %s passes for damaged: %v", p.cuts, name, err)
		}
	}
}

// powerCuts is how often the power is cut; under the race detector, which slows each cut tenfold, fewer times.
var powerCuts = 900

// TestPowerLossAtEachCommit cuts the power while a commit is under way, when it has returned, and when its ACKs are out:
// some hundred times, and 50 times more for each round of DAFKA_TORTURE.
func TestPowerLossAtEachCommit(t *testing.T) {
	t.Parallel()
	cuts := powerCuts
	if rounds, err := strconv.Atoi(os.Getenv("DAFKA_TORTURE")); err == nil {
		cuts += 50 * rounds
	}
	total, tested, restarts := 0, 0, 0
	for seed := uint64(0); total < cuts; seed++ {
		p := &powerTrial{t: t, Rand: rand.New(rand.NewPCG(seed, 4)), fs: vfs.NewCrashableMem(), acked: make(map[string]uint64)}
		p.during = make(chan *vfs.MemFS, 1)
		p.tableFrom = []int{partdb.OwnTableBytes, 1, 3000}[seed%3]
		partitions := 1 + p.IntN(4)
		p.open()
		for p.cuts < 150 {
			p.publish(partitions)
			p.w.repeatAcks()
			p.hearAcks()
			if done, during := p.commit(); p.w.committing {
				if p.IntN(4) == 0 {
					p.restart(during)
					restarts++
					continue
				}
				before := p.cut()
				if err := p.w.settle(done); err != nil {
					t.Fatal(err)
				}
				// What is acked from now on, the first of these need not have.
				p.check(during, partitions)
				p.hearAcks()
				p.check(before, partitions)
			}
			after := p.cut()
			p.check(after, partitions)
			if p.IntN(10) == 0 {
				p.restart(p.cut())
				restarts++
			}
		}
		p.close()
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
		total, tested = total+p.cuts, tested+p.tested
	}
	t.Logf("power cut %d times, the store restarted after %d of them: %d records compared, none that was acked lost", total, restarts, tested)
}
