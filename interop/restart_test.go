package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Nodes go away and come back.

func TestStoreRestarted(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			dir := t.TempDir()
			stop := func(store *process) {
				if s == syscall.SIGKILL {
					store.kill()
				} else {
					store.end(s, 0)
				}
			}
			store := c.store(dir)
			live := c.consume("hello", "--from-beginning").connected()
			want := partitions{"hello/a": lines("a", 3000), "hello/b": lines("b", 60_000), "hello/c": lines("c", 3000)}
			c.produce("hello", want["hello/a"]).mustEnd(0)

			// Between two producers.
			stop(store)
			store = c.store(dir)
			equal(t, "after a restart", partitions{"hello/a": want["hello/a"]}, c.all("hello"))

			// In the midst of one, twice.
			b, publish, end := c.produceSlowly("hello")
			for range 2 {
				half := len(want["hello/b"]) / 3
				publish(want["hello/b"][:half]...)
				want["hello/b"] = want["hello/b"][half:]
				live.waitForLines(live.stdout.lineCount() + 100)
				stop(store)
				publish(want["hello/b"][:1000]...)
				want["hello/b"] = want["hello/b"][1000:]
				store = c.store(dir)
			}
			publish(want["hello/b"]...)
			want["hello/b"] = lines("b", 60_000)
			end()
			b.mustEnd(0)
			c.produce("hello", want["hello/c"]).mustEnd(0)
			equal(t, "from the beginning", want, c.all("hello"))
			live.waitForLines(66_000)
			equal(t, "live", want, live.partitions())
		})
	}
}

// A store that is killed in the midst of a table has all that it has acked, and its database is sound.
func TestStoreKilledWhileItWritesTables(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dir := t.TempDir()
	want, file := longLines(t, 40_000)
	store := c.store(dir)
	producer := c.start(nil, "produce", "hello", file)
	killed := 0
	for killed < 4 && awaitTable(t, dir, producer, func() bool { return true }) {
		store.kill()
		killed++
		start(t, nil, "store", "verify", "--db", dir).mustEnd(0)
		store = c.store(dir)
	}
	if killed == 0 && !raced {
		t.Error("no table was written")
	}
	t.Logf("killed %d times", killed)
	producer.mustEnd(0)
	equal(t, "from the beginning", partitions{"hello/a": want}, c.all("hello"))
	store.end(syscall.SIGTERM, 0)
	start(t, nil, "store", "verify", "--db", dir).mustEnd(0)
}

// longLines gives lines of which a table holds few, and a file of them.
func longLines(t *testing.T, n int) (want []string, file string) {
	t.Helper()
	want = lines("a", n)
	for i := range want {
		want[i] += strings.Repeat(" 123456789", 150)
	}
	file = filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(strings.Join(want, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return want, file
}

// awaitTable waits until the store in a folder writes a table while a condition holds; false when the producer has ended.
func awaitTable(t *testing.T, dir string, producer *process, condition func() bool) (writes bool) {
	t.Helper()
	eventually(t, "a table, or the end", func() bool {
		tables, _ := filepath.Glob(filepath.Join(dir, "table-*.tmp"))
		select {
		case <-producer.ended:
			return true
		default:
			writes = len(tables) > 0 && condition()
			return writes
		}
	})
	return writes
}

// A tower is needed to meet, and for nothing else.
func TestTowerRestarted(t *testing.T) {
	t.Parallel()
	tw, c := startTower(t)
	c.store(t.TempDir())
	live := c.consume("hello", "--from-beginning").connected()
	want := partitions{"hello/a": lines("a", 4000), "hello/b": lines("b", 2000)}
	a, publish, end := c.produceSlowly("hello")
	publish(want["hello/a"][:1000]...)
	live.waitForLines(1000)
	tw.kill()
	// Longer than a node is believed in that cannot be heard.
	publish(want["hello/a"][1000:2000]...)
	live.waitFor("tower is silent")
	live.waitForLines(2000)
	publish(want["hello/a"][2000:3000]...)
	live.waitForLines(3000)

	tw = c.tower()
	c.produce("hello", want["hello/b"]).mustEnd(0)
	publish(want["hello/a"][3000:]...)
	live.waitForLines(6000)
	end()
	a.mustEnd(0)
	equal(t, "a consumer that joined after the restart", want, c.all("hello"))
	equal(t, "a consumer that was there before", want, live.partitions())
	tw.end(syscall.SIGTERM, 0)
}

// C consumers stop after 100,001 records of a producer that is gone.
func TestReplayOf500000Records(t *testing.T) {
	t.Parallel()
	const records = 500_000
	c := newCluster(t)
	dir := t.TempDir()
	store := c.store(dir)
	want := lines("a", records)
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(strings.Join(want, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c.start(nil, "produce", "hello", file).mustEnd(0)
	produced := time.Since(begin)
	store.end(syscall.SIGTERM, 0)
	c.store(dir)

	begin = time.Now()
	consumer := c.start(nil, "consume", "hello", "--from-beginning", "--until-end", "--format", "c")
	consumer.mustEnd(0)
	t.Logf("%d records: %v until all were acked, %v to replay them to the end", records, produced, time.Since(begin))
	partition, n := "", 0
	for line := range strings.Lines(consumer.stdout.String()) {
		// topic, partition, content
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if n == 0 {
			partition = parts[1]
		}
		if parts[0] != "hello" || parts[1] != partition || n == records || parts[2] != want[n] {
			t.Fatalf("record %d of partition %s is %q", n, partition, line)
		}
		n++
	}
	if n != records {
		t.Errorf("%d records replayed of %d", n, records)
	}
}

func TestTwoStores(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	stores := []*process{c.store(dirs[0]), c.store(dirs[1])}
	c.awaitHeads("nothing yet", 0, 0, 1)
	want := partitions{"hello/a": lines("a", 100_000)}
	a, publish, end := c.produceSlowly("hello")
	publish(want["hello/a"]...)
	c.awaitHeads("hello", 2, 1, 100_000)
	end()
	a.mustEnd(0)

	// Each has everything.
	for i := range stores {
		stores[i].end(syscall.SIGTERM, 0)
		equal(t, fmt.Sprintf("without store %d", i), want, c.all("hello"))
		stores[i] = c.store(dirs[i])
	}
	// One dies while a consumer replays; the other goes on.
	c.awaitHeads("hello", 2, 1, 100_000)
	for i := range stores {
		consumer := c.consume("hello", "--from-beginning")
		consumer.waitForLines(1000)
		stores[i].kill()
		consumer.waitForLines(100_000)
		consumer.end(syscall.SIGTERM, 0)
		equal(t, fmt.Sprintf("store %d died", i), want, consumer.partitions())
		stores[i] = c.store(dirs[i])
	}
	// A store that was away gets what it missed, if not everybody else is gone.
	stores[0].end(syscall.SIGTERM, 0)
	want["hello/b"] = lines("b", 5000)
	b, publish, end := c.produceSlowly("hello")
	publish(want["hello/b"]...)
	c.awaitHeads("hello", 1, 1, 5000)
	stores[0] = c.store(dirs[0])
	publish("b last")
	want["hello/b"] = append(want["hello/b"], "b last")
	c.awaitHeads("hello", 2, 1, 5001)
	end()
	b.mustEnd(0)
	stores[1].end(syscall.SIGTERM, 0)
	equal(t, "from the store that was away", want, c.all("hello"))
}

// A store that lost its disk, or was away, has in the end what another has, although its producers are gone.
func TestStoreThatLostItsDisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	other := c.store(t.TempDir())
	want := partitions{"hello/a": lines("a", 50_000), "hello/b": lines("b", 5000), "world/c": lines("c", 300)}
	for name, contents := range want {
		topic, _, _ := strings.Cut(name, "/")
		c.produce(topic, contents).mustEnd(0)
	}
	empty := c.store(t.TempDir())
	c.awaitHeads("hello", 2, 1, 50_000)
	c.awaitHeads("hello", 2, 1, 5000)
	c.awaitHeads("world", 2, 1, 300)
	other.end(syscall.SIGTERM, 0)
	equal(t, "from the store that was empty", want, c.all("hello", "world"))
	empty.end(syscall.SIGTERM, 0)
}

// A producer that wants two stores to have its records waits for the second.
func TestMinAcks(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	first := c.store(dirs[0])
	want := partitions{"hello/a": lines("a", 5000)}
	p := c.produce("hello", want["hello/a"], "--min-acks", "2")
	c.awaitHeads("hello", 1, 1, 5000)
	p.waitFor("5000 records wait for a store")
	second := c.store(dirs[1])
	p.mustEnd(0)
	// Each has all of it.
	for i, s := range []*process{first, second} {
		s.end(syscall.SIGTERM, 0)
		equal(t, fmt.Sprintf("without store %d", i), want, c.all("hello"))
		c.store(dirs[i])
		c.awaitHeads("hello", 2, 1, 5000)
	}
}
