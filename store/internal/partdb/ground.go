package partdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// groundEvery is how often the folder is looked at, besides before each ACK.
	groundEvery = time.Second
	// AbandonAfter is how long Pebble may take to close a database whose ground is lost.
	AbandonAfter = time.Second
)

// Ground is the folder of an open database: the file system through which Pebble uses it, and its identity. Whoever
// removes, moves or replaces the folder of a running store leaves it with open files that no path leads to. It would
// go on to ack what nobody can open again.
//
// Pebble ends the process when it cannot write its log or its manifest, in goroutines of its own, where no panic can be
// recovered. So it is never returned such an error: the ground is lost, and the goroutine that met the error stands
// still. Errors about tables do not matter so much: Pebble tries again.
//
// A nil ground stands for ever.
type Ground struct {
	vfs.FS
	dir          string
	folder, lock os.FileInfo // as they were when the database was opened
	firm         atomic.Bool // the database is open: until then Pebble returns errors
	lost         chan struct{}
	losing       sync.Once
	cause        error // read after lost
}

func NewGround(fs vfs.FS, dir string) *Ground {
	return &Ground{FS: fs, dir: filepath.Clean(dir), lost: make(chan struct{})}
}

// settle notes what the folder of a database is that was just opened.
func (g *Ground) settle() (err error) {
	if g.folder, err = os.Stat(g.dir); err == nil {
		g.lock, err = os.Stat(filepath.Join(g.dir, LockFile))
	}
	g.firm.Store(err == nil)
	return err
}

// lose notes that nothing can be kept any more, and what to do about it. The first cause stays.
func (g *Ground) lose(cause error, remedy string) {
	g.losing.Do(func() {
		g.cause = fmt.Errorf("%w: nothing more is acked; %s and start the store again", cause, remedy)
		close(g.lost)
	})
}

// gone returns why the ground was lost, or nil.
func (g *Ground) gone() error {
	if g == nil {
		return nil
	}
	select {
	case <-g.lost:
		return g.cause
	default:
		return nil
	}
}

// Stands returns an error when the path of the folder does not lead to the open database any more. It takes some
// microseconds, so that it is asked before each ACK.
func (g *Ground) Stands() error {
	if g == nil || !g.firm.Load() {
		return nil
	}
	lock, err := os.Stat(filepath.Join(g.dir, LockFile))
	if err != nil || !os.SameFile(lock, g.lock) {
		remedy, cause := g.changed(err)
		g.lose(cause, remedy)
	}
	return g.gone()
}

// changed returns what has become of the folder, and what to do. err is that of looking for the file of the lock.
func (g *Ground) changed(err error) (remedy string, cause error) {
	const back, look = "put it back", "look at the disk"
	switch folder, missing := os.Stat(g.dir); {
	case errors.Is(missing, fs.ErrNotExist):
		return back, fmt.Errorf("folder %s was removed or moved", g.dir)
	case missing != nil:
		return look, fmt.Errorf("folder %s cannot be reached: %w", g.dir, missing)
	case !os.SameFile(folder, g.folder):
		return back, fmt.Errorf("folder %s was replaced by another, or its disk was unmounted", g.dir)
	case errors.Is(err, fs.ErrNotExist):
		return "verify the folder", fmt.Errorf("file %s was removed from folder %s, perhaps with others", LockFile, g.dir)
	case err != nil:
		return look, fmt.Errorf("file %s of folder %s cannot be reached: %w", LockFile, g.dir, err)
	}
	return "stop the other store", fmt.Errorf("file %s of folder %s was replaced, perhaps by another store", LockFile, g.dir)
}

// writable returns an error when nothing can be created in the folder any more.
func (g *Ground) writable() error {
	const write = 2 // W_OK
	if err := syscall.Access(g.dir, write); err != nil {
		remedy := "make it writable"
		if errors.Is(err, syscall.EROFS) {
			remedy = "look at the disk, mount it for writing"
		}
		g.lose(fmt.Errorf("folder %s cannot be written any more: %w", g.dir, err), remedy)
	}
	return g.gone()
}

// Watch returns the error when the ground is lost, and nil when ctx ends.
func (g *Ground) Watch(ctx context.Context) error {
	if g == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(groundEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.lost:
			return g.cause
		case <-ctx.Done():
			return g.gone()
		case <-tick.C:
			if g.Stands() == nil {
				g.writable()
			}
		}
	}
}

// Attempt makes a call of Pebble that writes, and returns its error, or that of a ground that is lost meanwhile. The call
// may then never return.
func (g *Ground) Attempt(call func() error) error {
	guarded := func() (err error) {
		defer catchFatal(&err)
		return call()
	}
	if g == nil {
		return guarded()
	}
	if err := g.gone(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- guarded() }()
	select {
	case err := <-ended:
		return err
	case <-g.lost:
		return g.cause
	}
}

// close closes a database whose ground is lost, as far as that is possible: who waits for a goroutine that stands still
// waits for ever.
func (g *Ground) close(db *pebble.DB) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { recover() }() // what Pebble finds in disorder is known to be
		db.Close()
	}()
	select {
	case <-ended:
	case <-time.After(AbandonAfter):
	}
}

// vital says that Pebble cannot do without the file: its log, its manifest, and the folder itself.
func (g *Ground) vital(path string) bool {
	path = filepath.Clean(path)
	name := filepath.Base(path)
	return path == g.dir || filepath.Dir(path) == g.dir &&
		(IsLog(name) || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker."))
}

// met returns an error of Pebble's to it, if it can live with that.
func (g *Ground) met(path string, err error) error {
	if err != nil && g.firm.Load() && g.vital(path) {
		g.lose(fmt.Errorf("file %s cannot be written: %w", path, err), "look at the disk")
		select {}
	}
	return err
}

// open begins to watch over a file that Pebble writes.
func (g *Ground) open(path string, file vfs.File, err error) (vfs.File, error) {
	if err := g.met(path, err); err != nil {
		return nil, err
	}
	if g.vital(path) {
		return &vitalFile{file, g, path}, nil
	}
	return file, nil
}

// Create creates a file, unless the ground is lost: the path may lead to another store's.
func (g *Ground) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := g.gone(); err != nil {
		return nil, g.met(path, err)
	}
	file, err := g.FS.Create(path, category)
	return g.open(path, file, err)
}

// OpenReadWrite is like Create.
func (g *Ground) OpenReadWrite(path string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := g.gone(); err != nil {
		return nil, g.met(path, err)
	}
	file, err := g.FS.OpenReadWrite(path, category, opts...)
	return g.open(path, file, err)
}

// ReuseForWrite is like Create.
func (g *Ground) ReuseForWrite(old, path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := g.gone(); err != nil {
		return nil, g.met(path, err)
	}
	file, err := g.FS.ReuseForWrite(old, path, category)
	return g.open(path, file, err)
}

// OpenDir opens a folder to sync it.
func (g *Ground) OpenDir(path string) (vfs.File, error) {
	file, err := g.FS.OpenDir(path)
	return g.open(path, file, err)
}

// Link links a file, unless the ground is lost.
func (g *Ground) Link(old, path string) error {
	if err := g.gone(); err != nil {
		return g.met(path, err)
	}
	return g.met(path, g.FS.Link(old, path))
}

// Rename renames a file, unless the ground is lost.
func (g *Ground) Rename(old, path string) error {
	if err := g.gone(); err != nil {
		return g.met(path, err)
	}
	return g.met(path, g.FS.Rename(old, path))
}

// Remove removes a file, unless the ground is lost.
func (g *Ground) Remove(path string) error {
	if err := g.gone(); err != nil {
		return err
	}
	return g.FS.Remove(path)
}

// RemoveAll is like Remove.
func (g *Ground) RemoveAll(path string) error {
	if err := g.gone(); err != nil {
		return err
	}
	return g.FS.RemoveAll(path)
}

// Unwrap returns the file system below.
func (g *Ground) Unwrap() vfs.FS { return g.FS }

// vitalFile is an open file that Pebble cannot do without.
type vitalFile struct {
	vfs.File
	ground *Ground
	path   string
}

func (f *vitalFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.ground.met(f.path, err)
}

func (f *vitalFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.ground.met(f.path, err)
}

func (f *vitalFile) Sync() error { return f.ground.met(f.path, f.File.Sync()) }

func (f *vitalFile) SyncData() error { return f.ground.met(f.path, f.File.SyncData()) }

func (f *vitalFile) SyncTo(length int64) (bool, error) {
	all, err := f.File.SyncTo(length)
	return all, f.ground.met(f.path, err)
}

func (f *vitalFile) Close() error { return f.ground.met(f.path, f.File.Close()) }
