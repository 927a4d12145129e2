package zmqwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A message is one frame; a record's content is a second frame, as it is:
//
//	+------+---------+-----+-------------+----------+
//	| kind | routing | NUL | version = 1 | fields.. |
//	+------+---------+-----+-------------+----------+
//
// with the fields of the kind, in this order:
//
//	RECORD, DIRECT-RECORD, HEAD, DIRECT-HEAD   address, subject, sequence
//	FETCH                                      address, subject, sequence, count
//	ACK                                        subject, sequence
//	GET-HEADS, STORE-HELLO                     address
//	CONSUMER-HELLO                             address, topics
//
// where
//
//	address, subject   length (1 byte), bytes
//	sequence           8 bytes, big endian
//	count              4 bytes, big endian
//	topics             number of them (4 bytes), then for each: length (4 bytes), bytes

// Kind is the first byte of a message. Routing follows it, so that subscribers match on both.
type Kind byte

// The nine messages.
const (
	Record        Kind = 'M' // a producer's record, routed by topic
	DirectRecord  Kind = 'D' // a record asked for, routed by the requester's address
	Fetch         Kind = 'F' // asks for records, routed by the partition's address
	Ack           Kind = 'K' // a store holds all records up to this one, routed by the partition's address
	Head          Kind = 'H' // a producer's newest record, routed by topic
	DirectHead    Kind = 'E' // a partition's newest record at one store, routed by the requester's address
	GetHeads      Kind = 'G' // asks every store for the heads of a topic, routed by that topic
	ConsumerHello Kind = 'W' // a consumer tells a store its topics, routed by the store's address
	StoreHello    Kind = 'L' // a store greets a consumer, routed by the consumer's address
)

const (
	version = 1

	// MaxName is the greatest length in bytes of a topic or an address: their length travels in one byte.
	MaxName = 255

	sequenceBytes = 8
)

// Kinds lists the nine messages, in the order of the protocol's description.
func Kinds() []Kind {
	return []Kind{Record, DirectRecord, Fetch, Ack, Head, DirectHead, GetHeads, ConsumerHello, StoreHello}
}

// String gives the message's name in the protocol, or its byte when it is none of the nine.
func (k Kind) String() string {
	switch k {
	case Record:
		return "RECORD"
	case DirectRecord:
		return "DIRECT-RECORD"
	case Fetch:
		return "FETCH"
	case Ack:
		return "ACK"
	case Head:
		return "HEAD"
	case DirectHead:
		return "DIRECT-HEAD"
	case GetHeads:
		return "GET-HEADS"
	case ConsumerHello:
		return "CONSUMER-HELLO"
	case StoreHello:
		return "STORE-HELLO"
	}
	return fmt.Sprintf("kind 0x%02x", byte(k))
}

// HasContent says whether a message of this kind carries its content in a second frame.
func (k Kind) HasContent() bool { return k == Record || k == DirectRecord }

// What can be wrong with a message. Decode and Append return these, wrapped with what was found.
const (
	ErrTruncated    Fault = "truncated"
	ErrUnterminated Fault = "unterminated_routing"
	ErrTrailing     Fault = "trailing_bytes"
	ErrVersion      Fault = "unknown_version"
	ErrKind         Fault = "unknown_kind"
	ErrNoContent    Fault = "missing_content"
	ErrSurplusFrame Fault = "surplus_frame"
	ErrTopicCount   Fault = "topic_count"
	ErrName         Fault = "invalid_name"
	ErrNoName       Fault = "empty_name"
	ErrForeign      Fault = "wrong_recipient"
)

// Message is one message of any kind; Kind says which of the other fields it has. The fields of a decoded message point
// into the frames it was decoded from and live as long as they do.
type Message struct {
	Kind     Kind
	Routing  []byte // what subscribers match: a topic or an address, see Kind
	Address  []byte // of the partition; in FETCH, GET-HEADS and the hellos, of the sender
	Subject  []byte // the topic
	Sequence uint64
	Count    uint32   // FETCH: how many records
	Topics   [][]byte // CONSUMER-HELLO
	Content  []byte   // RECORD and DIRECT-RECORD

	// MaxTopics, unless 0, is how many topics Decode takes from a CONSUMER-HELLO; it checks the others, and Surplus says
	// how many there are. Four bytes of a frame cost memory for a whole topic.
	MaxTopics, Surplus int
}

// Append appends the message's first frame to dst. Content is the second frame as it is, so it is not touched. A name
// that cannot travel is an error wrapping ErrName, and dst comes back as it was.
//
// An ACK is always written in today's form, without its address.
func (m *Message) Append(dst []byte) ([]byte, error) {
	for _, name := range [...][]byte{m.Routing, m.Address, m.Subject} {
		if !travels(name) {
			return dst, fmt.Errorf("%v: %w: %.40q", m.Kind, ErrName, name)
		}
	}
	start := len(dst)
	dst = append(dst, byte(m.Kind))
	dst = append(dst, m.Routing...)
	dst = append(dst, 0, version)
	switch m.Kind {
	case Record, DirectRecord, Head, DirectHead:
		dst = appendName(appendName(dst, m.Address), m.Subject)
		dst = binary.BigEndian.AppendUint64(dst, m.Sequence)
	case Fetch:
		dst = appendName(appendName(dst, m.Address), m.Subject)
		dst = binary.BigEndian.AppendUint64(dst, m.Sequence)
		dst = binary.BigEndian.AppendUint32(dst, m.Count)
	case Ack:
		dst = appendName(dst, m.Subject)
		dst = binary.BigEndian.AppendUint64(dst, m.Sequence)
	case GetHeads, StoreHello:
		dst = appendName(dst, m.Address)
	case ConsumerHello:
		dst = appendName(dst, m.Address)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.Topics)))
		for _, topic := range m.Topics {
			if !travels(topic) {
				return dst[:start], fmt.Errorf("%v: %w: %.40q", m.Kind, ErrName, topic)
			}
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(topic)))
			dst = append(dst, topic...)
		}
	default:
		return dst[:start], fmt.Errorf("%w: 0x%02x", ErrKind, byte(m.Kind))
	}
	return dst, nil
}

// Check says whether a decoded message makes sense at the node that has the address own: that it is meant for that
// node, and that it names whom to answer and what about. Subscriptions match by prefix, so that what is meant for a
// longer name arrives too.
func (m *Message) Check(own string) error {
	empty, foreign := false, false
	switch m.Kind {
	case Record, Head:
		empty, foreign = len(m.Address) == 0 || len(m.Subject) == 0, string(m.Routing) != string(m.Subject)
	case DirectRecord, DirectHead:
		empty, foreign = len(m.Address) == 0 || len(m.Subject) == 0, string(m.Routing) != own
	case StoreHello, ConsumerHello:
		empty, foreign = len(m.Address) == 0, string(m.Routing) != own
	case Fetch:
		empty = len(m.Address) == 0 || len(m.Routing) == 0 || len(m.Subject) == 0
	case Ack:
		empty, foreign = len(m.Subject) == 0, string(m.Routing) != own
	case GetHeads:
		empty = len(m.Address) == 0
	}
	switch {
	case empty:
		return fmt.Errorf("%v: %w", m.Kind, ErrNoName)
	case foreign:
		return fmt.Errorf("%v: %w: %.40q", m.Kind, ErrForeign, m.Routing)
	}
	return nil
}

// travels says whether name fits its length byte, and does not end the routing before its time.
func travels(name []byte) bool { return len(name) <= MaxName && bytes.IndexByte(name, 0) < 0 }

func appendName(dst, name []byte) []byte {
	dst = append(dst, byte(len(name)))
	return append(dst, name...)
}

// Decode reads a whole message from its frames, in place: nothing is copied, and only a CONSUMER-HELLO with more topics
// than m held before allocates. It is strict, because the C programs show what leniency costs: every byte must be
// accounted for. The one exception is an ACK that carries an address, as it did before August 2020.
//
// On an error m holds nothing of use.
func (m *Message) Decode(frames [][]byte) error {
	if len(frames) == 0 {
		return fmt.Errorf("%w: no frame", ErrTruncated)
	}
	topics := m.Topics[:0]
	*m = Message{Topics: topics, MaxTopics: m.MaxTopics}

	frame := frames[0]
	if len(frame) == 0 {
		return fmt.Errorf("%w: empty frame", ErrTruncated)
	}
	m.Kind = Kind(frame[0])
	end := bytes.IndexByte(frame, 0)
	if end < 0 {
		return fmt.Errorf("%v: %w", m.Kind, ErrUnterminated)
	}
	m.Routing = frame[1:max(end, 1)]
	if len(m.Routing) > MaxName {
		return fmt.Errorf("%v: %w: routing of %d bytes", m.Kind, ErrName, len(m.Routing))
	}
	f := fields{rest: frame[end+1:]}
	if v := f.number1(); f.err == nil && v != version {
		return fmt.Errorf("%v: %w: %d", m.Kind, ErrVersion, v)
	}
	switch m.Kind {
	case Record, DirectRecord, Head, DirectHead:
		m.Address, m.Subject, m.Sequence = f.name(), f.name(), f.number8()
	case Fetch:
		m.Address, m.Subject, m.Sequence, m.Count = f.name(), f.name(), f.number8(), f.number4()
	case Ack:
		today := f
		m.Subject, m.Sequence = today.name(), today.number8()
		if today.err == nil && len(today.rest) == 0 {
			f = today
			break
		}
		// No frame can be read both ways: the two forms give the first name's length a different meaning.
		before := f
		m.Address, m.Subject, m.Sequence = before.name(), before.name(), before.number8()
		// Without a subject it is no old ACK but one of today with a byte too many.
		if before.err == nil && len(before.rest) == 0 && len(m.Subject) > 0 {
			f = before
			break
		}
		m.Address = nil
		f = today
	case GetHeads, StoreHello:
		m.Address = f.name()
	case ConsumerHello:
		m.Address = f.name()
		m.Topics, m.Surplus = f.topics(topics, m.MaxTopics)
	default:
		return fmt.Errorf("%w: 0x%02x", ErrKind, byte(m.Kind))
	}
	if f.err != nil {
		return fmt.Errorf("%v: %w", m.Kind, f.err)
	}
	if len(f.rest) > 0 {
		return fmt.Errorf("%v: %w: %d", m.Kind, ErrTrailing, len(f.rest))
	}

	wanted := 1
	if m.Kind.HasContent() {
		wanted = 2
	}
	switch {
	case len(frames) < wanted:
		return fmt.Errorf("%v: %w", m.Kind, ErrNoContent)
	case len(frames) > wanted:
		return fmt.Errorf("%v: %w: %d instead of %d", m.Kind, ErrSurplusFrame, len(frames), wanted)
	case wanted == 2:
		m.Content = frames[1]
	}
	return nil
}

// fields reads fields one after another. The first that does not fit sets err, and from then on all are empty: a
// sequence of reads needs one check at its end.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n > len(f.rest) {
		if f.err == nil {
			f.err = fmt.Errorf("%w: %d bytes wanted, %d left", ErrTruncated, n, len(f.rest))
		}
		f.rest = nil
		return nil
	}
	taken := f.rest[:n:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) number1() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) number4() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) number8() uint64 {
	if b := f.take(sequenceBytes); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// name refuses a NUL: no C peer can send one, and it would end the routing of what we send about this name.
func (f *fields) name() []byte {
	name := f.take(int(f.number1()))
	if !travels(name) {
		f.err = fmt.Errorf("%w: %.40q", ErrName, name)
	}
	return name
}

// topics checks the count against the bytes left before it believes it: each topic takes 4 bytes at least. It appends as
// many as dst may hold.
func (f *fields) topics(dst [][]byte, most int) (_ [][]byte, surplus int) {
	count := f.number4()
	if uint64(count)*4 > uint64(len(f.rest)) {
		if f.err == nil {
			f.err = fmt.Errorf("%w: %d in %d bytes", ErrTopicCount, count, len(f.rest))
		}
		return dst, 0
	}
	for range count {
		n := f.number4()
		if uint64(n) > uint64(len(f.rest)) {
			f.take(len(f.rest) + 1)
			return dst, 0
		}
		topic := f.take(int(n))
		if !travels(topic) {
			f.err = fmt.Errorf("%w: %.40q", ErrName, topic)
			return dst, 0
		}
		if most > 0 && len(dst) >= most {
			surplus++
			continue
		}
		dst = append(dst, topic)
	}
	return dst, surplus
}

// AppendRunHeader appends the first frame of a record without its sequence, the last 8 bytes. All records of a
// partition share it, whether kind is Record (routing is the topic) or DirectRecord (routing is the requester's
// address), which is why one call can send a whole run.
func AppendRunHeader(dst []byte, kind Kind, routing, address, topic string) []byte {
	dst = append(dst, byte(kind))
	dst = append(dst, routing...)
	dst = append(dst, 0, version)
	dst = append(dst, byte(len(address)))
	dst = append(dst, address...)
	dst = append(dst, byte(len(topic)))
	return append(dst, topic...)
}

// SplitRecord cuts the first frame of a RECORD or DIRECT-RECORD into its header, which names kind, routing, partition
// and topic, and its sequence. It checks nothing: it is for frames whose header was seen before in a message that
// Decode accepted, and such a frame is as good as that message. A frame too short for a sequence has no header.
func SplitRecord(frame []byte) (header []byte, sequence uint64) {
	cut := len(frame) - sequenceBytes
	if cut <= 0 {
		return nil, 0
	}
	return frame[:cut], binary.BigEndian.Uint64(frame[cut:])
}
