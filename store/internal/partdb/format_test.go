package partdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// sealed gives a value the checksum that makes its other faults show.
func sealed(key, value []byte) []byte {
	binary.LittleEndian.PutUint32(value, checksum(key, value))
	return value
}

var runs = []struct {
	what string
	run  *zmqwire.Run
}{
	{"one record", runOf(0, "hello")},
	{"one empty record", runOf(7, "")},
	{"empty records among others", runOf(1<<32, "", "a", "", "", "bc", "")},
	{"bytes of all values", runOf(1<<64-1, "\x00\xff", string(bytes.Repeat([]byte{0}, 300)), "\xfe")},
	{"a large record", runOf(1, strings.Repeat("0123456789", 20_000))},
}

func TestRuns(t *testing.T) {
	// Memory of an earlier run is used again, whatever it was.
	got := zmqwire.Run{Ends: []uint32{1, 2, 3}, Contents: []byte("abc")}
	for _, test := range runs {
		key := AppendRunKey(nil, "topic", "address", test.run.First)
		value := encoded(key, test.run)
		if err := DecodeRun(key, value, &got); err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		if got.First != test.run.First {
			t.Errorf("%s: first %d, want %d", test.what, got.First, test.run.First)
		}
		if diff := cmp.Diff(contentsOf(test.run), contentsOf(&got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

// The bytes themselves: a change of them is a new format, and needs a new version.
func TestRunBytes(t *testing.T) {
	key := AppendRunKey(nil, "t", "a", 258)
	value := encoded(key, runOf(258, "x", "", "yz"))
	want := "rt\x00a\x00" + "\x00\x00\x00\x00\x00\x00\x01\x02" + " -> " +
		"\xaa\xad\x6e\x2c" + "\x03\x00\x00\x00" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00" + "\x03\x00\x00\x00" + "xyz"
	if diff := cmp.Diff(want, string(key)+" -> "+string(value)); diff != "" {
		t.Errorf("key and value (-want +got):\n%s", diff)
	}
	if FormatVersion != "2" {
		t.Error("a new version of the format: change the bytes above with it")
	}
}

func TestDamagedRuns(t *testing.T) {
	damaged := func(what string, key, value []byte) {
		t.Helper()
		if err := DecodeRun(key, value, &zmqwire.Run{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", what, err)
		}
	}
	for _, test := range runs[:4] {
		key := AppendRunKey(nil, "topic", "address", test.run.First)
		value := encoded(key, test.run)
		for n := range value {
			damaged(fmt.Sprintf("%s cut to %d bytes", test.what, n), key, value[:n])
			cut := bytes.Clone(value[:n])
			if n >= runHeader {
				damaged(fmt.Sprintf("%s cut to %d bytes, with a checksum", test.what, n), key, sealed(key, cut))
			}
		}
		for bit := range 8 * len(value) {
			flipped := bytes.Clone(value)
			flipped[bit/8] ^= 1 << (bit % 8)
			damaged(fmt.Sprintf("%s with bit %d flipped", test.what, bit), key, flipped)
		}
		for bit := range 8 * len(key) {
			flipped := bytes.Clone(key)
			flipped[bit/8] ^= 1 << (bit % 8)
			damaged(fmt.Sprintf("%s with bit %d of its key flipped", test.what, bit), flipped, value)
		}
		damaged(test.what+" with a byte more", key, sealed(key, append(bytes.Clone(value), 0)))
		damaged(test.what+" under a short key", key[:7], sealed(key[:7], bytes.Clone(value)))
	}
	key := AppendRunKey(nil, "topic", "address", 0)
	le := binary.LittleEndian.AppendUint32
	for what, value := range map[string][]byte{
		"no records":              le(le(nil, 0), 0),
		"more records than bytes": le(le(nil, 0), 1<<30),
		"most records":            le(le(nil, 0), 1<<32-1),
		"ends that go back":       append(le(le(le(le(nil, 0), 2), 5), 3), "hello"...),
		"an end behind the end":   append(le(le(le(nil, 0), 1), 6), "hello"...),
		"an end far behind it":    append(le(le(le(nil, 0), 1), 1<<32-1), "hello"...),
	} {
		damaged(what, key, sealed(key, value))
	}
}

// Whatever the bytes are: no panic, no error but ErrDamaged, and what can be read is written the same.
func FuzzRun(f *testing.F) {
	for _, test := range runs[:4] {
		key := AppendRunKey(nil, "topic", "address", test.run.First)
		f.Add(key, encoded(key, test.run)[4:])
	}
	f.Add([]byte("12345678"), []byte{1, 0, 0, 0, 255, 255, 255, 255, 'a'})
	f.Fuzz(func(t *testing.T, key, rest []byte) {
		// With a right checksum, or nothing behind it would ever be looked at.
		value := append(make([]byte, 4), rest...)
		var run zmqwire.Run
		if err := DecodeRun(key, value, &run); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("error %v, want ErrDamaged", err)
		}
		value = sealed(key, value)
		if err := DecodeRun(key, value, &run); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error %v, want ErrDamaged", err)
			}
			return
		}
		if diff := cmp.Diff(value, encoded(key, &run)); diff != "" {
			t.Errorf("encoded again (-want +got):\n%s", diff)
		}
	})
}

func TestHeads(t *testing.T) {
	names := []string{"a", "hello", "hello2", "hello\x01", "\xff\xfe", strings.Repeat("\x01", 255), strings.Repeat("\xff", 255)}
	for _, topic := range names {
		lower, upper := TopicBounds(topic)
		for _, other := range names {
			for _, address := range names {
				key := AppendPartition(nil, HeadPrefix, other, address)
				if in := bytes.Compare(lower, key) <= 0 && bytes.Compare(key, upper) < 0; in != (topic == other) {
					t.Errorf("head of %q is within the bounds of %q: %v", other, topic, in)
				}
				gotTopic, gotAddress, err := SplitHeadKey(key)
				if err != nil || string(gotTopic) != other || string(gotAddress) != address {
					t.Errorf("head of %q, %q is split into %q, %q, %v", other, address, gotTopic, gotAddress, err)
				}
			}
		}
	}
	lower, upper := TopicBounds("")
	for _, topic := range names {
		key := AppendPartition(nil, HeadPrefix, topic, "a")
		if bytes.Compare(lower, key) > 0 || bytes.Compare(key, upper) >= 0 {
			t.Errorf("head of %q is not within the bounds of all topics", topic)
		}
	}
	for _, key := range []string{"h", "ha", "ha\x00", "ha\x00b", "h\x00b\x00", "ha\x00\x00", "ha\x00b\x00c", "ha\x00b\x00c\x00"} {
		if _, _, err := SplitHeadKey([]byte(key)); !errors.Is(err, ErrDamaged) {
			t.Errorf("key %q: error %v, want ErrDamaged", key, err)
		}
	}
	for n := range 20 {
		records, err := DecodeHead(nil, []byte("\x00\x00\x00\x00\x00\x00\x01\x02padding and more")[:n])
		if n == SequenceSize && (records != 258 || err != nil) || n != SequenceSize && !errors.Is(err, ErrDamaged) {
			t.Errorf("head of %d bytes: %d, %v", n, records, err)
		}
	}
}
