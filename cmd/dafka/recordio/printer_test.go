package recordio

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
)

func TestFormats(t *testing.T) {
	large := bytes.Repeat([]byte("\x01\xab"), outputBuffer)
	for _, test := range []struct {
		name   string
		record consumer.Record
		want   map[string]string
	}{
		{"text", consumer.Record{Topic: "topic", Partition: "ABC", Sequence: 7, Content: []byte("a b\t<&>\u2028\"é")}, map[string]string{
			"text": "a b\t<&>\u2028\"é\n",
			"raw":  "a b\t<&>\u2028\"é",
			"hex":  "612062093c263ee280a822c3a9\n",
			"c":    "topic ABC a b\t<&>\u2028\"é\n",
			"json": `{"topic":"topic","partition":"ABC","sequence":7,"content":"a b\t<&>\u2028\"é"}` + "\n",
		}},
		{"nothing", consumer.Record{Topic: "t", Partition: "p", Sequence: 0}, map[string]string{
			"text":   "\n",
			"length": "\x00\x00\x00\x00",
			"raw":    "",
			"hex":    "\n",
			"c":      "t p \n",
			"json":   `{"topic":"t","partition":"p","sequence":0,"content":""}` + "\n",
		}},
		{"bytes that are no text", consumer.Record{Topic: "t\xff", Partition: "\xfe", Sequence: 1<<64 - 1, Content: []byte("\x00\n\xff")}, map[string]string{
			"text":   "\x00\n\xff\n",
			"length": "\x00\x00\x00\x03\x00\n\xff",
			"raw":    "\x00\n\xff",
			"hex":    "000aff\n",
			"c":      "t\xff \xfe \x00\n\xff\n",
			"json": `{"topic":"dP8=","topic_base64":true,"partition":"/g==","partition_base64":true,` +
				`"sequence":18446744073709551615,"content":"AAr/","content_base64":true}` + "\n",
		}},
		{"larger than the buffer", consumer.Record{Topic: "t", Partition: "p", Content: large}, map[string]string{
			"text": string(large) + "\n",
			"raw":  string(large),
			"hex":  strings.Repeat("01ab", outputBuffer) + "\n",
			"c":    "t p " + string(large) + "\n",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, want := range test.want {
				var got bytes.Buffer
				p := NewPrinter(&got)
				if err := errors.Join(p.Print(Formats[name], &test.record), p.Flush()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.String()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// failing is an output that takes nothing.
type failing struct{}

var errFailing = errors.New("no space left")

func (failing) Write([]byte) (int, error) { return 0, errFailing }

func TestFormatsFail(t *testing.T) {
	record := &consumer.Record{Content: make([]byte, 2*outputBuffer)}
	for name, format := range Formats {
		p := NewPrinter(failing{})
		for range 2 {
			if err := p.Print(format, record); !errors.Is(err, errFailing) {
				t.Errorf("%s: got error %v, want %v", name, err, errFailing)
			}
		}
	}
}

func TestFormatsAllocate(t *testing.T) {
	record := &consumer.Record{Topic: "topic", Partition: "partition", Content: bytes.Repeat([]byte("x"), 100)}
	for _, name := range slices.Sorted(maps.Keys(Formats)) {
		if name == "json" {
			continue
		}
		p := NewPrinter(io.Discard)
		if got := testing.AllocsPerRun(10_000, func() { p.Print(Formats[name], record) }); got != 0 {
			t.Errorf("%s: %v allocations for each record, want none", name, got)
		}
	}
}

// writes is an output that keeps what each call writes.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

// TestPrinterWritesWholeRecords: whatever their sizes, each write begins and ends where a record does. Programs that append
// to one file cut no record of each other then.
func TestPrinterWritesWholeRecords(t *testing.T) {
	sizes := []int{0, 1, 100, outputBuffer - 1, outputBuffer, 5 * outputBuffer, 3, 0}
	for range 10_000 {
		sizes = append(sizes, 57)
	}
	for _, name := range []string{"text", "hex", "c", "json"} {
		var out writes
		p := NewPrinter(&out)
		for i, size := range sizes {
			content := bytes.Repeat([]byte{'a' + byte(i%26)}, size)
			if err := p.Print(Formats[name], &consumer.Record{Topic: "t", Partition: "p", Sequence: uint64(i), Content: content}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for i, piece := range out {
			if !strings.HasSuffix(piece, "\n") {
				t.Errorf("%s: write %d of %d ends within a record, with %q", name, i, len(out), piece[max(0, len(piece)-10):])
			}
			lines += strings.Count(piece, "\n")
		}
		if lines != len(sizes) || len(out) > len(sizes)/10 {
			t.Errorf("%s: %d lines in %d writes, want %d lines in far fewer", name, lines, len(out), len(sizes))
		}
		if p.Cap() > 4*outputBuffer {
			t.Errorf("%s: %d bytes are kept for a record that was written", name, p.Cap())
		}
	}
}
