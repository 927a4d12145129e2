package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// quiet is the log of work whose findings are returned.
var quiet = slog.New(slog.DiscardHandler)

// ErrInUse is wrapped by errors about a folder on which a store is running.
var ErrInUse = errors.New("in use by a running store")

// step notes that so much more is done.
type steps struct {
	report      func(done, total uint64)
	done, total uint64
}

func (s *steps) step(n uint64) {
	s.done = min(s.done+n, s.total)
	if s.report != nil {
		s.report(s.done, s.total)
	}
}

const lockFile = "LOCK"

// folder is a store's folder while no store runs on it: held, so that none begins.
type folder struct {
	dir  string
	lock *pebble.Lock
	made bool // the lock's file was not there before
}

// holdFolder takes hold of a folder that holds a store's database, whatever its state.
func holdFolder(dir string) (*folder, error) {
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	_, err := os.Stat(filepath.Join(dir, lockFile))
	f := &folder{dir: dir, made: errors.Is(err, fs.ErrNotExist)}
	f.lock, err = pebble.LockDirectory(dir, vfs.Default)
	switch {
	case err == nil:
		return f, nil
	case isHeld(err):
		return nil, fmt.Errorf("database %s is %w: stop it first", dir, ErrInUse)
	}
	return nil, fmt.Errorf("database %s cannot be locked: %w; %s", dir, err, hindrance(err))
}

// hindrance names the remedy for an error of the system that is no damage. It is empty for all other errors: of files that
// are missing or cannot be read from the disk, too.
func hindrance(err error) (remedy string) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	switch errno {
	case syscall.ENOENT, syscall.EIO:
		return ""
	case syscall.EACCES, syscall.EPERM:
		return "run this as the user that owns the folder, or let this user read and write all in it"
	case syscall.EROFS:
		return "make the disk writable, or work on a copy"
	case syscall.ENOSPC, syscall.EDQUOT:
		return "make room on that disk"
	case syscall.EMFILE, syscall.ENFILE:
		return "allow more open files, with ulimit -n"
	case syscall.ENOMEM:
		return "free memory"
	case syscall.ENOTDIR:
		return "name a folder"
	}
	return "look after the disk and what it is mounted with"
}

// checkFolder says why a folder cannot be a store's.
func checkFolder(dir string) error {
	files, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s: name that of a store", dir)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is not a folder: name that of a store", dir)
	case err != nil:
		return fmt.Errorf("folder %s: %w; %s", dir, err, cmp.Or(hindrance(err), "look after the disk"))
	case foreign(dir):
		return fmt.Errorf("database %s was not made by this program, perhaps by a C store: dafka store import --leveldb reads those", dir)
	}
	for _, file := range files {
		if holdsRecords(file.Name()) {
			return nil
		}
	}
	return fmt.Errorf("folder %s holds no store's database: name one that does", dir)
}

func isTable(name string) bool { return filepath.Ext(name) == ".sst" }

func isLog(name string) bool {
	_, _, ok := wal.ParseLogFilename(name)
	return ok
}

// isDatabase says that a file of the folder is Pebble's: others put their own there too, logs and shells' histories.
func isDatabase(name string) bool {
	return holdsRecords(name) || strings.HasPrefix(name, "OPTIONS-")
}

// holdsRecords says that a file is one of those without which records are missing.
func holdsRecords(name string) bool {
	return isTable(name) || isLog(name) || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.")
}

// files are the paths of those files of the folder that keep says.
func (f *folder) files(keep func(name string) bool) (paths []string, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", f.dir, err)
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && keep(entry.Name()) {
			paths = append(paths, filepath.Join(f.dir, entry.Name()))
		}
	}
	return paths, nil
}

// open opens the database for reading; nothing in the folder changes. Pebble panics on some kinds of damage.
func (f *folder) open() (d *database, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			d, err = nil, fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	d = &database{log: quiet}
	options := databaseOptions(d.log)
	options.ReadOnly, options.Lock = true, f.lock
	if d.pebble, err = pebble.Open(f.dir, options); err != nil {
		return nil, err
	}
	value, closer, err := d.pebble.Get([]byte(versionKey))
	if err != nil {
		d.pebble.Close()
		if errors.Is(err, pebble.ErrNotFound) {
			err = errNoVersion
		}
		return nil, err
	}
	version := string(value)
	closer.Close()
	if !readable(version) {
		d.pebble.Close()
		return nil, &versionError{f.dir, version}
	}
	return d, nil
}

// release lets go of the folder and leaves it as it was found.
func (f *folder) release() {
	f.lock.Close()
	if f.made {
		os.Remove(filepath.Join(f.dir, lockFile))
	}
}

// syncFolder returns when the folder's entries are on disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
