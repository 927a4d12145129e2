package partdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/godafka/dafka/zmqwire"
)

// What the database holds:
//
//	key                                        value
//	'v'                                        the version of this format, as text
//	'h' topic NUL address NUL                  how many records the partition has (8): its head is one less
//	'r' topic NUL address NUL first (8)        a run: the records from sequence first on
//	't' topic NUL address NUL                  nothing: a crash may have left runs behind the head ([Commits.PutTables])
//
// A run:
//
//	+--------------+-----------+------------------+----------+
//	| checksum (4) | count (4) | ends (4 x count) | contents |
//	+--------------+-----------+------------------+----------+
//
// ends[i] is where content i ends, counted from the first byte of contents. The checksum is CRC-32C of the key and of
// what follows the checksum, so that a run in the wrong place is noticed too. Sequences are big endian, that keys sort
// as they count; the rest is little endian.
//
// A record is found by seeking the last key at or below its sequence.
//
// Invariant: a partition's runs hold the sequences from 0 to its head without holes or overlaps, and where it is marked,
// perhaps some behind.

const (
	FormatVersion = "2"
	OldVersion    = "1" // has no marks

	VersionKey   = "v"
	HeadPrefix   = 'h'
	RunPrefix    = 'r'
	MarkPrefix   = 't'
	runHeader    = 8
	SequenceSize = 8
)

func Readable(version string) bool { return version == FormatVersion || version == OldVersion }

// ErrDamaged is wrapped by errors about stored bytes that are not what was written.
var ErrDamaged = errors.New("stored data is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendPartition appends what the keys of one partition begin with. Names hold no NUL.
func AppendPartition(dst []byte, prefix byte, topic, address string) []byte {
	dst = append(dst, prefix)
	dst = append(dst, topic...)
	dst = append(dst, 0)
	dst = append(dst, address...)
	return append(dst, 0)
}

// WithPrefix gives the key that stands at the same place under another prefix: of a partition's head, runs or mark.
func WithPrefix(prefix byte, key []byte) []byte { return append([]byte{prefix}, key[1:]...) }

// PrefixEnd is the first key behind all that begin with a partition's.
func PrefixEnd(partition []byte) []byte {
	last := len(partition) - 1
	return append(bytes.Clone(partition[:last]), partition[last]+1)
}

// KeySuccessor is the first key behind another.
func KeySuccessor(key []byte) []byte { return append(bytes.Clone(key), 0) }

func AppendRunKey(dst []byte, topic, address string, first uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendPartition(dst, RunPrefix, topic, address), first)
}

// TopicBounds are the first key of a topic's heads and the first key behind them; of all topics when it is empty.
func TopicBounds(topic string) (lower, upper []byte) {
	if topic == "" {
		return []byte{HeadPrefix}, []byte{HeadPrefix + 1}
	}
	lower = append(append([]byte{HeadPrefix}, topic...), 0)
	upper = append(append([]byte{HeadPrefix}, topic...), 1)
	return lower, upper
}

// BeginningBounds are the first key of the heads of all topics that begin so, and the first key behind them.
func BeginningBounds(beginning string) (lower, upper []byte) {
	lower = append([]byte{HeadPrefix}, beginning...)
	upper = bytes.TrimRight(bytes.Clone(lower), "\xff")
	upper[len(upper)-1]++
	return lower, upper
}

// SplitHeadKey is the inverse of appendPartition for heads.
func SplitHeadKey(key []byte) (topic, address []byte, err error) {
	parts := bytes.Split(key[1:], []byte{0})
	if len(parts) != 3 || len(parts[0]) == 0 || len(parts[1]) == 0 || len(parts[2]) != 0 {
		return nil, nil, fmt.Errorf("%w: key %q is not a head's", ErrDamaged, key)
	}
	return parts[0], parts[1], nil
}

// SplitRunKey gives what a run's key begins with, which is its partition's, and the sequence of its first record.
func SplitRunKey(key []byte) (partition []byte, first uint64, err error) {
	n := len(key) - SequenceSize
	if n < 1 {
		return nil, 0, fmt.Errorf("%w: key %q is not a run's", ErrDamaged, key)
	}
	if _, _, err := SplitHeadKey(key[:n]); err != nil {
		return nil, 0, fmt.Errorf("%w: key %q is not a run's", ErrDamaged, key)
	}
	return key[:n:n], binary.BigEndian.Uint64(key[n:]), nil
}

func DecodeHead(key, value []byte) (records uint64, err error) {
	if len(value) != SequenceSize {
		return 0, fmt.Errorf("%w: head %q has %d bytes", ErrDamaged, key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func RunSize(run *zmqwire.Run) int {
	return runHeader + 4*len(run.Ends) + len(run.Contents)
}

// EncodeRun writes a run into value, which has runSize bytes.
func EncodeRun(value, key []byte, run *zmqwire.Run) {
	binary.LittleEndian.PutUint32(value[4:], uint32(len(run.Ends)))
	at := value[runHeader:]
	for i, end := range run.Ends {
		binary.LittleEndian.PutUint32(at[4*i:], end)
	}
	copy(at[4*len(run.Ends):], run.Contents)
	binary.LittleEndian.PutUint32(value, checksum(key, value))
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
}

// DecodeRun reads what encodeRun wrote, into run. Contents points into value; Ends is run's own memory, used again.
func DecodeRun(key, value []byte, run *zmqwire.Run) error {
	if len(key) < SequenceSize || len(value) < runHeader {
		return fmt.Errorf("%w: run %q has %d bytes", ErrDamaged, key, len(value))
	}
	if checksum(key, value) != binary.LittleEndian.Uint32(value) {
		return fmt.Errorf("%w: checksum of run %q", ErrDamaged, key)
	}
	count := int(binary.LittleEndian.Uint32(value[4:]))
	rest := value[runHeader:]
	if count == 0 || count > len(rest)/4 {
		return fmt.Errorf("%w: run %q claims %d records in %d bytes", ErrDamaged, key, count, len(rest))
	}
	run.First = binary.BigEndian.Uint64(key[len(key)-SequenceSize:])
	run.Ends, run.Contents = run.Ends[:0], rest[4*count:]
	end := uint32(0)
	for i := range count {
		next := binary.LittleEndian.Uint32(rest[4*i:])
		if next < end {
			return fmt.Errorf("%w: run %q: record %d ends before it begins", ErrDamaged, key, i)
		}
		end = next
		run.Ends = append(run.Ends, end)
	}
	if int(end) != len(run.Contents) {
		return fmt.Errorf("%w: run %q has %d bytes of contents instead of %d", ErrDamaged, key, len(run.Contents), end)
	}
	return nil
}
