package zmqwire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// hexBytes is bytes that stand as hex in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is a message as the C codec encoded it, beside the values it was given.
type vector struct {
	ID       string     `json:"id"`
	Topic    hexBytes   `json:"topic_hex"`
	Address  hexBytes   `json:"address_hex"`
	Subject  hexBytes   `json:"subject_hex"`
	Sequence uint64     `json:"sequence,string"`
	Count    uint32     `json:"count"`
	Subjects []hexBytes `json:"subjects_hex"`
	Content  hexBytes   `json:"content_hex"`
	Frames   []hexBytes `json:"frames_hex"`
}

func (v *vector) message() Message {
	m := Message{
		Kind: Kind(v.ID[0]), Routing: v.Topic, Address: v.Address, Subject: v.Subject,
		Sequence: v.Sequence, Count: v.Count, Content: v.Content,
	}
	for _, topic := range v.Subjects {
		m.Topics = append(m.Topics, topic)
	}
	return m
}

func plain(frames []hexBytes) [][]byte {
	var p [][]byte
	for _, frame := range frames {
		p = append(p, frame)
	}
	return p
}

// encode gives a message's frames, as a socket would carry them.
func encode(t testing.TB, m *Message) [][]byte {
	t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatalf("encode %v: %v", m.Kind, err)
	}
	if m.Kind.HasContent() {
		return [][]byte{frame, m.Content}
	}
	return [][]byte{frame}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/c-dafka-messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

// captured is one message that a live C cluster exchanged.
type captured struct {
	Kind   string     `json:"kind"`
	Frames []hexBytes `json:"frames_hex"`
}

func readCapture(t testing.TB) []captured {
	t.Helper()
	file, err := os.Open("testdata/c-dafka-cluster.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var capture []captured
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var c captured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		capture = append(capture, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return capture
}

func TestVectorsOfC(t *testing.T) {
	seen := make(map[Kind]int)
	for i, v := range readVectors(t) {
		want, frames := v.message(), plain(v.Frames)
		seen[want.Kind]++
		if diff := cmp.Diff(frames, encode(t, &want), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("vector %d, %v, encodes to other bytes (-C +Go):\n%s", i, want.Kind, diff)
		}
		var got Message
		if err := got.Decode(frames); err != nil {
			t.Errorf("vector %d, %v: %v", i, want.Kind, err)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("vector %d, %v, decodes to other values (-C +Go):\n%s", i, want.Kind, diff)
		}
	}
	for _, kind := range Kinds() {
		if seen[kind] < 20 {
			t.Errorf("%d vectors of %v, want 20", seen[kind], kind)
		}
	}
}

func TestCaptureOfC(t *testing.T) {
	seen := make(map[string]int)
	var m Message // one for all: what a message leaves behind must not show in the next
	for i, c := range readCapture(t) {
		frames := plain(c.Frames)
		seen[c.Kind]++
		var again [][]byte
		switch c.Kind {
		case "message":
			if err := m.Decode(frames); err != nil {
				t.Errorf("line %d: %v", i+1, err)
				continue
			}
			again = encode(t, &m)
		case "subscription":
			s, err := ParseSubscription(frames)
			if err != nil {
				t.Errorf("line %d: %v", i+1, err)
				continue
			}
			again = [][]byte{s.Append(nil)}
		case "tower-beacon":
			if len(frames) == 1 && string(frames[0]) == WelcomeTopic {
				continue
			}
			a, err := ParseAnnouncement(frames)
			if err != nil {
				t.Errorf("line %d: %v", i+1, err)
				continue
			}
			again = a.Frames()
		}
		if diff := cmp.Diff(frames, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("line %d, a %s, encodes to other bytes (-C +Go):\n%s", i+1, c.Kind, diff)
		}
	}
	want := map[string]int{"message": 32, "subscription": 25, "tower-beacon": 3}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("kinds of lines in the capture (-want +got):\n%s", diff)
	}
}

func TestEveryTruncationOfAVectorIsRefused(t *testing.T) {
	var m Message
	for i, v := range readVectors(t) {
		frames := plain(v.Frames)
		whole := frames[0]
		routingEnds := bytes.IndexByte(whole, 0)
		for n := range whole {
			frames[0] = whole[:n:n]
			err := m.Decode(frames)
			var ok bool
			switch {
			case n == 0:
				ok = errors.Is(err, ErrTruncated)
			case n <= routingEnds:
				ok = errors.Is(err, ErrUnterminated)
			default:
				ok = errors.Is(err, ErrTruncated) || m.Kind == ConsumerHello && errors.Is(err, ErrTopicCount)
			}
			if !ok {
				t.Errorf("vector %d, %v, cut from %d to %d bytes: error %v", i, Kind(whole[0]), len(whole), n, err)
			}
		}
	}
}

const seven = "\x00\x00\x00\x00\x00\x00\x00\x07"

// Of more topics than may be taken the first are, and the others are checked all the same.
func TestDecodeMaxTopics(t *testing.T) {
	hello := Message{Kind: ConsumerHello, Routing: []byte("s"), Address: []byte("a")}
	for i := range 5 {
		hello.Topics = append(hello.Topics, fmt.Append(nil, "topic ", i))
	}
	frame, err := hello.Append(nil)
	must(t, err)
	for _, test := range []struct{ most, topics, surplus int }{{0, 5, 0}, {6, 5, 0}, {5, 5, 0}, {4, 4, 1}, {1, 1, 4}} {
		m := Message{MaxTopics: test.most}
		for range 2 {
			must(t, m.Decode([][]byte{frame}))
			want := hello
			want.Topics, want.MaxTopics, want.Surplus = hello.Topics[:test.topics], test.most, test.surplus
			if diff := cmp.Diff(want, m); diff != "" {
				t.Errorf("at most %d topics (-want +got):\n%s", test.most, diff)
			}
		}
		if err := m.Decode([][]byte{frame[:len(frame)-1]}); !errors.Is(err, ErrTruncated) {
			t.Errorf("at most %d topics: error %v, want %v", test.most, err, ErrTruncated)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	name255 := strings.Repeat("n", 255)
	for _, test := range []struct {
		name   string
		frames []string
		want   error
	}{
		{"record", []string{"Mt\x00\x01\x01a\x01t" + seven, "content"}, nil},
		{"record without bytes in it", []string{"Mt\x00\x01\x01a\x01t" + seven, ""}, nil},
		{"longest names", []string{"H" + name255 + "\x00\x01\xff" + name255 + "\xff" + name255 + seven}, nil},

		{"no frame", nil, ErrTruncated},
		{"empty frame", []string{""}, ErrTruncated},
		{"empty frame before content", []string{"", "content"}, ErrTruncated},
		// A C store keeps this one as a record.
		{"only the kind", []string{"M"}, ErrUnterminated},
		{"no NUL behind the routing", []string{"Kaddress"}, ErrUnterminated},
		{"nothing behind the routing", []string{"Kaddress\x00"}, ErrTruncated},

		{"version 0", []string{"Gt\x00\x00\x01a"}, ErrVersion},
		{"version 2", []string{"Gt\x00\x02\x01a"}, ErrVersion},
		{"version 2 of an unknown kind", []string{"Zt\x00\x02\x01a"}, ErrVersion},
		{"unknown kind", []string{"Zt\x00\x01\x01a"}, ErrKind},
		{"kind in lower case", []string{"gt\x00\x01\x01a"}, ErrKind},
		{"NUL for a kind", []string{"\x00\x01\x01a"}, ErrKind},
		// The signature that RFC 46 shows, and no C program sends.
		{"signature", []string{"\xaa\xa5Gt\x00\x01\x01a"}, ErrKind},

		{"address longer than the frame", []string{"Gt\x00\x01\xffa"}, ErrTruncated},
		{"sequence of 7 bytes", []string{"Ht\x00\x01\x01a\x01t" + seven[:7]}, ErrTruncated},
		{"count of 3 bytes", []string{"Fp\x00\x01\x01a\x01t" + seven + "\x00\x00\x01"}, ErrTruncated},

		{"byte behind GET-HEADS", []string{"Gt\x00\x01\x01a\x00"}, ErrTrailing},
		{"byte behind STORE-HELLO", []string{"Lc\x00\x01\x01a\x00"}, ErrTrailing},
		{"byte behind HEAD", []string{"Ht\x00\x01\x01a\x01t" + seven + "\x00"}, ErrTrailing},
		{"byte behind RECORD", []string{"Mt\x00\x01\x01a\x01t" + seven + "\x00", "content"}, ErrTrailing},
		{"byte behind FETCH", []string{"Fp\x00\x01\x01a\x01t" + seven + "\x00\x00\x00\x01\x00"}, ErrTrailing},
		{"byte behind ACK", []string{"Kp\x00\x01\x01t" + seven + "\x00"}, ErrTrailing},
		{"byte behind CONSUMER-HELLO", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01\x00\x00\x00\x01t\x00"}, ErrTrailing},
		{"byte behind CONSUMER-HELLO without topics", []string{"Ws\x00\x01\x01a\x00\x00\x00\x00\x00"}, ErrTrailing},

		{"RECORD without content", []string{"Mt\x00\x01\x01a\x01t" + seven}, ErrNoContent},
		{"DIRECT-RECORD without content", []string{"Dr\x00\x01\x01a\x01t" + seven}, ErrNoContent},
		{"RECORD with two contents", []string{"Mt\x00\x01\x01a\x01t" + seven, "content", ""}, ErrSurplusFrame},
		// This one aborts a C store.
		{"FETCH with content", []string{"Fp\x00\x01\x01a\x01t" + seven + "\x00\x00\x00\x01", ""}, ErrSurplusFrame},
		{"ACK with content", []string{"Kp\x00\x01\x01t" + seven, "content"}, ErrSurplusFrame},

		{"one topic announced, none there", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01"}, ErrTopicCount},
		{"two topics announced, one there", []string{"Ws\x00\x01\x01a\x00\x00\x00\x02\x00\x00\x00\x03abc"}, ErrTopicCount},
		{"2^30 topics announced", []string{"Ws\x00\x01\x01a\x40\x00\x00\x00\x00\x00\x00\x00"}, ErrTopicCount},
		{"2^32-1 topics announced", []string{"Ws\x00\x01\x01a\xff\xff\xff\xff\x00\x00\x00\x00"}, ErrTopicCount},
		{"topic longer than the frame", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01\x00\x00\x00\x02t"}, ErrTruncated},
		{"topic of 2^32-1 bytes", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01\xff\xff\xff\xfft"}, ErrTruncated},
		{"second topic's length cut", []string{"Ws\x00\x01\x01a\x00\x00\x00\x02\x00\x00\x00\x02tt\x00\x00"}, ErrTruncated},

		{"NUL in the address", []string{"Gt\x00\x01\x03a\x00b"}, ErrName},
		{"NUL in the subject", []string{"Mt\x00\x01\x01a\x03t\x00t" + seven, "content"}, ErrName},
		{"NUL in an ACK's subject", []string{"Kp\x00\x01\x03t\x00t" + seven}, ErrName},
		{"NUL in a topic", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01\x00\x00\x00\x03t\x00t"}, ErrName},
		{"topic of 256 bytes", []string{"Ws\x00\x01\x01a\x00\x00\x00\x01\x00\x00\x01\x00" + name255 + "n"}, ErrName},
		{"routing of 256 bytes", []string{"Gn" + name255 + "\x00\x01\x01a"}, ErrName},
	} {
		var frames [][]byte
		for _, frame := range test.frames {
			frames = append(frames, []byte(frame))
		}
		var m Message
		err := m.Decode(frames)
		if test.want == nil && err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		// Of all sentinels it must be the one and no other: statistics count by it.
		var got, want Fault
		errors.As(err, &got)
		errors.As(test.want, &want)
		if got != want {
			t.Errorf("%s: error %v, want one that is %v", test.name, err, test.want)
		}
	}
}

func TestAckWithAddressIsRead(t *testing.T) {
	for _, test := range []struct {
		name, frame string
		want        Message
		today       string
	}{
		{
			"today's", "Kpart\x00\x01\x05topic" + seven,
			Message{Kind: Ack, Routing: []byte("part"), Subject: []byte("topic"), Sequence: 7},
			"Kpart\x00\x01\x05topic" + seven,
		}, {
			"before August 2020", "Kpart\x00\x01\x04addr\x05topic" + seven,
			Message{Kind: Ack, Routing: []byte("part"), Address: []byte("addr"), Subject: []byte("topic"), Sequence: 7},
			"Kpart\x00\x01\x05topic" + seven,
		}, {
			"with an empty address", "Kpart\x00\x01\x00\x05topic" + seven,
			Message{Kind: Ack, Routing: []byte("part"), Address: []byte{}, Subject: []byte("topic"), Sequence: 7},
			"Kpart\x00\x01\x05topic" + seven,
		},
	} {
		var m Message
		if err := m.Decode([][]byte{[]byte(test.frame)}); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(test.today, string(encode(t, &m)[0])); diff != "" {
			t.Errorf("%s, written again (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestAppendRefusesNamesThatCannotTravel(t *testing.T) {
	long := bytes.Repeat([]byte("n"), 256)
	for _, test := range []struct {
		name string
		m    Message
		want Fault
	}{
		{"long routing", Message{Kind: GetHeads, Routing: long}, ErrName},
		{"long address", Message{Kind: GetHeads, Address: long}, ErrName},
		{"long subject", Message{Kind: Head, Subject: long}, ErrName},
		{"long topic", Message{Kind: ConsumerHello, Topics: [][]byte{[]byte("t"), long}}, ErrName},
		{"NUL in routing", Message{Kind: GetHeads, Routing: []byte("a\x00b")}, ErrName},
		{"NUL in address", Message{Kind: GetHeads, Address: []byte("\x00")}, ErrName},
		{"NUL in subject", Message{Kind: Record, Subject: []byte("a\x00")}, ErrName},
		{"NUL in topic", Message{Kind: ConsumerHello, Topics: [][]byte{[]byte("a\x00")}}, ErrName},
		{"no kind", Message{}, ErrKind},
		{"unknown kind", Message{Kind: 'Z', Routing: []byte("r")}, ErrKind},
	} {
		dst, err := test.m.Append([]byte("before"))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want one that is %v", test.name, err, test.want)
		}
		if string(dst) != "before" {
			t.Errorf("%s: Append left %q", test.name, dst)
		}
	}
}

func TestCheck(t *testing.T) {
	a, topic, own := []byte("address"), []byte("topic"), []byte("own")
	for _, test := range []struct {
		name string
		m    Message
		want Fault // empty: the message makes sense
	}{
		{"record", Message{Kind: Record, Routing: topic, Address: a, Subject: topic}, ""},
		{"head", Message{Kind: Head, Routing: topic, Address: a, Subject: topic}, ""},
		{"direct record", Message{Kind: DirectRecord, Routing: own, Address: a, Subject: topic}, ""},
		{"direct head", Message{Kind: DirectHead, Routing: own, Address: a, Subject: topic}, ""},
		{"fetch of another's records", Message{Kind: Fetch, Routing: []byte("part"), Address: a, Subject: topic}, ""},
		{"ack", Message{Kind: Ack, Routing: own, Subject: topic}, ""},
		{"get heads of all topics", Message{Kind: GetHeads, Address: a}, ""},
		{"consumer hello", Message{Kind: ConsumerHello, Routing: own, Address: a}, ""},
		{"store hello", Message{Kind: StoreHello, Routing: own, Address: a}, ""},

		{"record without address", Message{Kind: Record, Routing: topic, Subject: topic}, ErrNoName},
		{"record without topic", Message{Kind: Record, Address: a}, ErrNoName},
		{"head without address", Message{Kind: Head, Routing: topic, Subject: topic}, ErrNoName},
		{"direct record without address", Message{Kind: DirectRecord, Routing: own, Subject: topic}, ErrNoName},
		{"direct head without topic", Message{Kind: DirectHead, Routing: own, Address: a}, ErrNoName},
		{"fetch without sender", Message{Kind: Fetch, Routing: own, Subject: topic}, ErrNoName},
		{"fetch without partition", Message{Kind: Fetch, Address: a, Subject: topic}, ErrNoName},
		{"fetch without topic", Message{Kind: Fetch, Routing: own, Address: a}, ErrNoName},
		{"ack without topic", Message{Kind: Ack, Routing: own}, ErrNoName},
		{"get heads without sender", Message{Kind: GetHeads, Routing: topic}, ErrNoName},
		{"consumer hello without sender", Message{Kind: ConsumerHello, Routing: own}, ErrNoName},
		{"store hello without sender", Message{Kind: StoreHello, Routing: own}, ErrNoName},

		// Subscriptions match by prefix, so that these arrive.
		{"record routed by another topic", Message{Kind: Record, Routing: []byte("topic2"), Address: a, Subject: topic}, ErrForeign},
		{"head routed by another topic", Message{Kind: Head, Routing: topic, Address: a, Subject: []byte("topic2")}, ErrForeign},
		{"direct record for a longer name", Message{Kind: DirectRecord, Routing: []byte("own2"), Address: a, Subject: topic}, ErrForeign},
		{"direct head for a longer name", Message{Kind: DirectHead, Routing: []byte("own2"), Address: a, Subject: topic}, ErrForeign},
		{"ack for a longer name", Message{Kind: Ack, Routing: []byte("own2"), Subject: topic}, ErrForeign},
		{"consumer hello for a longer name", Message{Kind: ConsumerHello, Routing: []byte("own2"), Address: a}, ErrForeign},
		{"store hello for a longer name", Message{Kind: StoreHello, Routing: []byte("own2"), Address: a}, ErrForeign},
	} {
		var got Fault
		errors.As(test.m.Check("own"), &got)
		if got != test.want {
			t.Errorf("%s: fault %q, want %q", test.name, got, test.want)
		}
	}
}

func TestRunHeaderAndSequenceAreARecord(t *testing.T) {
	for _, kind := range []Kind{Record, DirectRecord} {
		for _, sequence := range []uint64{0, 1, 255, 1 << 32, 1<<64 - 1} {
			m := Message{
				Kind: kind, Routing: []byte("routing"), Address: []byte("address"), Subject: []byte("topic"),
				Sequence: sequence, Content: []byte("content"),
			}
			frame := encode(t, &m)[0]
			header := AppendRunHeader([]byte("before"), kind, "routing", "address", "topic")
			gotHeader, gotSequence := SplitRecord(frame)
			if diff := cmp.Diff(string(header), "before"+string(gotHeader)); diff != "" {
				t.Errorf("%v %d: header (-AppendRunHeader +SplitRecord):\n%s", kind, sequence, diff)
			}
			if gotSequence != sequence {
				t.Errorf("%v %d: SplitRecord gives sequence %d", kind, sequence, gotSequence)
			}
		}
	}
	for n := range sequenceBytes + 1 {
		if header, sequence := SplitRecord(make([]byte, n)); header != nil || sequence != 0 {
			t.Errorf("a frame of %d bytes has header %q, sequence %d", n, header, sequence)
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, v := range readVectors(t) {
		m, frames := v.message(), plain(v.Frames)
		if seen[m.Kind] {
			continue
		}
		seen[m.Kind] = true
		var decoded Message
		if n := testing.AllocsPerRun(100, func() {
			if err := decoded.Decode(frames); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("decoding a %v allocates %v times", m.Kind, n)
		}
		buffer := make([]byte, 0, 2048)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := m.Append(buffer); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("encoding a %v allocates %v times", m.Kind, n)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Frames[0]), []byte(v.Content), byte(len(v.Frames)))
	}
	for _, c := range readCapture(f) {
		f.Add([]byte(c.Frames[0]), []byte(c.Frames[len(c.Frames)-1]), byte(len(c.Frames)))
	}
	f.Add([]byte("Kpart\x00\x01\x04addr\x05topic"+seven), []byte(nil), byte(1))
	f.Fuzz(func(t *testing.T, first, other []byte, count byte) {
		frames := [][]byte{first, other, other, other}[:count%5]
		var m Message
		if m.Decode(frames) != nil {
			return
		}
		m.Check("own")
		again := encode(t, &m)
		if m.Kind != Ack || m.Address == nil {
			if diff := cmp.Diff(frames, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what was decoded encodes to other bytes (-decoded +encoded):\n%s", diff)
			}
			return
		}
		// An ACK of the old form is written in today's, which says the same but for the address.
		var today Message
		if err := today.Decode(again); err != nil {
			t.Fatal(err)
		}
		m.Address = nil
		if diff := cmp.Diff(m, today); diff != "" {
			t.Errorf("an old ACK changed (-old +today's):\n%s", diff)
		}
	})
}
