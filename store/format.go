package store

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
//	't' topic NUL address NUL                  nothing: a crash may have left runs behind the head ([commits.putTables])
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
	formatVersion = "2"
	oldVersion    = "1" // has no marks

	versionKey   = "v"
	headPrefix   = 'h'
	runPrefix    = 'r'
	markPrefix   = 't'
	runHeader    = 8
	sequenceSize = 8
)

func readable(version string) bool { return version == formatVersion || version == oldVersion }

// ErrDamaged is wrapped by errors about stored bytes that are not what was written.
var ErrDamaged = errors.New("stored data is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendPartition appends what the keys of one partition begin with. Names hold no NUL.
func appendPartition(dst []byte, prefix byte, topic, address string) []byte {
	dst = append(dst, prefix)
	dst = append(dst, topic...)
	dst = append(dst, 0)
	dst = append(dst, address...)
	return append(dst, 0)
}

// under gives the key that stands at the same place under another prefix: of a partition's head, runs or mark.
func under(prefix byte, key []byte) []byte { return append([]byte{prefix}, key[1:]...) }

// behind is the first key behind all that begin with a partition's.
func behind(partition []byte) []byte {
	last := len(partition) - 1
	return append(bytes.Clone(partition[:last]), partition[last]+1)
}

// after is the first key behind another.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

func appendRunKey(dst []byte, topic, address string, first uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPartition(dst, runPrefix, topic, address), first)
}

// topicBounds are the first key of a topic's heads and the first key behind them; of all topics when it is empty.
func topicBounds(topic string) (lower, upper []byte) {
	if topic == "" {
		return []byte{headPrefix}, []byte{headPrefix + 1}
	}
	lower = append(append([]byte{headPrefix}, topic...), 0)
	upper = append(append([]byte{headPrefix}, topic...), 1)
	return lower, upper
}

// beginningBounds are the first key of the heads of all topics that begin so, and the first key behind them.
func beginningBounds(beginning string) (lower, upper []byte) {
	lower = append([]byte{headPrefix}, beginning...)
	upper = bytes.TrimRight(bytes.Clone(lower), "\xff")
	upper[len(upper)-1]++
	return lower, upper
}

// splitHeadKey is the inverse of appendPartition for heads.
func splitHeadKey(key []byte) (topic, address []byte, err error) {
	parts := bytes.Split(key[1:], []byte{0})
	if len(parts) != 3 || len(parts[0]) == 0 || len(parts[1]) == 0 || len(parts[2]) != 0 {
		return nil, nil, fmt.Errorf("%w: key %q is not a head's", ErrDamaged, key)
	}
	return parts[0], parts[1], nil
}

// splitRunKey gives what a run's key begins with, which is its partition's, and the sequence of its first record.
func splitRunKey(key []byte) (partition []byte, first uint64, err error) {
	n := len(key) - sequenceSize
	if n < 1 {
		return nil, 0, fmt.Errorf("%w: key %q is not a run's", ErrDamaged, key)
	}
	if _, _, err := splitHeadKey(key[:n]); err != nil {
		return nil, 0, fmt.Errorf("%w: key %q is not a run's", ErrDamaged, key)
	}
	return key[:n:n], binary.BigEndian.Uint64(key[n:]), nil
}

func decodeHead(key, value []byte) (records uint64, err error) {
	if len(value) != sequenceSize {
		return 0, fmt.Errorf("%w: head %q has %d bytes", ErrDamaged, key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func runSize(run *zmqwire.Run) int {
	return runHeader + 4*len(run.Ends) + len(run.Contents)
}

// encodeRun writes a run into value, which has runSize bytes.
func encodeRun(value, key []byte, run *zmqwire.Run) {
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

// decodeRun reads what encodeRun wrote, into run. Contents points into value; Ends is run's own memory, used again.
func decodeRun(key, value []byte, run *zmqwire.Run) error {
	if len(key) < sequenceSize || len(value) < runHeader {
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
	run.First = binary.BigEndian.Uint64(key[len(key)-sequenceSize:])
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
