package cimport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/journal"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/godafka/dafka/store/internal/partdb"
)

// The manifest of LevelDB in C counts the commits of the living log in its last sequence, and goleveldb skips commits of
// a log up to that sequence: the newest records would be lost. So goleveldb opens the tables without the logs
// ([overlay.List]), and the logs are replayed on top.

// manifestOfC is what a C store's manifest says of its logs.
type manifestOfC struct {
	log, previous int64  // logs from this number on, and a previous one if any, are not in tables yet
	sequence      uint64 // of the last commit when the manifest was written
}

// Tags of a manifest's fields, as LevelDB has them.
const (
	tagComparer    = 1
	tagLog         = 2
	tagNextFile    = 3
	tagSequence    = 4
	tagCompaction  = 5
	tagDeleted     = 6
	tagAdded       = 7
	tagPreviousLog = 9
)

// readManifestOfC reads the manifest that is in force. goleveldb has read it before, and found no fault.
func readManifestOfC(folder storage.Storage) (m manifestOfC, err error) {
	fd, err := folder.GetMeta()
	if err != nil {
		return m, err
	}
	file, err := folder.Open(fd)
	if err != nil {
		return m, err
	}
	defer file.Close()
	for r := journal.NewReader(file, nil, true, true); ; {
		edit, err := r.Next()
		if err == io.EOF {
			return m, nil
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(edit)
		}
		if err == nil {
			err = m.take(bytes.NewReader(data))
		}
		if err != nil {
			return m, fmt.Errorf("%s: %w", fd, err)
		}
	}
}

// take reads one edit of a manifest.
func (m *manifestOfC) take(edit *bytes.Reader) (err error) {
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(edit)
		}
		return n
	}
	skip := func() {
		n := number()
		if err == nil && n > uint64(edit.Len()) {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			_, err = edit.Seek(int64(n), io.SeekCurrent)
		}
	}
	for edit.Len() > 0 && err == nil {
		switch tag := number(); tag {
		case tagComparer:
			skip()
		case tagLog:
			m.log = int64(number())
		case tagNextFile:
			number()
		case tagSequence:
			m.sequence = number()
		case tagCompaction:
			number()
			skip()
		case tagDeleted:
			number()
			number()
		case tagAdded:
			for range 3 { // level, number, size
				number()
			}
			skip()
			skip()
		case tagPreviousLog:
			m.previous = int64(number())
		default:
			err = fmt.Errorf("%w: a field of kind %d", partdb.ErrDamaged, tag)
		}
	}
	return err
}

// livingLogs are the logs whose commits may not be in tables, the oldest first.
func (m *manifestOfC) livingLogs(folder storage.Storage) ([]storage.FileDesc, error) {
	logs, err := folder.List(storage.TypeJournal)
	logs = slices.DeleteFunc(logs, func(fd storage.FileDesc) bool { return fd.Num < m.log && fd.Num != m.previous })
	slices.SortFunc(logs, func(a, b storage.FileDesc) int { return int(a.Num - b.Num) })
	return logs, err
}

// commitHead is what a commit of LevelDB's begins with: its first sequence and how many operations it has.
const commitHead = 8 + 4

// replay brings the commits of a log into the database. What cannot be read is left out: checkLogs reports it.
func replay(file io.Reader, db *leveldb.DB) error {
	for r := journal.NewReader(file, nil, false, true); ; {
		commit, err := r.Next()
		if err == io.EOF {
			return nil
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(commit)
		}
		var batch leveldb.Batch
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			continue // a part of it is missing
		case err != nil:
			return err
		case len(data) < commitHead || batch.Load(data[commitHead:]) != nil:
			continue
		}
		if err := db.Write(&batch, nil); err != nil {
			return err
		}
	}
}

// logsOfC are the living logs of a C store, read by themselves: not by what replays them.
type logsOfC struct {
	sequence uint64            // of the last commit that was read, or that the manifest counts
	begun    bool              // a commit was read
	values   map[string][]byte // what each key was set to last; nil when it was deleted last
	faults   []string
}

// readLogsOfC reads the logs. What is missing or damaged in them is a fault: also a log that ends before the last commit
// that the manifest counts. A log that ends in the middle of a commit is not: the C store was killed before it acked that.
func readLogsOfC(folder storage.Storage) (*logsOfC, error) {
	m, err := readManifestOfC(folder)
	if err != nil {
		return nil, err
	}
	logs, err := m.livingLogs(folder)
	if err != nil {
		return nil, err
	}
	l := &logsOfC{sequence: m.sequence, values: make(map[string][]byte)}
	for _, fd := range logs {
		file, err := folder.Open(fd)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		log := partdb.LogFile{Data: data, OfC: true}
		r := log.Read(l.commit)
		for _, fault := range r.Faults {
			l.faults = append(l.faults, fmt.Sprintf("%s: %v", fd, fault))
		}
	}
	if l.sequence < m.sequence {
		l.faults = append(l.faults,
			fmt.Sprintf("the log ends at sequence %d, and the manifest counts %d: the last commits are missing", l.sequence, m.sequence))
	}
	return l, nil
}

// commit takes a commit of a log.
func (l *logsOfC) commit(data []byte) error {
	if len(data) < commitHead {
		return fmt.Errorf("a commit of %d bytes", len(data))
	}
	first, count := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint32(data[8:])
	var batch leveldb.Batch
	if err := batch.Load(bytes.Clone(data[commitHead:])); err != nil {
		return err
	}
	gap := first > l.sequence+1 || l.begun && first <= l.sequence
	l.begun, l.sequence = true, first+uint64(count)-1
	if err := batch.Replay(l); err != nil {
		return err
	}
	if gap {
		return fmt.Errorf("commits are missing before sequence %d", first)
	}
	return nil
}

func (l *logsOfC) Put(key, value []byte) { l.values[string(key)] = append([]byte{}, value...) }
func (l *logsOfC) Delete(key []byte)     { l.values[string(key)] = nil }
