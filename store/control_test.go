package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
	"github.com/godafka/dafka/zmqwire"
)

// backedUp is what a backup holds of partition P of topic hello, and insists that it is sound and right.
func backedUp(t *testing.T, dir string) (records int) {
	t.Helper()
	report, err := admin.Verify(t.Context(), dir, nil)
	if err != nil || !report.Sound() || report.Killed {
		t.Fatalf("%s: %+v, %v", dir, report, err)
	}
	got, failures := storetest.ReadStore(t, dir)
	if len(failures) > 0 {
		t.Fatal(failures)
	}
	contents := got[[2]string{"hello", "P"}]
	for sequence := range contents {
		if contents[sequence] != content(uint64(sequence)) {
			t.Fatalf("%s: record %d is %q", dir, sequence, contents[sequence])
		}
	}
	return len(contents)
}

// A store that runs, under load, is backed up with all that it had acked; it goes on, and a backup restored is a store.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir, to := filepath.Join(t.TempDir(), "db"), t.TempDir()
	s := openStore(t, tw, dir)
	var acked atomic.Uint64 // how many records
	p := visit(t, tw, s, "PEER", func(_ *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Ack && string(m.Routing) == "P" {
			acked.Store(m.Sequence + 1)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan uint64)
	go func() {
		sequence := uint64(0)
		for ; ctx.Err() == nil; sequence++ {
			if sequence >= acked.Load()+5000 {
				sequence-- // as a producer waits that is told to
				time.Sleep(time.Millisecond)
				continue
			}
			p.Say(recordMessage(zmqwire.Record, s, sequence, content(sequence)))
		}
		said <- sequence
	}()
	for n := range 4 {
		want := acked.Load() + 2000
		eventually(t, "more ACKs", func() bool { return acked.Load() >= want })
		before := acked.Load()
		dest := filepath.Join(to, fmt.Sprint("backup", n))
		if _, err := admin.Backup(t.Context(), dir, dest, nil); err != nil {
			t.Fatal(err)
		}
		if records := backedUp(t, dest); uint64(records) < before {
			t.Errorf("backup %d has %d records, %d were acked before", n, records, before)
		}
	}
	cancel()
	end := <-said
	eventually(t, "the last ACK", func() bool { return acked.Load() == end })
	eventually(t, "no checkpoint is left", func() bool {
		_, err := os.Stat(filepath.Join(dir, partdb.CheckpointFolder))
		return errors.Is(err, fs.ErrNotExist)
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, partdb.ControlFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a closed store leaves its socket: %v", err)
	}
	p.End()

	// No store runs: the same again.
	dest := filepath.Join(to, "last")
	if _, err := admin.Backup(t.Context(), dir, dest, nil); err != nil {
		t.Fatal(err)
	}
	if records := backedUp(t, dest); uint64(records) != end {
		t.Errorf("the last backup has %d records, %d were acked", records, end)
	}
	restored := filepath.Join(to, "restored")
	if err := os.Mkdir(restored, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Restore(t.Context(), dest, restored, nil); err != nil {
		t.Fatal(err)
	}
	if records := backedUp(t, restored); uint64(records) != end {
		t.Errorf("what was restored has %d records, %d were acked", records, end)
	}
	s = openStore(t, tw, restored)
	p = visit(t, tw, s, "PEER2", nil)
	fill(t, p, s, end, end+10)
}

// One that dies while it makes a backup leaves nothing behind, nor does the store keep others waiting, or itself.
func TestBackupBrokenOff(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	dir := filepath.Join(t.TempDir(), "db")
	s := openStore(t, tw, dir)
	there := func() bool {
		_, err := os.Stat(filepath.Join(dir, partdb.CheckpointFolder))
		return err == nil
	}
	_, hold, err := partdb.AskCheckpoint(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !there() {
		t.Error("no checkpoint while somebody copies it")
	}
	hold.Close()
	eventually(t, "the checkpoint goes with who asked for it", func() bool { return !there() })
	if _, hold, err = partdb.AskCheckpoint(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := admin.Backup(ctx, dir, filepath.Join(t.TempDir(), "backup"), nil)
		waiting <- err
	}()
	cancel()
	if err := <-waiting; err == nil {
		t.Error("a backup that was cancelled is none")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if there() {
		t.Error("a closed store leaves a checkpoint")
	}
}
