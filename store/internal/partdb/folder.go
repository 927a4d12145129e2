package partdb

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

// Quiet is the log of work whose findings are returned.
var Quiet = slog.New(slog.DiscardHandler)

// ErrInUse is wrapped by errors about a folder on which a store is running.
var ErrInUse = errors.New("in use by a running store")

// Steps counts how much of a long piece of work is done, and reports it.
type Steps struct {
	Report      func(done, total uint64)
	done, Total uint64
}

// Step notes that so much more is done.
func (s *Steps) Step(n uint64) {
	s.done = min(s.done+n, s.Total)
	if s.Report != nil {
		s.Report(s.done, s.Total)
	}
}

const LockFile = "LOCK"

// Folder is a store's folder while no store runs on it: held, so that none begins.
type Folder struct {
	Dir  string
	lock *pebble.Lock
	Made bool // the lock's file was not there before
}

// HoldFolder takes hold of a folder that holds a store's database, whatever its state.
func HoldFolder(dir string) (*Folder, error) {
	if err := CheckFolder(dir); err != nil {
		return nil, err
	}
	_, err := os.Stat(filepath.Join(dir, LockFile))
	f := &Folder{Dir: dir, Made: errors.Is(err, fs.ErrNotExist)}
	f.lock, err = pebble.LockDirectory(dir, vfs.Default)
	switch {
	case err == nil:
		return f, nil
	case IsHeld(err):
		return nil, fmt.Errorf("database %s is %w: stop it first", dir, ErrInUse)
	}
	return nil, fmt.Errorf("database %s cannot be locked: %w; %s", dir, err, Hindrance(err))
}

// Hindrance names the remedy for an error of the system that is no damage. It is empty for all other errors: of files that
// are missing or cannot be read from the disk, too.
func Hindrance(err error) (remedy string) {
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

// CheckFolder says why a folder cannot be a store's.
func CheckFolder(dir string) error {
	files, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s: name that of a store", dir)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is not a folder: name that of a store", dir)
	case err != nil:
		return fmt.Errorf("folder %s: %w; %s", dir, err, cmp.Or(Hindrance(err), "look after the disk"))
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

func IsTable(name string) bool { return filepath.Ext(name) == ".sst" }

func IsLog(name string) bool {
	_, _, ok := wal.ParseLogFilename(name)
	return ok
}

// isDatabase says that a file of the folder is Pebble's: others put their own there too, logs and shells' histories.
func isDatabase(name string) bool {
	return holdsRecords(name) || strings.HasPrefix(name, "OPTIONS-")
}

// holdsRecords says that a file is one of those without which records are missing.
func holdsRecords(name string) bool {
	return IsTable(name) || IsLog(name) || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.")
}

// Files are the paths of those files of the folder that keep says.
func (f *Folder) Files(keep func(name string) bool) (paths []string, err error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", f.Dir, err)
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && keep(entry.Name()) {
			paths = append(paths, filepath.Join(f.Dir, entry.Name()))
		}
	}
	return paths, nil
}

// Open opens the database for reading; nothing in the folder changes. Pebble panics on some kinds of damage.
func (f *Folder) Open() (d *Database, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			d, err = nil, fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	d = &Database{Log: Quiet}
	options := DatabaseOptions(d.Log)
	options.ReadOnly, options.Lock = true, f.lock
	if d.Pebble, err = pebble.Open(f.Dir, options); err != nil {
		return nil, err
	}
	value, closer, err := d.Pebble.Get([]byte(VersionKey))
	if err != nil {
		d.Pebble.Close()
		if errors.Is(err, pebble.ErrNotFound) {
			err = errNoVersion
		}
		return nil, err
	}
	version := string(value)
	closer.Close()
	if !Readable(version) {
		d.Pebble.Close()
		return nil, &VersionError{f.Dir, version}
	}
	return d, nil
}

// Release lets go of the folder and leaves it as it was found.
func (f *Folder) Release() {
	f.lock.Close()
	if f.Made {
		os.Remove(filepath.Join(f.Dir, LockFile))
	}
}

// SyncFolder returns when the folder's entries are on disk.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
