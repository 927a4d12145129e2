package command

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// wireCommand is `dafka wire`: messages between the bytes of their frames and JSON, a line each.
func wireCommand() *cli.Command {
	return &cli.Command{
		Name:  "wire",
		Usage: "translate messages between their bytes and JSON",
		Subcommands: []*cli.Command{
			{
				Name:      "decode",
				Usage:     "read messages as frames in hexadecimal, print them as objects",
				ArgsUsage: "[FILE]",
				Description: "Each line of stdin, or of the file, is a JSON array of a message's frames in hexadecimal. A malformed one\n" +
					"gives {\"error\": ...} and the exit status 1.\n\n" +
					`Example: echo '["4b50000104746573740000000000000007"]' | dafka wire decode`,
				Action: func(c *cli.Context) error { return translate(c, decodeLine) },
			},
			{
				Name:      "encode",
				Usage:     "read messages as objects, print their frames in hexadecimal",
				ArgsUsage: "[FILE]",
				Description: "Each line of stdin, or of the file, is an object as decode prints it; its frames_hex is not looked at. A\n" +
					"malformed one gives {\"error\": ...} and the exit status 1.\n\n" +
					`Example: echo '{"id":"K","topic_hex":"50","subject_hex":"74657374","sequence":"7"}' | dafka wire encode`,
				Action: func(c *cli.Context) error { return translate(c, encodeLine) },
			},
		},
	}
}

// mostWireLine is the length of the longest line of a message, which takes two digits for each of its bytes.
const mostWireLine = zsock.DefaultMaxFrame

// translate prints what become makes of each line of the input, or why it cannot.
func translate(c *cli.Context, become func(line []byte) (any, error)) error {
	if err := settings.WantArgs(c, 0, "FILE"); err != nil {
		return err
	}
	ctx, stop := recordio.UntilReaderGone(c.Context)
	defer stop()
	in, err := recordio.OpenInput(ctx, c, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	malformed, err := translateLines(recordio.NewLines(ctx, in, mostWireLine), recordio.NewPrinter(os.Stdout), become)
	if err == nil && malformed > 0 {
		err = fmt.Errorf("malformed lines: %d (see the \"error\" objects)", malformed)
	}
	return err
}

func translateLines(
	in *recordio.Lines, out *recordio.Printer, become func(line []byte) (any, error),
) (malformed int, err error) {
	for {
		line, err := in.Next()
		if err == io.EOF || errors.Is(err, terminal.ErrEnded) {
			return malformed, out.Flush()
		}
		if err != nil {
			return malformed, errors.Join(err, out.Flush())
		}
		result, err := become(line)
		if err != nil {
			malformed++
			result = map[string]string{"error": err.Error()}
		}
		if err := out.PrintValue(result); err != nil {
			return malformed, err
		}
		if in.Idle() {
			if err := out.Flush(); err != nil {
				return malformed, err
			}
		}
	}
}

// hexBytes are bytes that JSON carries as a string of hexadecimal digits.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *hexBytes) UnmarshalJSON(value []byte) error {
	var digits string
	err := json.Unmarshal(value, &digits)
	if err == nil && value[0] == '"' { // null is no string
		if *b, err = hex.DecodeString(digits); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%.40s is not a string of hexadecimal digits", value)
}

// messageObject is a message in JSON: the fields that its kind has, nil where it has none.
type messageObject struct {
	ID       string      `json:"id"`
	Routing  *hexBytes   `json:"topic_hex,omitempty"` // the C codec's name for it
	Address  *hexBytes   `json:"address_hex,omitempty"`
	Subject  *hexBytes   `json:"subject_hex,omitempty"`
	Sequence *uint64     `json:"sequence,string,omitempty"` // a string, because many programs read numbers as doubles
	Count    *uint32     `json:"count,omitempty"`
	Topics   *[]hexBytes `json:"subjects_hex,omitempty"`
	Content  *hexBytes   `json:"content_hex,omitempty"`
	Frames   any         `json:"frames_hex,omitempty"` // printed, never read
}

// fieldsOf says which fields a kind has besides its routing; none for an unknown kind.
func fieldsOf(k zmqwire.Kind) (has struct{ address, subject, sequence, count, topics, content bool }) {
	switch k {
	case zmqwire.Record, zmqwire.DirectRecord:
		has.address, has.subject, has.sequence, has.content = true, true, true, true
	case zmqwire.Head, zmqwire.DirectHead:
		has.address, has.subject, has.sequence = true, true, true
	case zmqwire.Fetch:
		has.address, has.subject, has.sequence, has.count = true, true, true, true
	case zmqwire.Ack:
		has.subject, has.sequence = true, true
	case zmqwire.GetHeads, zmqwire.StoreHello:
		has.address = true
	case zmqwire.ConsumerHello:
		has.address, has.topics = true, true
	}
	return has
}

func decodeLine(line []byte) (any, error) {
	var inHex []hexBytes
	if err := json.Unmarshal(line, &inHex); err != nil {
		return nil, fmt.Errorf("not a JSON array of frames in hexadecimal: %w", err)
	}
	frames := make([][]byte, len(inHex))
	for i, frame := range inHex {
		frames[i] = frame
	}
	var m zmqwire.Message
	if err := m.Decode(frames); err != nil {
		return nil, err
	}
	has := fieldsOf(m.Kind)
	o := messageObject{ID: string(rune(m.Kind)), Routing: (*hexBytes)(&m.Routing), Frames: inHex}
	// An ACK of before August 2020 has one.
	if has.address || m.Kind == zmqwire.Ack && m.Address != nil {
		o.Address = (*hexBytes)(&m.Address)
	}
	if has.subject {
		o.Subject = (*hexBytes)(&m.Subject)
	}
	if has.sequence {
		o.Sequence = &m.Sequence
	}
	if has.count {
		o.Count = &m.Count
	}
	if has.topics {
		topics := make([]hexBytes, len(m.Topics))
		for i, topic := range m.Topics {
			topics[i] = topic
		}
		o.Topics = &topics
	}
	if has.content {
		o.Content = (*hexBytes)(&m.Content)
	}
	return &o, nil
}

func encodeLine(line []byte) (any, error) {
	var o messageObject
	reader := json.NewDecoder(bytes.NewReader(line))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&o); err != nil {
		return nil, fmt.Errorf("not a message as a JSON object: %w", err)
	}
	if _, err := reader.Token(); err != io.EOF {
		return nil, errors.New("not a message as a JSON object: something follows it")
	}
	if len(o.ID) != 1 || !slices.Contains(zmqwire.Kinds(), zmqwire.Kind(o.ID[0])) {
		return nil, fmt.Errorf("%w: id %q", zmqwire.ErrKind, o.ID)
	}
	m := zmqwire.Message{Kind: zmqwire.Kind(o.ID[0])}
	has := fieldsOf(m.Kind)
	for _, field := range []struct {
		name       string
		has, given bool
	}{
		{"topic_hex", true, o.Routing != nil},
		// An ACK of before August 2020 has one; it is left out of the ACK that is written.
		{"address_hex", has.address || m.Kind == zmqwire.Ack && o.Address != nil, o.Address != nil},
		{"subject_hex", has.subject, o.Subject != nil},
		{"sequence", has.sequence, o.Sequence != nil},
		{"count", has.count, o.Count != nil},
		{"subjects_hex", has.topics, o.Topics != nil},
		{"content_hex", has.content, o.Content != nil},
	} {
		switch {
		case field.has && !field.given:
			return nil, fmt.Errorf("%v: %s is missing", m.Kind, field.name)
		case field.given && !field.has:
			return nil, fmt.Errorf("%v: it has no %s", m.Kind, field.name)
		}
	}
	m.Routing, m.Address, m.Subject = bytesOf(o.Routing), bytesOf(o.Address), bytesOf(o.Subject)
	if has.sequence {
		m.Sequence = *o.Sequence
	}
	if has.count {
		m.Count = *o.Count
	}
	if has.topics {
		for _, topic := range *o.Topics {
			m.Topics = append(m.Topics, topic)
		}
	}
	first, err := m.Append(nil)
	if err != nil {
		return nil, err
	}
	frames := []hexBytes{first}
	if has.content {
		frames = append(frames, *o.Content)
	}
	return map[string][]hexBytes{"frames_hex": frames}, nil
}

func bytesOf(b *hexBytes) []byte {
	if b == nil {
		return nil
	}
	return *b
}
