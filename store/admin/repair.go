package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/salvage"
)

// Repaired is what Repair did.
type Repaired struct {
	Report
	Old string // where the folder now is that was repaired; empty when nothing was wrong
}

// Repair makes of a damaged database one with all that can be read and checked: of each partition the records from 0 up
// to the first that is damaged or missing. What lies behind is left out, since the records of a partition have no
// holes: a store fetches it again. The old folder is kept under another name, and not changed. A database that is sound
// is left alone.
func Repair(ctx context.Context, dir string, progress Progress) (*Repaired, error) {
	r, err := repair(ctx, filepath.Clean(dir), progress)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return r, nil
}

func repair(ctx context.Context, dir string, progress Progress) (*Repaired, error) {
	f, err := partdb.HoldFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	found, err := verify(ctx, f, progress)
	if err != nil {
		return nil, err
	}
	if found.Sound() {
		return &Repaired{Report: *found}, nil
	}
	fresh := dir + ".repairing"
	if err := os.RemoveAll(fresh); err != nil { // of a repair that was broken off
		return nil, err
	}
	r := &Repaired{Report: Report{Faults: found.Faults, Killed: found.Killed}}
	if r.Partitions, err = salvageInto(ctx, f, fresh, progress); err != nil {
		return nil, errors.Join(err, os.RemoveAll(fresh))
	}
	if r.Old, err = replaceFolder(f, fresh); err != nil {
		return nil, err
	}
	return r, nil
}

// salvageInto makes a database of what can be read.
func salvageInto(ctx context.Context, f *partdb.Folder, fresh string, progress Progress) ([]PartitionReport, error) {
	s, err := salvage.New(f, progress)
	if err != nil {
		return nil, err
	}
	var failed error
	s.Fault = func(file string, err error) {
		if remedy := partdb.Hindrance(err); failed == nil && remedy != "" {
			failed = fmt.Errorf("%s: %w; %s", file, err, remedy)
		}
	}
	db, err := partdb.Open(fresh, true, partdb.Quiet)
	if err != nil {
		return nil, err
	}
	fill := partdb.NewFiller(db)
	err = cmp.Or(s.Tally(ctx, fill.Append), failed)
	if err == nil && !s.Found.Ours && s.Found.Strange > 0 {
		err = fmt.Errorf("database %s was not made by a Dafka store: name the folder of one", f.Dir)
	}
	err = errors.Join(err, fill.Close())
	if err == nil {
		err = db.Ground.Attempt(db.Pebble.Flush) // what lies in tables is checked block by block
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return partitionReports(&s.Found), nil
}

// replaceFolder puts a new folder in the place of one that is held, which gets another name. On Linux the two change
// places in one step, so that at no time a store that is started finds no folder, and makes an empty one; and the new one
// has the old one's name before, so that it is not taken for a repair that was broken off when this one is, right behind
// that step.
func replaceFolder(f *partdb.Folder, fresh string) (old string, err error) {
	old = free(f.Dir + ".damaged")
	if err = os.Rename(fresh, old); err == nil {
		if err = exchange(f.Dir, old); err != nil {
			fresh = free(f.Dir + ".repaired")
			err = cmp.Or(os.Rename(old, fresh), err)
		}
	}
	if errors.Is(err, errors.ErrUnsupported) {
		if err = os.Rename(f.Dir, old); err == nil {
			err = os.Rename(fresh, f.Dir)
		}
	}
	if errors.Is(err, syscall.EBUSY) {
		return "", fmt.Errorf("%s cannot be renamed, it is the root of a disk perhaps: what was repaired is in %s: run the store there", f.Dir, fresh)
	}
	if err != nil {
		return "", fmt.Errorf("what was repaired is in %s and cannot take the place of %s: %w: rename the folders", fresh, f.Dir, err)
	}
	f.Made = false // the lock's file moved with the old folder, and is no concern of the new one
	return old, partdb.SyncFolder(filepath.Dir(f.Dir))
}

// free is the path, or with a number behind it when there is something already.
func free(path string) string {
	name := path
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		name = path + "-" + strconv.Itoa(n)
	}
}
