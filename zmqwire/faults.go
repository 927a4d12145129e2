package zmqwire

import (
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Fault is the reason why a node dropped a message from the network. It is a code in snake_case, which statistics, metrics
// and JSON carry and programs may match: a code never changes its name or its meaning. Error returns the text for people,
// which may change. Every code has a row in faultTexts.
type Fault string

// OtherFault counts what was dropped for an error that is no Fault, for instance one of libzmq.
const OtherFault Fault = "other"

// faultTexts has the text of every code, those of the packages above zmqwire too: one table shows that no two codes mean
// the same. TestFaultCodes compares it with the code of the whole module.
var faultTexts = map[Fault]string{
	OtherFault: "another error",

	// A message is not what the protocol says.
	ErrTruncated:       "message ends within a field",
	ErrUnterminated:    "routing has no end",
	ErrTrailing:        "bytes after the last field",
	ErrVersion:         "unknown protocol version",
	ErrKind:            "unknown kind of message",
	ErrNoContent:       "content frame is missing",
	ErrSurplusFrame:    "more frames than the message has",
	ErrTopicCount:      "more topics announced than there are bytes",
	ErrName:            "a name holds a NUL or is over 255 bytes",
	ErrNoName:          "a name is empty",
	ErrForeign:         "message for another node",
	ErrBeacon:          "malformed beacon",
	ErrEndpoint:        "malformed endpoint",
	ErrSubscription:    "malformed subscription",
	"ack_with_address": "ACK with an address, as before August 2020",

	// A message is well formed, and does not fit what the node knows.
	"foreign_address":    "message under another node's address",
	"same_address":       "another node announces this node's address",
	"unrequested_record": "DIRECT-RECORD that was not requested",
	"ack_ahead":          "ACK for a record that was never sent",
	"other_content":      "record with another content than the one stored under its number",

	// A message goes beyond a limit.
	"too_many_requests":              "more requests than can be answered at once",
	"too_many_head_requests":         "more requests for heads than can be answered at once",
	"too_many_topics":                "more topics in a CONSUMER-HELLO than are answered",
	"too_many_subscriptions":         "more subscriptions than one peer, or all together, may have",
	"too_many_peers":                 "more peers than allowed",
	"too_many_unverified_partitions": "more partitions announced without a record than the limit",
	"too_many_names":                 "more names than can be remembered",

	// A node cannot be reached.
	"endpoint_changes":      "node that changes its endpoint too often",
	"unresolved_host":       "host name not resolved",
	"peer_not_connected":    "peer not connected",
	"announcement_not_sent": "announcement not sent",
}

func (f Fault) Error() string {
	if text, ok := faultTexts[f]; ok {
		return text
	}
	return string(f)
}

// faultLogInterval is how long one reason stays silent in the log after it was logged: a flood costs a line.
const faultLogInterval = 10 * time.Second

// Faults counts what a node dropped, by reason. It may be used by several goroutines.
type Faults struct {
	log    *slog.Logger
	mu     sync.Mutex
	counts map[Fault]uint64
	logged map[Fault]time.Time
}

// NewFaults returns an empty count that reports to log.
func NewFaults(log *slog.Logger) *Faults {
	return &Faults{log: log, counts: make(map[Fault]uint64), logged: make(map[Fault]time.Time)}
}

// Note counts one message dropped because of err, which wraps a Fault, and logs it unless it logged the same reason
// a moment ago.
func (f *Faults) Note(err error) { f.note("dropped a message", "dropped", err) }

// NoteEvent is Note for a fault by which no message was dropped: event is what the log has instead.
func (f *Faults) NoteEvent(event string, err error) { f.note(event, "count", err) }

func (f *Faults) note(event, count string, err error) {
	fault := OtherFault
	errors.As(err, &fault)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[fault]++
	now := time.Now()
	if last, ok := f.logged[fault]; !ok || now.Sub(last) >= faultLogInterval {
		f.logged[fault] = now
		f.log.Warn(event, "fault", string(fault), "reason", err.Error(), count, f.counts[fault])
	}
}

// Counts is a copy of the counts.
func (f *Faults) Counts() map[Fault]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}
