package recordio

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/godafka/dafka/consumer"
)

// Printer is output in pieces that end where a record ends. Several programs may append to one file: what each writes
// with one call stands there in one piece, so that no line stands within another. A record of any size is one write.
type Printer struct {
	bytes.Buffer // what was not written yet
	json         *json.Encoder
	w            io.Writer
	err          error // of the first write that failed; nothing is written after it
}

// outputBuffer is how much may wait for more.
const outputBuffer = 128 << 10

// NewPrinter prints to w.
func NewPrinter(w io.Writer) *Printer {
	p := &Printer{w: w}
	p.json = json.NewEncoder(&p.Buffer)
	p.json.SetEscapeHTML(false)
	return p
}

// Print prints a record. After an error nothing is printed any more, and the error is returned again.
func (p *Printer) Print(format Format, r *consumer.Record) error {
	format(p, r)
	return p.EndRecord()
}

// PrintValue prints a value as JSON, a line.
func (p *Printer) PrintValue(v any) error {
	if err := p.json.Encode(v); err != nil {
		return err
	}
	return p.EndRecord()
}

// EndRecord says that a record is complete. It writes when the buffer holds enough.
func (p *Printer) EndRecord() error {
	if p.Len() >= outputBuffer {
		return p.Flush()
	}
	return p.err
}

// Flush writes what waits. It is called where a record ends.
func (p *Printer) Flush() error {
	if p.Len() > 0 && p.err == nil {
		_, p.err = p.w.Write(p.Bytes())
	}
	p.Reset()
	if p.Cap() > 4*outputBuffer { // a large record's
		p.Buffer = bytes.Buffer{}
	}
	return p.err
}

// Format appends a record to the buffer. All but json allocate nothing.
type Format func(*Printer, *consumer.Record)

var Formats = map[string]Format{
	"text": printText, "raw": printRaw, "hex": printHex, "c": PrintC, "json": PrintJSON, "length": printLength,
}

func printText(p *Printer, r *consumer.Record) {
	p.Write(r.Content)
	p.WriteByte('\n')
}

func printRaw(p *Printer, r *consumer.Record) { p.Write(r.Content) }

func printHex(p *Printer, r *consumer.Record) {
	p.Grow(2*len(r.Content) + 1)
	p.Write(hex.AppendEncode(p.AvailableBuffer(), r.Content))
	p.WriteByte('\n')
}

// PrintC prints topic, partition and content, as the C console consumer does.
func PrintC(p *Printer, r *consumer.Record) {
	p.WriteString(r.Topic)
	p.WriteByte(' ')
	p.WriteString(r.Partition)
	p.WriteByte(' ')
	p.Write(r.Content)
	p.WriteByte('\n')
}

// printLength begins with the length of the content, 4 bytes with the highest first. A content is 1 GiB at most.
func printLength(p *Printer, r *consumer.Record) {
	p.Write(binary.BigEndian.AppendUint32(p.AvailableBuffer(), uint32(len(r.Content))))
	p.Write(r.Content)
}

// PrintJSON prints an object.
func PrintJSON(p *Printer, r *consumer.Record) {
	var line struct {
		Topic           string `json:"topic"`
		TopicBase64     bool   `json:"topic_base64,omitempty"`
		Partition       string `json:"partition"`
		PartitionBase64 bool   `json:"partition_base64,omitempty"`
		Sequence        uint64 `json:"sequence"`
		Content         string `json:"content"`
		ContentBase64   bool   `json:"content_base64,omitempty"`
		Skipped         uint64 `json:"skipped,omitempty"`
	}
	line.Topic, line.TopicBase64 = TextOrBase64(r.Topic)
	line.Partition, line.PartitionBase64 = TextOrBase64(r.Partition)
	line.Sequence = r.Sequence
	line.Content, line.ContentBase64 = TextOrBase64(string(r.Content))
	line.Skipped = r.Skipped
	p.json.Encode(&line)
}

// TextOrBase64 gives what JSON, whose strings are text, can carry.
func TextOrBase64(s string) (text string, isBase64 bool) {
	if utf8.ValidString(s) {
		return s, false
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), true
}
