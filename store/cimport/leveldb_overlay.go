package cimport

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// overlay lets goleveldb open a database for writing and keeps in memory what it writes: the folder stays as it is.
// Opened read-only, goleveldb fails where there is more than one log, which a C store that was killed leaves.
type overlay struct {
	storage.Storage // the folder's
	memory          storage.Storage

	mu      sync.Mutex
	written map[storage.FileDesc]bool // in memory: true; removed: false
	meta    *storage.FileDesc
}

// openLevelDB opens a database, which must be there, and changes nothing. What its logs hold is in it, and
// in logs by itself.
func openLevelDB(dir string) (db *leveldb.DB, logs *logsOfC, release func() error, err error) {
	folder, err := storage.OpenFile(dir, true)
	if err != nil {
		return nil, nil, nil, err
	}
	o := &overlay{Storage: folder, memory: storage.NewMemStorage(), written: make(map[storage.FileDesc]bool)}
	const never = 1 << 40
	db, err = leveldb.Open(o, &opt.Options{
		ErrorIfMissing: true,
		// All must be whole but the logs, which are read elsewhere.
		Strict: opt.DefaultStrict | opt.StrictManifest,
		// What is compacted would fill the memory.
		DisableSeeksCompaction: true, CompactionL0Trigger: never, WriteL0SlowdownTrigger: never, WriteL0PauseTrigger: never,
		CompactionTotalSize: never,
	})
	if err != nil {
		return nil, nil, nil, errors.Join(err, folder.Close())
	}
	if err = replayLogs(folder, db); err == nil {
		logs, err = readLogsOfC(folder)
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close(), folder.Close())
	}
	return db, logs, func() error { return errors.Join(db.Close(), folder.Close()) }, nil
}

// replayLogs brings into the database what is not in tables yet.
func replayLogs(folder storage.Storage, db *leveldb.DB) error {
	m, err := readManifestOfC(folder)
	if err != nil {
		return err
	}
	logs, err := m.livingLogs(folder)
	if err != nil {
		return err
	}
	for _, fd := range logs {
		file, err := folder.Open(fd)
		if err != nil {
			return err
		}
		if err := errors.Join(replay(file, db), file.Close()); err != nil {
			return fmt.Errorf("%s: %w", fd, err)
		}
	}
	return nil
}

func (o *overlay) Log(string) {}

func (o *overlay) Close() error { return o.memory.Close() }

func (o *overlay) SetMeta(fd storage.FileDesc) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meta = &fd
	return nil
}

func (o *overlay) GetMeta() (storage.FileDesc, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.meta != nil {
		return *o.meta, nil
	}
	return o.Storage.GetMeta()
}

// List leaves out the folder's logs, of which goleveldb would skip commits: [replayLogs] reads them.
func (o *overlay) List(kind storage.FileType) (files []storage.FileDesc, err error) {
	below, err := o.Storage.List(kind &^ storage.TypeJournal)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, fd := range below {
		if _, covered := o.written[fd]; !covered {
			files = append(files, fd)
		}
	}
	above, err := o.memory.List(kind)
	return append(files, above...), err
}

func (o *overlay) Open(fd storage.FileDesc) (storage.Reader, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch here, covered := o.written[fd]; {
	case here:
		return o.memory.Open(fd)
	case covered:
		return nil, os.ErrNotExist
	}
	return o.Storage.Open(fd)
}

func (o *overlay) Create(fd storage.FileDesc) (storage.Writer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written[fd] = true
	return o.memory.Create(fd)
}

func (o *overlay) Remove(fd storage.FileDesc) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	here := o.written[fd]
	o.written[fd] = false
	if here {
		return o.memory.Remove(fd)
	}
	return nil
}

func (o *overlay) Rename(from, to storage.FileDesc) error { return errors.ErrUnsupported }
