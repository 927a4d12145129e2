package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is what some producers were given, and the judge of what came of it.
//
// Invariants:
//
//	a partition holds what its producer was given, in order, from the first on, and nothing else;
//	what a store acked, and what the producer said was acked, is there afterwards;
//	a producer that ends well has lost nothing, and one that is killed only what was not acked.
type load struct {
	*testing.T
	produce func(stdin *os.File) *process // starts a producer of topic hello
	acked   func(partition string) uint64 // how many records a store was heard to ack

	feeds   []*feed
	records int // compared
}

// torture is how many rounds the long tests go: DAFKA_TORTURE, and 0 in the ordinary run.
func torture() int {
	rounds, _ := strconv.Atoi(os.Getenv("DAFKA_TORTURE"))
	return rounds
}

// tortureSeed is DAFKA_SEED, or one of its own for each run.
func tortureSeed() uint64 {
	if seed, err := strconv.ParseUint(os.Getenv("DAFKA_SEED"), 10, 64); err == nil {
		return seed
	}
	return rand.Uint64N(1 << 32)
}

// feed is a producer and what it is given, a few lines at a time, as long as the load lasts.
type feed struct {
	name     string
	producer *process
	in       *os.File
	quit     chan struct{}
	done     chan struct{}
	given    atomic.Int64
	count    int           // of lines at a time
	every    time.Duration // how often
	whole    bool          // the producer ended well: all is acked
	struck   bool
}

// feedLine is a line as a producer is given it.
func feedLine(name string, i int) string {
	return fmt.Sprintf("%s %d %s", name, i, "some more text so that it has the size of a line of a log"[:i%58])
}

// feed starts a producer that is given lines until it is told to finish, or has ended.
func (l *load) feed(name string, count int, every time.Duration) *feed {
	l.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		l.Fatal(err)
	}
	f := &feed{
		name: name, in: out, quit: make(chan struct{}), done: make(chan struct{}), count: count, every: every,
		producer: l.produce(in),
	}
	l.Cleanup(sync.OnceFunc(func() { out.Close() }))
	go func() {
		defer close(f.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			var text []byte
			first := int(f.given.Load())
			for i := range count {
				text = append(append(text, feedLine(name, first+i)...), '\n')
			}
			// Of what a write does not finish, some may have been read.
			f.given.Add(int64(count))
			if _, err := out.Write(text); err != nil {
				return
			}
			select {
			case <-f.quit:
				return
			case <-tick.C:
			}
		}
	}()
	l.feeds = append(l.feeds, f)
	return f
}

// finish ends the input; a producer that was left alone must then end well.
func (f *feed) finish() {
	f.producer.t.Helper()
	close(f.quit)
	select {
	case <-f.done:
	case <-time.After(waitAtMost):
		f.producer.t.Fatalf("%s does not read what it is given", f.producer)
	}
	f.in.Close()
	if !f.struck {
		f.producer.mustEnd(0)
		f.whole = true
	}
}

var unackedSaid = regexp.MustCompile(`(\d+) of (\d+) records were not acked`)

// saidAcked is how many records the producer has said are acked: while it ran, or by what it said at its end.
func (f *feed) saidAcked() uint64 {
	acked := f.producer.saidAcked()
	if said := unackedSaid.FindStringSubmatch(f.producer.stderr.String()); said != nil {
		unacked, _ := strconv.ParseUint(said[1], 10, 64)
		sent, _ := strconv.ParseUint(said[2], 10, 64)
		acked = max(acked, sent-unacked)
	}
	return acked
}

// read gives what a consumer has printed, by partition, and insists on the order of its sequences from 0 on.
func (l *load) read(p *process) map[string][]string {
	l.Helper()
	contents := make(map[string][]string)
	text := p.stdout.String()
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		var record struct {
			Partition, Content string
			Sequence           uint64
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			l.Fatalf("%s: %v: %s", p, err, line)
		}
		if n := uint64(len(contents[record.Partition])); record.Sequence != n {
			l.Fatalf("%s gives record %d of partition %s behind %d", p, record.Sequence, record.Partition, n)
		}
		contents[record.Partition] = append(contents[record.Partition], record.Content)
	}
	return contents
}

// check compares what a consumer has given with what the producers were given, and returns how many records of each
// partition it gave. A consumer that was struck need not have everything.
func (l *load) check(what string, p *process, everything bool) map[string]uint64 {
	l.Helper()
	records := make(map[string]uint64)
	found := make(map[string]bool)
	for partition, contents := range l.read(p) {
		name, _, _ := strings.Cut(contents[0], " ")
		i := slices.IndexFunc(l.feeds, func(f *feed) bool { return f.name == name })
		if i < 0 || found[name] {
			l.Fatalf("%s: partition %s begins with %q", what, partition, contents[0])
		}
		f := l.feeds[i]
		found[name] = true
		if len(contents) > int(f.given.Load()) {
			l.Errorf("%s: %d records of %s, which was given %d lines", what, len(contents), name, f.given.Load())
		}
		for i, content := range contents {
			if want := feedLine(name, i); content != want {
				l.Fatalf("%s: record %d of %s is %q, want %q", what, i, name, content, want)
			}
		}
		l.records += len(contents)
		records[partition] = uint64(len(contents))
		if !everything {
			continue
		}
		if n := max(l.acked(partition), f.saidAcked()); uint64(len(contents)) < n {
			l.Errorf("%s: LOST: %d records of %s, of which %d were acked (%d heard, %d said)",
				what, len(contents), name, n, l.acked(partition), f.saidAcked())
		}
		if f.whole && len(contents) < int(f.given.Load()) {
			l.Errorf("%s: LOST: %d records of %s, which was given %d lines and ended well", what, len(contents), name, f.given.Load())
		}
	}
	for _, f := range l.feeds {
		if everything && !found[f.name] && (f.whole || f.saidAcked() > 0) {
			l.Errorf("%s: LOST: no record of %s, of which %d were acked", what, f.name, f.saidAcked())
		}
	}
	return records
}

// pause ends a feed's load and leaves its producer alone.
func (f *feed) pause() {
	close(f.quit)
	<-f.done
	f.quit = make(chan struct{})
}

// await waits until a consumer has given so many records of each partition. Of those of a producer that is gone, stores
// that missed them ask each other every minute, and consumers the stores.
func (l *load) await(p *process, records map[string]uint64) {
	l.Helper()
	lines := 0
	for _, n := range records {
		lines += int(n)
	}
	whole := func() bool {
		if p.stdout.lineCount() < lines {
			return false // reading all of them takes long
		}
		given := l.read(p)
		for partition, n := range records {
			if uint64(len(given[partition])) < n {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(3 * waitAtMost); !whole(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.check("a consumer that has not everything", p, true)
			l.Fatalf("%s: %d lines, want %d or more", p, p.stdout.lineCount(), lines)
		}
	}
}

var ackedSaid = regexp.MustCompile(`(\d+) records? sent, (\d+) acked`)

// saidAcked is how many records a producer on a terminal has said are acked.
func (p *process) saidAcked() uint64 {
	p.t.Helper()
	said := ackedSaid.FindAllStringSubmatch(p.stderr.String(), -1)
	if len(said) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(said[len(said)-1][2], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
