package interop

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// smallDisk is a file system of 512 MiB in memory. A new store's logs, which Pebble makes before it needs them, take 177.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, nothing was tested: mounting a file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512m"); err != nil {
		t.Skipf("SKIPPED, nothing was tested: no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fillDisk writes to a file on a disk until so much is left, and gives what removes it.
func fillDisk(t *testing.T, dir string, left uint64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for {
		var disk syscall.Statfs_t
		if err := syscall.Statfs(dir, &disk); err != nil {
			t.Fatal(err)
		}
		if disk.Bavail*uint64(disk.Bsize) <= left {
			break
		}
		if _, err := file.Write(block); err != nil {
			break // nothing is left
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A store whose disk is full stops to take and to ack, answers all the same, and goes on when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, left := range []uint64{64 << 20, 0} {
		t.Run(fmt.Sprintf("%d MiB left", left>>20), func(t *testing.T) {
			t.Parallel()
			diskFull(t, left)
		})
	}
}

func diskFull(t *testing.T, left uint64) {
	const most = 1 << 20 // unacked bytes in the producer
	text := func(i uint64) string { return fmt.Sprintf("record %d %s", i, strings.Repeat("x", int(i%2000))) }
	disk := smallDisk(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitAtMost)
	defer cancel()
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	defer tw.Close()
	node := tower.NodeConfig{Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}
	var said output
	logged := node
	logged.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := store.Open(store.Config{Dir: filepath.Join(disk, "db"), Node: logged})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := producer.Open(producer.Config{Topic: "hello", MaxUnackedBytes: most, Node: node})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(ctx)

	var stop atomic.Bool
	ended := make(chan error, 1)
	go func() {
		// Slowly enough that the records alone do not fill the disk.
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := uint64(0); !stop.Load(); i++ {
			if _, err := p.Send(ctx, []byte(text(i))); err != nil {
				ended <- err
				return
			}
			<-tick.C
		}
		ended <- nil
	}()
	// read compares the first n records with what was published.
	read := func(n uint64) {
		t.Helper()
		c, err := consumer.Open(consumer.Config{Topics: []string{"hello"}, Reset: consumer.Earliest, Node: node})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range n {
			record, err := c.Next(ctx)
			if err != nil {
				t.Fatalf("record %d of %d: %v", i, n, err)
			}
			if record.Sequence != i || string(record.Content) != text(i) {
				t.Fatalf("record %d is number %d: %.30q", i, record.Sequence, record.Content)
			}
		}
	}

	eventually(t, "ACKs", func() bool { return p.Stats().Acked > 1000 })
	empty := fillDisk(t, disk, left)
	eventually(t, "the store says that its disk is full", func() bool { return s.Stats().Disk.Full })
	eventually(t, "the producer holds what it may", func() bool { return p.Stats().UnackedBytes > most-4096 })
	full := p.Stats().Acked
	read(full)
	if now := p.Stats(); now.Acked != full || now.UnackedBytes > most {
		t.Errorf("with a full disk %d records were acked; the producer holds %d bytes, and may %d", now.Acked-full, now.UnackedBytes, most)
	}
	empty()
	begin := time.Now()
	eventually(t, "ACKs again", func() bool { return p.Stats().Acked > full })
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the store goes on %v after there is room", took)
	}
	eventually(t, "further ACKs", func() bool { return p.Stats().Acked > full+3000 })
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	n := p.Stats().Sent
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	read(n)
	if s.Stats().Disk.Full || s.Stats().Records != n {
		t.Errorf("the store is full: %v, and has stored %d records of %d", s.Stats().Disk.Full, s.Stats().Records, n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"the disk is full", "the disk has room again"} {
		if n := strings.Count(said.String(), line); n != 1 {
			t.Errorf("%q was said %d times:\n%s", line, n, bytes.TrimSpace([]byte(said.String())))
		}
	}
}

// What is written beside a store that does not run ends on a full disk, says why, and changes nothing.
func TestDiskFullBesideAStore(t *testing.T) {
	t.Parallel()
	const records = 40_000
	const left = 100 << 20 // enough to begin with
	var text bytes.Buffer
	for i := range records {
		content := fmt.Sprintf("record %d %01000d", i, i)
		fmt.Fprintf(&text, `{"topic":"hello","partition":"P","sequence":%d,"content":%q}`+"\n", i, content)
	}
	disk := smallDisk(t)
	dir := filepath.Join(disk, "db")
	imports := func() *process {
		return start(t, bytes.NewReader(text.Bytes()), "store", "import", "--ndjson", "-", "--db", dir)
	}
	empty := fillDisk(t, disk, left)
	full := func(p *process) {
		t.Helper()
		p.mustEnd(1)
		if said := p.stderr.String(); strings.Count(said, "disk is full") != 1 {
			t.Errorf("%s said %q, want once that the disk is full", p, said)
		}
	}
	full(imports())
	empty()
	imports().mustEnd(0)

	c := newCluster(t)
	c.store(dir).end(syscall.SIGTERM, 0) // all of it is in tables then
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	var largest os.FileInfo
	for _, table := range tables {
		if info, err := os.Stat(table); err != nil {
			t.Fatal(err)
		} else if largest == nil || info.Size() > largest.Size() {
			largest = info
		}
	}
	if err := os.Truncate(filepath.Join(dir, largest.Name()), largest.Size()/2); err != nil {
		t.Fatal(err)
	}
	before := start(t, nil, "store", "verify", "--db", dir)
	before.mustEnd(1)
	empty = fillDisk(t, disk, left)
	full(start(t, nil, "store", "repair", "--db", dir))
	if left, err := filepath.Glob(dir + ".*"); err != nil || len(left) > 0 {
		t.Errorf("repair left %v, error %v", left, err)
	}
	after := start(t, nil, "store", "verify", "--db", dir)
	after.mustEnd(1)
	if diff := cmp.Diff(before.stdout.String(), after.stdout.String()); diff != "" {
		t.Errorf("what verify says of the folder (-before +after):\n%s", diff)
	}
	empty()
	repaired := start(t, nil, "store", "repair", "--db", dir)
	repaired.mustEnd(0)
	if said := repaired.stderr.String(); !strings.Contains(said, "are missing") {
		t.Errorf("repair said %q: nothing was damaged", said)
	}
	start(t, nil, "store", "verify", "--db", dir).mustEnd(0)
}
