package partdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/zmqwire"
)

// Database is the Pebble database of a store: what the writer commits and the reader reads. Pebble allows both at once.
type Database struct {
	dir    string // to be sealed at the end; may be empty
	Ground *Ground
	FS     vfs.FS
	Pebble *pebble.DB
	Sync   *pebble.WriteOptions
	Log    *slog.Logger
	Room   Room // of the writer

	borders   borders
	TableFrom int           // how many bytes of a partition a commit must have to be a table
	Suspects  chan []byte   // keys near which something is damaged
	mended    atomic.Uint64 // tables

	commit  sync.Mutex // held during a commit
	copying bool       // a checkpoint is being made: no commit is a table; guarded by commit

	mu     sync.Mutex // of closed, which Pebble must not be when it is measured
	closed bool
}

const (
	// Larger memtables are slower: what was just written no longer fits the processor's caches.
	memTableBytes = 32 << 20
	cacheBytes    = 32 << 20
	tableBytes    = 32 << 20
	baseBytes     = 256 << 20
)

func Open(dir string, noSync bool, log *slog.Logger) (*Database, error) {
	return OpenOver(NewGround(vfs.Default, dir), dir, noSync, log)
}

func OpenOver(ground *Ground, dir string, noSync bool, log *slog.Logger) (*Database, error) {
	d := &Database{
		Ground: ground, FS: ground, Sync: pebble.Sync, Log: log, TableFrom: OwnTableBytes, Suspects: make(chan []byte, 16),
	}
	if noSync {
		d.Sync = pebble.NoSync
	}
	options := DatabaseOptions(log)
	options.FS, options.Logger = ground, PebbleLog{log, ground}
	logged := options.EventListener.DataCorruption
	options.EventListener.DataCorruption = func(info pebble.DataCorruptionInfo) {
		logged(info)
		d.Suspect(info.Bounds.Start)
	}
	options.Experimental.SpanPolicyFunc = d.borders.policy
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	options.Cache = cache
	if err := d.open(dir, options); err != nil {
		return nil, OpenError(dir, err)
	}
	if err := ground.settle(); err != nil {
		d.Pebble.Close()
		return nil, OpenError(dir, err)
	}
	d.dir, d.Room.dir, d.Room.log = dir, dir, log
	return d, nil
}

// open opens Pebble's database and makes it ready. Pebble panics on some kinds of damage.
func (d *Database) open(dir string, options *pebble.Options) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return &os.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	switch {
	case foreign(dir):
		return errForeign
	case Locked(dir):
		return errHeld
	}
	if err := CheckWhole(dir); err != nil {
		return err
	}
	if usage, err := diskUsage(dir); err == nil && usage.AvailBytes < startBytes {
		return fmt.Errorf("%w: the disk has %d MiB left, want %d MiB", syscall.ENOSPC, usage.AvailBytes>>20, startBytes>>20)
	}
	restoreSeal := breakSeal(dir)
	err := Guard(func() (err error) {
		d.Pebble, err = pebble.Open(dir, options)
		return err
	})
	if err != nil {
		restoreSeal()
		return err
	}
	removeHalfTables(dir)
	if err = d.checkVersion(); err == nil {
		err = d.CompleteHeads()
	}
	if err != nil {
		d.Pebble.Close()
	}
	return err
}

var (
	errForeign = errors.New("it was not made by a Dafka store") // the folder holds something else
	errHeld    = errors.New("it is in use")
)

// OpenError says why a database cannot be opened, and what to do about it. To repair it is a remedy for damage only.
func OpenError(dir string, err error) error {
	var version *VersionError
	remedy := Hindrance(err)
	switch {
	case errors.As(err, &version):
		return version.in(dir)
	case errors.Is(err, errForeign):
		return fmt.Errorf("database %s cannot be opened: %w, but perhaps by a C store; name an empty folder", dir, err)
	case errors.Is(err, errHeld), errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("database %s is in use by another store; give each store a folder of its own", dir)
	case remedy != "":
		return fmt.Errorf("database %s cannot be opened: %w; %s", dir, err, remedy)
	}
	return fmt.Errorf("database %s cannot be opened: %s; repair it with: dafka store repair --db %s", dir, OneLine(err), dir)
}

// OneLine is an error of Pebble's in one line.
func OneLine(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n<corruption detail carrier>", "")
	text = strings.ReplaceAll(text, "pebble: file 000000: ", "") // a table that was opened by itself has no number
	return strings.ReplaceAll(text, "\n", "; ")
}

// DatabaseOptions are those with which every database of a store is opened.
func DatabaseOptions(log *slog.Logger) *pebble.Options {
	damaged := LogDamage(log)
	options := &pebble.Options{
		// Older formats end the log's replay at a flipped bit without a word: records that were acked would be gone.
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		Logger:                      PebbleLog{Log: log},
		EventListener: &pebble.EventListener{
			BackgroundError: atMostEvery(logInterval, func(err error) {
				log.Error("database cannot write, it tries again", "error", err.Error())
			}),
			// Pebble's own listener ends the process. Here the reader leaves out what it cannot vouch for.
			DataCorruption: func(info pebble.DataCorruptionInfo) { damaged(info.Details) },
			DiskSlow:       func(info pebble.DiskSlowInfo) { log.Warn("disk is slow", "info", info.String()) },
		},
	}
	options.LBaseMaxBytes = baseBytes
	for i := range options.TargetFileSizes {
		options.TargetFileSizes[i] = tableBytes
	}
	// Runs are large and written once in order: compressing them costs more than it saves.
	options.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return options
}

// LogDamage tells of damage on the disk, not of each attempt to read it.
func LogDamage(log *slog.Logger) func(error) {
	return atMostEvery(logInterval, func(err error) {
		log.Error("the database is damaged: records are left out until other stores have given them again", "error", err.Error())
	})
}

// logInterval is how long a database that fails stays silent about what it has just logged.
const logInterval = 10 * time.Second

// atMostEvery leaves out what comes too soon after the last: a full disk fails again and again, and what is damaged is
// read as often as anyone asks for it.
func atMostEvery[T any](interval time.Duration, log func(T)) func(T) {
	var mu sync.Mutex
	var last time.Time
	return func(what T) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); last.IsZero() || now.Sub(last) >= interval {
			last = now
			log(what)
		}
	}
}

// Suspect says that something was read near a key that is damaged. It never waits.
func (d *Database) Suspect(key []byte) {
	select {
	case d.Suspects <- bytes.Clone(key):
	default: // it will be read again
	}
}

// checkVersion keeps this program from a database that another one made.
func (d *Database) checkVersion() error {
	value, closer, err := d.Pebble.Get([]byte(VersionKey))
	if err == nil {
		version := string(value)
		closer.Close()
		switch {
		case version == FormatVersion:
			return nil
		case !Readable(version):
			return &VersionError{Version: version}
		}
		return d.setVersion()
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	all, err := d.Pebble.NewIter(nil)
	if err != nil {
		return err
	}
	filled := all.First()
	ours := filled && (all.Key()[0] == HeadPrefix || all.Key()[0] == RunPrefix || all.Key()[0] == MarkPrefix)
	if err := all.Close(); err != nil {
		return err
	}
	switch {
	case ours:
		return errNoVersion
	case filled:
		return errForeign
	}
	return d.setVersion()
}

// errNoVersion is of a database that lost the key of its version.
var errNoVersion = fmt.Errorf("%w: the version of its format is missing", ErrDamaged)

func (d *Database) setVersion() error {
	return d.Pebble.Set([]byte(VersionKey), []byte(FormatVersion), pebble.Sync)
}

// VersionError says that another version of this program made the database.
type VersionError struct{ dir, Version string }

func (e *VersionError) in(dir string) error { return &VersionError{dir, e.Version} }

func (e *VersionError) Error() string {
	return fmt.Sprintf("database %s has format %q, this program reads %q; use the program that made it",
		e.dir, e.Version, FormatVersion)
}

// Records is how many records a partition has.
func (d *Database) Records(topic, address string) (uint64, error) {
	return d.RecordsAt(AppendPartition(nil, HeadPrefix, topic, address))
}

// RecordsAt is records of the partition whose head has this key.
func (d *Database) RecordsAt(key []byte) (uint64, error) {
	value, closer, err := d.Pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		d.Suspect(key)
		return 0, fmt.Errorf("read head: %w", err)
	}
	defer closer.Close()
	return DecodeHead(key, value)
}

// Iterate goes through the keys with a prefix.
func (d *Database) Iterate(prefix byte) (*pebble.Iterator, error) {
	return d.Pebble.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
}

// readRun reads the run at which an iterator through runs stands. It lives until that moves.
func readRun(runs *pebble.Iterator, run *zmqwire.Run) error {
	value, err := runs.ValueAndErr()
	if err != nil {
		return err
	}
	return DecodeRun(runs.Key(), value, run)
}

// EachRecord gives each the records of a partition from 0 to its head. It reads one run at a time. A
// content is valid until each returns.
func (d *Database) EachRecord(
	ctx context.Context, topic, address string, each func(sequence uint64, content []byte) error,
) error {
	records, err := d.Records(topic, address)
	if err != nil {
		return err
	}
	partition := AppendPartition(nil, RunPrefix, topic, address)
	runs, err := d.Pebble.NewIter(&pebble.IterOptions{LowerBound: partition, UpperBound: PrefixEnd(partition)})
	if err != nil {
		return err
	}
	defer runs.Close()
	next := uint64(0)
	var run zmqwire.Run
	for ok := runs.First(); ok; ok = runs.Next() {
		err := readRun(runs, &run)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if run.First != next {
			break
		}
		for i := range run.Len() {
			if err := each(next, run.Content(i)); err != nil {
				return err
			}
			next++
		}
	}
	if err := runs.Error(); err != nil {
		return err
	}
	if next != records {
		return fmt.Errorf("%w: topic %q, partition %q: record %d is missing", ErrDamaged, topic, address, next)
	}
	return nil
}

// Usage is what the database takes of the disk, zero once it was closed.
type Usage struct {
	Used      uint64 // by the database, its log included
	Log       uint64 // what is in the log only
	Debt      uint64 // how much compactions have yet to rewrite
	Free, All uint64 // of the disk
	Full      bool   // it has no room for a commit
}

// Usage measures the database, and the disk where it is.
func (d *Database) Usage() Usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.Ground.gone() != nil {
		return Usage{}
	}
	metrics := d.Pebble.Metrics()
	disk := Usage{
		Used: metrics.DiskSpaceUsage(), Log: metrics.WAL.Size, Debt: metrics.Compact.EstimatedDebt, Full: d.Room.full.Load(),
	}
	if usage, err := diskUsage(d.dir); err == nil {
		disk.Free, disk.All = usage.AvailBytes, usage.TotalBytes
	}
	return disk
}

// Checkpoint makes a copy of the database in another folder, of files that both share. What was committed before is in it.
func (d *Database) Checkpoint(dir string) error {
	// Pebble settles which tables belong to it first, and copies its log last: the head of a table that came in between
	// would be in the copy, and the table not.
	d.setCopying(true)
	defer d.setCopying(false)
	return d.Ground.Attempt(func() error {
		return Guard(func() error { return d.Pebble.Checkpoint(dir, pebble.WithFlushedWAL()) })
	})
}

func (d *Database) setCopying(copying bool) {
	d.commit.Lock()
	defer d.commit.Unlock()
	d.copying = copying
}

func (d *Database) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	if err := d.Ground.Stands(); err != nil {
		d.Ground.close(d.Pebble)
		return err
	}
	if err := d.Pebble.Close(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	if d.dir == "" {
		return nil
	}
	if err := WriteSeal(d.dir); err != nil {
		d.Log.Warn("database is closed, but not sealed", "error", err.Error())
	}
	return nil
}

// Locked reports whether another store holds the database: Pebble's own error does not say.
func Locked(dir string) bool {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return false
	}
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	if err != nil {
		return IsHeld(err)
	}
	lock.Close()
	return false
}

// IsHeld reports whether an error of LockDirectory is of a lock that someone holds: another process, or this one, of which
// Pebble has an error of its own.
func IsHeld(err error) bool {
	var errno syscall.Errno
	return !errors.As(err, &errno) || errno == syscall.EAGAIN
}

// foreign says that the folder holds a database of LevelDB's kind, to which Pebble adds a marker.
func foreign(dir string) bool {
	markers, _ := filepath.Glob(filepath.Join(dir, "marker.*"))
	_, err := os.Stat(filepath.Join(dir, "CURRENT"))
	return err == nil && len(markers) == 0
}

// PebbleLog gives Pebble's messages to the store's log. What Pebble calls fatal, such as a log it cannot write, must not
// return to it: while it opens a database, and without a ground, that is a panic; later the ground is lost.
type PebbleLog struct {
	Log    *slog.Logger
	ground *Ground
}

func (l PebbleLog) Infof(format string, args ...any)  { l.Log.Debug(fmt.Sprintf(format, args...)) }
func (l PebbleLog) Errorf(format string, args ...any) { l.Log.Error(fmt.Sprintf(format, args...)) }
func (l PebbleLog) Fatalf(format string, args ...any) {
	cause := FatalError(fmt.Sprintf(format, args...))
	if l.ground == nil || !l.ground.firm.Load() {
		panic(cause)
	}
	l.ground.lose(cause, "look at the disk")
	select {}
}
