package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crashRound is one cluster under load in which one process is struck: killed, stopped for a while, or told to end.
//
// Invariants: those of load, in every store; and a consumer that went on has everything, too.
type crashRound struct {
	load
	*rand.Rand
	role, blow, phase string
	pause             time.Duration // of a stop

	cluster   *cluster
	witness   *witness
	tower     *process
	stores    []*process
	dirs      []string
	consumers []*process // that are to have everything in the end
}

var (
	crashRoles  = []string{"tower", "store", "producer", "consumer"}
	crashPhases = []string{"idle", "ingest", "replay", "repair", "joining"}
	crashBlows  = []string{"KILL", "TERM", "STOP 1s", "STOP 5s", "STOP 30s"}
)

func (r *crashRound) consume(flags ...string) *process {
	r.Helper()
	return r.cluster.consume(append([]string{"hello", "--from-beginning"}, flags...)...)
}

// wait lets a random time pass: the blow is to fall at any moment.
func (r *crashRound) wait(most time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(most)))) }

// run is the round.
func (r *crashRound) run() {
	r.Helper()
	r.tower, r.cluster = startTower(r.T)
	r.produce = func(stdin *os.File) *process { return r.cluster.startOnTerminal(stdin, "produce", "hello") }
	stores := 1 + r.IntN(2)
	if r.phase == "repair" {
		stores = 1 // the second comes later
	}
	for range stores {
		r.addStore()
	}
	r.witness = r.cluster.witness()
	r.acked = r.witness.ackedOf
	r.feed("before", 200+r.IntN(3000), time.Millisecond).finish()
	live := r.consume().connected()
	live.waitForLines(int(r.feeds[0].given.Load()))
	r.consumers = append(r.consumers, live)
	// What the consumers print is kept: the longer the round, the less there is to be of it.
	count := 10 + r.IntN(100)
	if r.pause > time.Second {
		count /= 5
	}
	steady := r.feed("load", count, 10*time.Millisecond)
	live.waitForLines(live.stdout.lineCount() + 10)

	victim := r.stage(live, steady)
	r.wait(500 * time.Millisecond)
	r.strike(victim, steady)

	// Whatever happened, further records come through.
	further := r.feed("further", 500, 5*time.Millisecond)
	r.wait(300 * time.Millisecond)
	further.finish()
	if !steady.whole {
		steady.finish()
	}

	// What is there is there in every store, and everybody gets it.
	all := r.consume("--until-end")
	all.mustEnd(0)
	records := r.check("a new consumer", all, true)
	r.witness.awaitStores("hello", len(r.stores), records)
	for _, consumer := range r.consumers {
		r.await(consumer, records)
		consumer.end(syscall.SIGTERM, 0)
		r.check("a consumer that was there", consumer, true)
	}
	for i := range len(r.stores) - 1 {
		r.stores[i].end(syscall.SIGTERM, 0)
	}
	if len(r.stores) > 1 {
		alone := r.consume("--until-end")
		alone.mustEnd(0)
		r.check("a new consumer, with one store left", alone, true)
	}
	r.stores[len(r.stores)-1].end(syscall.SIGTERM, 0)
	r.tower.end(syscall.SIGTERM, 0)
}

func (r *crashRound) addStore() {
	r.Helper()
	r.dirs = append(r.dirs, r.TempDir())
	r.stores = append(r.stores, r.cluster.store(r.dirs[len(r.dirs)-1]))
}

// stage brings the cluster into the phase, and says who is to be struck.
func (r *crashRound) stage(live *process, steady *feed) *process {
	r.Helper()
	victims := map[string]*process{
		"tower": r.tower, "store": r.stores[r.IntN(len(r.stores))], "producer": steady.producer, "consumer": live,
	}
	switch r.phase {
	case "idle":
		steady.pause()
		live.waitForLines(int(r.feeds[0].given.Load() + steady.given.Load()))
	case "replay":
		replaying := r.consume()
		victims["consumer"] = replaying
		r.consumers = append(r.consumers, replaying)
	case "repair":
		r.addStore()
		victims["store"] = r.stores[r.IntN(2)]
	case "joining":
		switch r.role {
		case "tower":
			// The others look for a tower that has just come.
			r.tower.end(syscall.SIGTERM, 0)
			r.tower = r.cluster.tower()
			victims["tower"] = r.tower
		case "store":
			r.dirs = append(r.dirs, r.TempDir())
			r.stores = append(r.stores, r.cluster.start(nil, "store", "--db", r.dirs[len(r.dirs)-1]))
			victims["store"] = r.stores[len(r.stores)-1]
		case "producer":
			victims["producer"] = r.feed("joining", 50, 10*time.Millisecond).producer
		case "consumer":
			joining := r.consume()
			victims["consumer"] = joining
			r.consumers = append(r.consumers, joining)
		}
	}
	return victims[r.role]
}

// strike does what the round is about, and puts another process in the place of one that is gone.
func (r *crashRound) strike(victim *process, steady *feed) {
	r.Helper()
	var struck *feed
	for _, f := range r.feeds {
		if f.producer == victim {
			struck = f
		}
	}
	switch r.blow {
	case "KILL":
		victim.kill()
	case "TERM":
		endAnywhere(victim)
	default:
		victim.signal(syscall.SIGSTOP)
		time.Sleep(r.pause)
		victim.signal(syscall.SIGCONT)
		if struck != nil && struck != steady {
			struck.finish()
		}
		return
	}
	r.wait(time.Second)
	switch r.role {
	case "tower":
		r.tower = r.cluster.tower()
	case "store":
		i := slices.Index(r.stores, victim)
		r.stores[i] = r.cluster.store(r.dirs[i])
	case "producer":
		struck.struck = true
		if struck != steady {
			struck.finish()
		}
	case "consumer":
		r.check("a consumer that was struck", victim, false)
		r.consumers = slices.DeleteFunc(r.consumers, func(p *process) bool { return p == victim })
		r.consumers = append(r.consumers, r.consume())
	}
}

// endAnywhere tells a process to end that may have been started a moment ago: before it listens to signals, they end it
// as well.
func endAnywhere(p *process) {
	p.t.Helper()
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	<-p.ended
	if took := time.Since(begin); took > soon {
		p.t.Errorf("%s ended after %v, want %v", p, took, soon)
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	early := status.Signaled() && status.Signal() == syscall.SIGTERM && p.stderr.String() == ""
	told := status.ExitStatus() == 1 && strings.Contains(p.stderr.String(), "were not acked") // a producer, of its last records
	if status != 0 && !early && !told {
		p.t.Errorf("%s: %v", p, p.cmd.ProcessState)
	}
}

// TestCrashMatrix strikes each role in each phase in each way, at random moments: a few rounds, and one more for each
// of DAFKA_TORTURE; 100 have all combinations once. DAFKA_SEED repeats the choices of a run, though not its moments.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	type combination struct{ role, blow, phase string }
	var combinations []combination
	for _, role := range crashRoles {
		for _, blow := range crashBlows {
			for _, phase := range crashPhases {
				// The ordinary run has no time for long stops.
				if torture() > 0 || blow != "STOP 5s" && blow != "STOP 30s" {
					combinations = append(combinations, combination{role, blow, phase})
				}
			}
		}
	}
	seed := tortureSeed()
	choose := rand.New(rand.NewPCG(seed, 0))
	choose.Shuffle(len(combinations), func(i, j int) { combinations[i], combinations[j] = combinations[j], combinations[i] })
	t.Logf("seed %d", seed)
	rounds := 4 + torture()
	if torture() > 0 {
		rounds = torture()
	}
	var records, ended atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d rounds of %d, %d records checked, failed: %v", ended.Load(), rounds, records.Load(), t.Failed())
	})
	for i := range rounds {
		c := combinations[i%len(combinations)]
		t.Run(fmt.Sprintf("%d %s %s %s", i, c.role, c.blow, c.phase), func(t *testing.T) {
			t.Parallel()
			r := &crashRound{
				load: load{T: t}, Rand: rand.New(rand.NewPCG(seed, uint64(i)+1)), role: c.role, blow: c.blow, phase: c.phase,
			}
			if stop, ok := strings.CutPrefix(c.blow, "STOP "); ok {
				r.pause, _ = time.ParseDuration(stop)
			}
			r.run()
			records.Add(int64(r.records))
			ended.Add(1)
			t.Logf("seed %d, round %d: %s, %s while %s; %d records checked", seed, i, c.role, c.blow, c.phase, r.records)
		})
	}
}
