package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Programs end when they are told to, soon and cleanly, and when their work is done.

// endless is input without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("a line of an endless log\n", 1000)), nil
}

var signals = []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}

func TestSignalUnderLoad(t *testing.T) {
	t.Parallel()
	for _, s := range signals {
		t.Run(s.String(), func(t *testing.T) {
			// Not in parallel: the load is for one at a time.
			load := func(t *testing.T) (tower, store, producer, consumer *process) {
				tower, c := startTower(t)
				store = c.store(t.TempDir())
				consumer = c.start(nil, "consume", "hello", "--from-beginning")
				producer = c.start(endless{}, "produce", "hello")
				consumer.waitForLines(20_000)
				return tower, store, producer, consumer
			}
			tower, store, producer, consumer := load(t)
			tower.end(s, 0)
			consumer.end(s, 0)
			store.end(s, 0)
			// What the store had not acked, nobody has.
			endProducer(producer, s)

			_, _, producer, _ = load(t)
			endProducer(producer, s)
		})
	}
}

// endProducer tells a producer under full load to end. Whether its last records are acked in time is the store's
// affair; when they are not, it says so.
func endProducer(p *process, s syscall.Signal) {
	p.t.Helper()
	begin := time.Now()
	p.signal(s)
	<-p.ended
	if took := time.Since(begin); took > soon {
		p.t.Errorf("%s ended %v after %v, want %v", p, took, s, soon)
	}
	told := strings.Contains(p.stderr.String(), "were not acked")
	if status := p.cmd.ProcessState.ExitCode(); status != 0 && !(status == 1 && told) {
		p.t.Errorf("%s: exit status %d", p, status)
	}
}

func TestSignalWithoutTower(t *testing.T) {
	t.Parallel()
	nowhere := &cluster{t: t, pub: []string{"tcp://127.0.0.1:1"}, sub: []string{"tcp://127.0.0.1:1"}}
	for _, s := range signals {
		producer, _, _ := nowhere.produceSlowly("hello")
		consumer := nowhere.start(nil, "consume", "hello")
		ending := nowhere.start(nil, "consume", "hello", "--until-end")
		store := nowhere.start(nil, "store", "--db", t.TempDir())
		for _, p := range []*process{producer, consumer, ending, store} {
			p.waitFor("waiting for tower")
			p.end(s, 0)
		}
	}
}

// Without a store nothing is acked, and the producer says how much that is.
func TestSignalWithoutStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, s := range signals {
		p := c.produce("hello", lines("a", 1234))
		p.waitFor("1234 records wait for a store")
		p.end(s, 1)
		if want := "1234 of 1234 records were not acked"; !strings.Contains(p.stderr.String(), want) {
			t.Errorf("stderr: %s\nwant %q", p.stderr.String(), want)
		}
	}
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, s := range signals {
		p := c.produce("hello", lines("a", 10))
		p.waitFor("10 records wait for a store")
		p.signal(s)
		p.waitFor("a second signal ends at once")
		begin := time.Now()
		p.signal(s)
		p.mustEnd(128 + int(s))
		if took := time.Since(begin); took > soon/2 {
			t.Errorf("a second %v ended %s after %v", s, p, took)
		}
	}
}

// With --until-end a status of 0 says that the end is certain.
func TestUntilEndOfNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ends := func(status int, want string, flags ...string) {
		t.Helper()
		p := c.start(nil, append([]string{"consume", "hello"}, flags...)...)
		p.mustEnd(status)
		if got := p.stdout.String() + p.stderr.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", p, got, want)
		}
	}
	ends(3, "no store has answered in the cluster of the tower at "+c.pub[0], "--until-end", "--timeout", "2s")
	ends(0, "", "--until-end", "--min-stores", "0")
	ends(1, "no node knows topic hello; ", "-e", "--from-beginning", "--min-stores", "0")
	c.store(t.TempDir())
	ends(0, "", "--until-end")
	ends(1, "no node knows topic hello; ", "-e", "--from-beginning")
	ends(3, "only 1 of 2 stores have answered", "-e", "--from-beginning", "--min-stores", "2", "--timeout", "3s")
}

// A store that is gone, or stopped, makes the end uncertain, and one of two that is stopped is named.
func TestUntilEndWithoutItsStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dir := t.TempDir()
	first := c.store(dir)
	want := partitions{"hello/a": lines("a", 100)}
	c.produce("hello", want["hello/a"]).mustEnd(0)
	ends := func(status int, printed partitions, says string) {
		t.Helper()
		p := c.start(nil, "consume", "--from-beginning", "-e", "--timeout", "4s", "--format", "json", "hello")
		p.mustEnd(status)
		if said := p.stderr.String(); !strings.Contains(said, says) {
			t.Errorf("stderr: %q, want %q", said, says)
		}
		equal(t, "consumed", printed, p.partitions())
	}
	ends(0, want, "")
	first.signal(syscall.SIGSTOP)
	ends(3, partitions{}, "no store has answered")
	first.signal(syscall.SIGCONT)
	eventually(t, "the store is back", func() bool {
		p := c.start(nil, "consume", "--from-beginning", "-e", "--format", "json", "hello")
		<-p.ended
		return p.cmd.ProcessState.ExitCode() == 0
	})
	first.signal(syscall.SIGKILL)
	<-first.ended
	ends(3, partitions{}, "no store has answered")
}

// What ends by itself does not wait for a tower for ever, nor does anything else that has a --timeout.
func TestConsumeWithoutTower(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"-e"}, {"-n", "1"}, {"--from-beginning"}} {
		p := start(t, nil, slices.Concat([]string{"consume", "hello", "--timeout", "500ms",
			"--pub", "tcp://127.0.0.1:1", "--sub", "tcp://127.0.0.1:1"}, flags)...)
		p.mustEnd(3)
		if said := p.stderr.String(); !strings.Contains(said, "no tower answers at tcp://127.0.0.1:1") {
			t.Errorf("%q: stderr %q", flags, said)
		}
	}
}

func TestStoreThatCannotOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	used, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	first := c.store(used)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		used: "database " + used + " is in use by another store",
		file: "not a directory",
	} {
		second := c.start(nil, "store", "--db", dir)
		second.mustEnd(1)
		if said := second.stderr.String(); !strings.HasPrefix(said, "dafka: error: ") || !strings.Contains(said, want) ||
			strings.Count(said, "\n") != 1 {
			t.Errorf("a store at %s says %q, want %q", dir, said, want)
		}
	}
	// The first is none the worse.
	want := partitions{"hello/a": lines("a", 100)}
	c.produce("hello", want["hello/a"]).mustEnd(0)
	equal(t, "consumed", want, c.all("hello"))
	first.end(syscall.SIGTERM, 0)
}

// Who looks on has nothing to tell, and is not waited for.
func TestUntilEndBesideASniffer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	want := partitions{"hello/a": lines("a", 100)}
	c.produce("hello", want["hello/a"]).mustEnd(0)
	for _, args := range [][]string{{"sniff"}, {"sniff", "--kind", "record"}, {"sniff", "--topic", "hello"}} {
		c.start(nil, append(args, "--verbose")...).waitFor("connected to peer")
	}
	c.consume("--all").waitFor("connected to peer")
	consumer := c.consume("hello", "--from-beginning", "--until-end")
	begin := time.Now()
	consumer.mustEnd(0)
	if took, said := time.Since(begin), consumer.stderr.String(); took > 8*time.Second || strings.Contains(said, "missing") {
		t.Errorf("the end took %v; stderr:\n%s", took, said)
	}
	equal(t, "consumed", want, consumer.partitions())
}

// With --stored a consumer prints what a store has, when it has it; without, it prints what no store may ever get.
func TestConsumeStored(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	stored := c.consume("--stored", "--from-beginning", "hello")
	live := c.consume("--from-beginning", "hello")
	stored.waitFor("connected to tower")
	live.waitFor("connected to tower")
	_, publish, _ := c.produceSlowly("hello")
	want := lines("a", 100)
	publish(want[:50]...)
	live.waitForLines(50)
	if got := stored.partitions(); len(got) > 0 {
		t.Errorf("printed without a store: %v", got)
	}
	c.store(t.TempDir())
	stored.waitForLines(50)
	publish(want[50:]...)
	stored.waitForLines(100)
	equal(t, "stored", partitions{"hello/a": want}, stored.partitions())
}
