package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// disk is a file system in a file, mounted by way of a loop device. What the file holds is what a disk would hold after
// a power loss at that moment: what was written and not synced is in the kernel's memory, or not yet on its way.
type disk struct {
	t     *testing.T
	image string
	dir   string
}

// diskBytes is more than a store needs that is started again and again. Most of it is a hole.
const diskBytes = 1 << 30

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, nothing was tested: mounting a file system needs root")
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "image")}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, diskBytes); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: mkfs.ext4: %v: %s", err, out)
	}
	if out, err := d.mount(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: no loop devices here: %v: %s", err, out)
	}
	return d
}

func (d *disk) mount() ([]byte, error) {
	d.dir = d.t.TempDir()
	out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput()
	if err == nil {
		d.t.Cleanup(d.unmount)
	}
	return out, err
}

// unmount happens when those who use the file system have ended.
func (d *disk) unmount() {
	if d.dir == "" {
		return
	}
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Errorf("umount: %v: %s", err, out)
	}
	d.dir = ""
}

// copy gives a disk that is as this one would be after a power loss now. The kernel goes on writing while the file is
// read, which no disk does; so it is read until it was the same before and after.
func (d *disk) copy() *disk {
	d.t.Helper()
	c := &disk{t: d.t, image: filepath.Join(d.t.TempDir(), "image")}
	for range 50 {
		if sum := d.read(c.image); bytes.Equal(sum, d.read("")) {
			if out, err := c.mount(); err != nil {
				d.t.Fatalf("after a power loss the file system cannot be mounted: %v: %s", err, out)
			}
			return c
		}
	}
	d.t.Fatal("the disk does not come to rest")
	return nil
}

// read sums what the image holds, and copies it unless there is nowhere to.
func (d *disk) read(to string) []byte {
	d.t.Helper()
	in, err := os.Open(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	defer in.Close()
	sum := sha256.New()
	var out *os.File
	if to != "" {
		if out, err = os.Create(to); err != nil {
			d.t.Fatal(err)
		}
		defer out.Close()
		if err := out.Truncate(diskBytes); err != nil {
			d.t.Fatal(err)
		}
	}
	const seekData, seekHole = 3, 4
	for at := int64(0); ; {
		begin, err := in.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) {
			return sum.Sum(nil) // the rest is a hole
		}
		if at, err = in.Seek(begin, seekHole); err != nil {
			d.t.Fatal(err)
		}
		fmt.Fprintln(sum, begin, at)
		w := io.Writer(sum)
		if out != nil {
			w = io.MultiWriter(sum, io.NewOffsetWriter(out, begin))
		}
		if _, err := io.Copy(w, io.NewSectionReader(in, begin, at-begin)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestPowerLossOfAStore stops a store under load, copies its disk as it then is, and asks a store that is started on the
// copy for all there is: what was acked before is there. Twice, and once more for each ten rounds of DAFKA_TORTURE.
func TestPowerLossOfAStore(t *testing.T) {
	t.Parallel()
	cuts := 2 + torture()/10
	seed := tortureSeed()
	choose := rand.New(rand.NewPCG(seed, 0))
	d := newDisk(t)
	c := newCluster(t)
	store := c.store(filepath.Join(d.dir, "db"))
	w := c.witness()
	l := &load{
		T: t, acked: w.ackedOf,
		produce: func(stdin *os.File) *process { return c.startOnTerminal(stdin, "produce", "hello") },
	}
	steady := l.feed("steady", 20, 10*time.Millisecond)
	for range cuts {
		acked := steady.saidAcked()
		eventually(t, "further ACKs", func() bool { return steady.saidAcked() > acked+100 })
		time.Sleep(time.Duration(choose.Int64N(int64(300 * time.Millisecond)))) // at any moment
		store.signal(syscall.SIGSTOP)
		eventually(t, "the store stands still", func() bool { return store.state() == 'T' })
		// What is heard from now on was said before.
		said := steady.saidAcked()
		heard := w.allAcked()
		copied := d.copy()
		store.signal(syscall.SIGCONT)

		after := newCluster(t)
		left := after.store(filepath.Join(copied.dir, "db"))
		all := after.consume("hello", "--from-beginning", "--until-end")
		all.mustEnd(0)
		records := uint64(0)
		l.acked = func(partition string) uint64 { return heard[partition] }
		for partition, n := range l.check("after a power loss", all, false) {
			records = n
			if n < heard[partition] || n < said {
				t.Errorf("after a power loss: LOST: %d records of %s, of which %d were heard and %d said to be acked", n, partition, heard[partition], said)
			}
		}
		if records == 0 {
			t.Errorf("after a power loss: LOST: nothing is left")
		}
		t.Logf("seed %d: %d records acked, %d on the disk", seed, said, records)
		left.end(syscall.SIGTERM, 0)
		copied.unmount()
	}
	steady.finish()
	l.acked = w.ackedOf
	all := c.consume("hello", "--from-beginning", "--until-end")
	all.mustEnd(0)
	l.check("after all", all, true)
	store.end(syscall.SIGTERM, 0)
	t.Logf("%d power losses, %d records checked, failed: %v", cuts, l.records, t.Failed())
}

// TestPowerLossOfTables does the same with a store that takes in what it can, while it writes a table.
func TestPowerLossOfTables(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	c := newCluster(t)
	dir := filepath.Join(d.dir, "db")
	store := c.store(dir)
	w := c.witness()
	want, file := longLines(t, 40_000)
	producer := c.start(nil, "produce", "hello", file)
	cuts, records := 0, 0
	further := func() (further bool) {
		for _, n := range w.allAcked() {
			further = n > uint64(records)
		}
		return further
	}
	for ; cuts < 2 && awaitTable(t, dir, producer, further); cuts++ {
		store.signal(syscall.SIGSTOP)
		eventually(t, "the store stands still", func() bool { return store.state() == 'T' })
		heard := w.allAcked()
		copied := d.copy()

		after := newCluster(t)
		left := after.store(filepath.Join(copied.dir, "db"))
		got := after.all("hello")["hello/a"]
		for partition, n := range heard {
			if uint64(len(got)) < n || len(got) > len(want) {
				t.Errorf("after a power loss: LOST: %d records of %s, of which %d were heard to be acked", len(got), partition, n)
			} else {
				equal(t, "after a power loss", partitions{"a": want[:len(got)]}, partitions{"a": got})
			}
		}
		records = len(got)
		t.Logf("%v acked, %d on the disk", heard, records)
		left.end(syscall.SIGTERM, 0)
		copied.unmount()
		store.signal(syscall.SIGCONT)
	}
	if cuts == 0 && !raced {
		t.Error("no table was written")
	}
	producer.mustEnd(0)
	equal(t, "after all", partitions{"hello/a": want}, c.all("hello"))
	store.end(syscall.SIGTERM, 0)
}
