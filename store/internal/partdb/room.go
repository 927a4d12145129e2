package partdb

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// startBytes is how much room a disk must have for a store to start: less than it needs to write out what its log
	// holds, and Pebble tries again and again, and never opens.
	startBytes = 2 * memTableBytes
	// reserveBytes is what a store leaves free while it runs: so much may Pebble still have to write out of its log.
	// Room is back when there is one more table's worth, so that what Pebble frees and takes by itself changes nothing.
	reserveBytes = 4 * memTableBytes
	roomyBytes   = reserveBytes + tableBytes
	// lookEvery is how long what the file system said last is believed.
	lookEvery = 100 * time.Millisecond
)

// Room says whether the disk has room for a commit. A commit that fails for want of it would end the store; one that
// is not begun costs nobody anything: what is not acked, producers keep.
type Room struct {
	dir  string // empty: there is always room
	log  *slog.Logger
	next time.Time // when to ask the file system again
	free uint64    // what is left of what it said, as far as known
	full atomic.Bool
}

// Take says whether so many bytes may be committed, and counts them if so. Zero asks whether there is any room.
func (r *Room) Take(now time.Time, bytes int) bool {
	if r.dir == "" {
		return true
	}
	if !now.Before(r.next) {
		r.next = now.Add(lookEvery)
		r.free = math.MaxUint64 // a file system that cannot tell has room until a commit fails
		if usage, err := diskUsage(r.dir); err == nil {
			r.free = usage.AvailBytes
		}
	}
	// It is written to the log first, and later to a table.
	want, leave := 2*uint64(bytes), uint64(reserveBytes)
	if r.full.Load() {
		leave = roomyBytes
	}
	full := r.free < leave+want
	if full != r.full.Load() {
		r.full.Store(full)
		if full {
			r.log.Warn("the disk is full: nothing is stored and acked until there is room",
				"folder", r.dir, "free MiB", r.free>>20, "wanted MiB", (roomyBytes+want)>>20)
		} else {
			r.log.Warn("the disk has room again: the store goes on", "folder", r.dir, "free MiB", r.free>>20)
		}
	}
	if !full {
		r.free -= want
	}
	return !full
}

// diskUsage is that of the disk on which the folder is, or will be.
func diskUsage(dir string) (vfs.DiskUsage, error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	if parent := filepath.Dir(dir); errors.Is(err, os.ErrNotExist) && parent != dir {
		return diskUsage(parent)
	}
	return usage, err
}
