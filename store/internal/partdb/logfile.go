package partdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/wal"
)

// Logs of Pebble and of LevelDB consist of blocks of 32 KiB. A commit is one piece or several, none of which crosses from
// one block to the next. What has no room for the head of a piece at the end of a block is zero:
//
//	+--------------+------------+----------+----------------+-----------------+---------+
//	| checksum (4) | length (2) | kind (1) | log number (4) | sync offset (8) | payload |
//	+--------------+------------+----------+----------------+-----------------+---------+
//
// LevelDB has no log number and no sync offset. The checksum is CRC-32C of all from the kind on, masked. All is little
// endian.
//
// Pebble's own reader takes a piece that it cannot read for the end of the log, unless a later block shows that a sync
// had covered the piece. It does not look at the pieces behind in the same block, and Pebble 2.1.7 writes sync offsets
// that lag behind. So a flipped bit can cost commits that were synced, and nothing reports it. This reader looks for
// commits behind what it cannot read, byte by byte.

const (
	logBlock     = 32 << 10
	headOfLogOfC = 7
	headOfMark   = 11 // the mark of a clean end has no sync offset
	headOfLog    = 19
)

// LogFile is a log, in memory as a whole: it is hardly larger than a memtable.
type LogFile struct {
	Data   []byte
	OfC    bool   // LevelDB wrote it
	Number uint32 // of a log of Pebble's
}

// OpenLog reads a log of Pebble's into memory.
func OpenLog(path string) (*LogFile, error) {
	number, _, _ := wal.ParseLogFilename(filepath.Base(path))
	data, err := os.ReadFile(path)
	return &LogFile{Data: data, Number: uint32(number)}, err
}

// Kinds of a piece.
const (
	wholeCommit = iota
	FirstPiece
	middlePiece
	lastPiece
)

// Piece is one that can be read.
type Piece struct {
	Kind    int
	payload []byte
	End     int
	synced  bool // its head says that something before it was synced
}

// Piece reads the piece at an offset. It returns false when there is none, or when it is damaged.
func (l *LogFile) Piece(at int) (p Piece, ok bool) {
	block := l.Data[at:min(len(l.Data), (at/logBlock+1)*logBlock)]
	if len(block) < headOfLogOfC {
		return p, false
	}
	head := headOfLogOfC
	kind := int(block[6])
	switch {
	case l.OfC && kind >= 1 && kind <= 4:
		kind--
	case !l.OfC && kind >= 5 && kind <= 12:
		kind -= 5
		head = headOfMark
		if kind >= 4 {
			kind -= 4
			head = headOfLog
		}
		if len(block) < head || binary.LittleEndian.Uint32(block[7:]) != l.Number {
			return p, false
		}
		p.synced = head == headOfLog && binary.LittleEndian.Uint64(block[11:]) > 0
	default:
		return p, false
	}
	size := head + int(binary.LittleEndian.Uint16(block[4:]))
	if size > len(block) || maskedChecksum(block[6:size]) != binary.LittleEndian.Uint32(block) {
		return p, false
	}
	p.Kind, p.payload, p.End = kind, block[head:size], at+size
	return p, true
}

// maskedChecksum is the checksum of a piece.
func maskedChecksum(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// Pad is where the next piece is, if the rest of the block is too short for one.
func (l *LogFile) Pad(at int) int {
	head := headOfLog
	if l.OfC {
		head = headOfLogOfC
	}
	block := min(len(l.Data), (at/logBlock+1)*logBlock)
	if block-at < head && len(bytes.Trim(l.Data[at:block], "\x00")) == 0 {
		return block
	}
	return at
}

// marked reports whether the mark of a clean end is at an offset.
func (l *LogFile) marked(at int) bool {
	mark := [headOfMark]byte{6: 5}
	binary.LittleEndian.PutUint32(mark[7:], l.Number+1)
	return !l.OfC && bytes.HasPrefix(l.Data[at:], mark[:])
}

// passedOver reports whether Pebble takes what is at an offset for the mark of a clean end, which it may not be.
func (l *LogFile) passedOver(at int) bool {
	rest := l.Data[at:]
	return len(rest) >= headOfMark && rest[6] >= 5 && rest[6] <= 12 && binary.LittleEndian.Uint32(rest[7:]) == l.Number+1
}

// next finds the first commit that begins behind an offset, or the mark of the end. It returns -1 when there is neither.
func (l *LogFile) next(at int) int {
	number := binary.LittleEndian.AppendUint32(nil, l.Number)
	for at++; at < len(l.Data); at++ {
		if !l.OfC { // every piece has the number of the log
			i := bytes.Index(l.Data[min(at+headOfLogOfC, len(l.Data)):], number)
			if i < 0 {
				break
			}
			at += i
		}
		if p, ok := l.Piece(at); ok && p.Kind <= FirstPiece {
			return at
		}
	}
	if mark := len(l.Data) - headOfMark; mark >= 0 && l.marked(mark) {
		return mark
	}
	return -1
}

// cutOff reports whether what is at an offset can be the beginning of a piece whose end was never written. LevelDB does
// not sync, and writes from the first byte to the last.
func (l *LogFile) cutOff(at int) bool {
	block := l.Data[at:min(len(l.Data), (at/logBlock+1)*logBlock)]
	if len(block) < headOfLogOfC || len(bytes.Trim(block, "\x00")) == 0 {
		return true
	}
	return block[6] >= 1 && block[6] <= 4 && headOfLogOfC+int(binary.LittleEndian.Uint16(block[4:])) > len(block)
}

// LogReading is what was found when a log was read.
type LogReading struct {
	Faults []error // what cannot be read, and has a commit or the mark of the end behind it
	closed bool    // it has the mark of a clean end
	end    int     // behind what could be read
	// synced says that whoever wrote the log synced commits. A store does not begin a commit before the last one is
	// synced, so that a fault is damage then. Without syncs a power failure leaves the same.
	synced bool
	// passedOver says that Pebble takes a fault for the end of the log, which then seems whole.
	passedOver bool
}

// Damaged is the error of a log with faults that no power failure leaves. Of a log that is not the newest, Pebble reports
// all faults but those that it passes over, if the log still matters.
func (r *LogReading) Damaged(newest bool) error {
	if len(r.Faults) == 0 || !r.synced || !newest && !r.passedOver {
		return nil
	}
	return errors.Join(r.Faults...)
}

// Read gives each commit that can be read, in order, also those behind damage. A commit points into the log, or lives
// until the next one. An error of commit's is a fault.
func (l *LogFile) Read(commit func(batch []byte) error) (r LogReading) {
	var batch []byte
	begun := -1 // where a commit began whose end has not come yet
	fault := func(at int, err error) {
		r.Faults = append(r.Faults, fmt.Errorf("%w: offset %d: %w", ErrDamaged, at, err))
	}
	for at := 0; ; {
		at = l.Pad(at)
		if begun < 0 {
			r.end = at
		}
		if at == len(l.Data) {
			return r
		}
		p, ok := l.Piece(at)
		if !ok {
			if r.closed = begun < 0 && l.marked(at); r.closed {
				return r
			}
			passedOver, next := begun < 0 && l.passedOver(at), l.next(at)
			r.passedOver = r.passedOver || passedOver
			switch {
			case next >= 0:
				fault(at, errors.New("a commit cannot be read, and there is more behind it"))
			case passedOver:
				fault(at, errors.New("it is neither a commit nor the mark of the end"))
				return r
			case l.OfC && !l.cutOff(at):
				fault(at, errors.New("a commit cannot be read"))
				return r
			default:
				return r
			}
			at, begun = next, -1
			continue
		}
		r.synced = r.synced || p.synced
		if (begun >= 0) != (p.Kind >= middlePiece) {
			fault(at, errors.New("a part of a commit is missing"))
			begun = -1
			if p.Kind >= middlePiece {
				at = p.End
				continue
			}
		}
		switch p.Kind {
		case wholeCommit:
			batch = p.payload
		case FirstPiece:
			batch, begun = bytes.Clone(p.payload), at
		default:
			batch = append(batch, p.payload...)
		}
		if p.Kind == wholeCommit || p.Kind == lastPiece {
			if err := commit(batch); err != nil {
				fault(at, err)
			}
			begun = -1
		}
		at = p.End
	}
}
