package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/godafka/dafka/store/internal/partdb"
)

// Backup copies a store's database to dest, a folder that is not there yet, whether a store runs on it or not. The copy
// has all that was acked before the call. It is verified before it gets its name: a folder of that name is a whole and
// sound database. When the copy is not sound there is an error, and the report says what is wrong.
func Backup(ctx context.Context, dir, dest string, progress Progress) (*Report, error) {
	report, err := backup(ctx, dir, filepath.Clean(dest), progress)
	if err != nil {
		return report, fmt.Errorf("store: %w", err)
	}
	return report, nil
}

func backup(ctx context.Context, dir, dest string, progress Progress) (*Report, error) {
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already: give the backup a name of its own", dest)
	}
	if inside(dest, dir) {
		return nil, fmt.Errorf("%s lies in %s, the folder that is to be backed up: name a place outside", dest, dir)
	}
	f, err := partdb.HoldFolder(dir)
	if err == nil {
		defer f.Release()
		return duplicate(ctx, dir, dest, progress)
	}
	if !errors.Is(err, partdb.ErrInUse) {
		return nil, err
	}
	checkpoint, hold, err := partdb.AskCheckpoint(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	return duplicate(ctx, checkpoint, dest, progress)
}

// inside says that a path, of which the last part need not be there, lies in a folder.
func inside(path, dir string) bool {
	folder, err := os.Stat(dir)
	if err != nil {
		return false
	}
	path, err = filepath.Abs(path)
	if parent, linked := filepath.EvalSymlinks(filepath.Dir(path)); linked == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	for err == nil && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		if info, err := os.Stat(path); err == nil && os.SameFile(info, folder) {
			return true
		}
	}
	return false
}

// Restore makes of a backup the database of a store, in a folder that is not there yet or is empty. It takes as much
// care as Backup.
func Restore(ctx context.Context, backup, dir string, progress Progress) (*Report, error) {
	report, err := restore(ctx, backup, filepath.Clean(dir), progress)
	if err != nil {
		return report, fmt.Errorf("store: %w", err)
	}
	return report, nil
}

func restore(ctx context.Context, backup, dir string, progress Progress) (*Report, error) {
	if err := partdb.CheckFolder(backup); err != nil {
		return nil, err
	}
	// Backups lie where nobody may write, perhaps. One without a lock's file has never been used by a store.
	if _, err := os.Stat(filepath.Join(backup, partdb.LockFile)); err == nil {
		f, err := partdb.HoldFolder(backup)
		if err != nil {
			return nil, err
		}
		defer f.Release()
	}
	switch err := syscall.Rmdir(dir); { // succeeds when it is empty
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.EBUSY):
		return nil, fmt.Errorf("%s cannot be replaced, it is the root of a disk perhaps: name a folder in it", dir)
	default:
		return nil, fmt.Errorf("%s is there already, and not empty: move it away, or name another folder", dir)
	}
	return duplicate(ctx, backup, dir, progress)
}

// duplicate copies a database to which nobody writes, and gives the copy its name when it was verified.
func duplicate(ctx context.Context, from, to string, progress Progress) (*Report, error) {
	if progress == nil {
		progress = func(done, total uint64) {}
	}
	partial := to + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of one that was broken off
		return nil, err
	}
	report, err := func() (*Report, error) {
		if err := copyFolder(ctx, from, partial, func(done, total uint64) { progress(done, 2*total) }); err != nil {
			return nil, err
		}
		report, err := Verify(ctx, partial, func(done, total uint64) { progress(total+done, 2*total) })
		switch {
		case err != nil:
			return nil, err
		case !report.Sound():
			return report, fmt.Errorf("the copy of %s is damaged: verify and repair what it was made of", from)
		case report.Killed:
			// It ends in the middle of things, as a store that was killed does. Opened once and closed, it is complete.
			db, err := partdb.Open(partial, false, partdb.Quiet)
			if err != nil {
				return nil, err
			}
			report.Killed = false
			return report, db.Close()
		}
		return report, nil
	}()
	if err == nil {
		err = os.Rename(partial, to)
	}
	if err != nil {
		return report, errors.Join(err, os.RemoveAll(partial))
	}
	return report, partdb.SyncFolder(filepath.Dir(to))
}

// copyFolder copies the files of a folder, and returns when they are on disk. A lock, a socket and folders are none of
// the database's.
func copyFolder(ctx context.Context, from, to string, progress Progress) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var s partdb.Steps
	s.Report = progress
	var names []string
	for _, entry := range entries {
		if !entry.Type().IsRegular() || entry.Name() == partdb.LockFile {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		names = append(names, entry.Name())
		s.Total += uint64(info.Size())
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if err := copyFile(ctx, filepath.Join(from, name), filepath.Join(to, name), &s); err != nil {
			return err
		}
	}
	return partdb.SyncFolder(to)
}

func copyFile(ctx context.Context, from, to string, s *partdb.Steps) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	for err == nil {
		var n int64
		n, err = io.CopyN(out, in, 8<<20)
		s.Step(uint64(n))
		if err == nil {
			err = ctx.Err()
		}
	}
	if err == io.EOF {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
