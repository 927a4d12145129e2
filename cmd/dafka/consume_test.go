package main

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
			"text": "\n",
			"raw":  "",
			"hex":  "\n",
			"c":    "t p \n",
			"json": `{"topic":"t","partition":"p","sequence":0,"content":""}` + "\n",
		}},
		{"bytes that are no text", consumer.Record{Topic: "t\xff", Partition: "\xfe", Sequence: 1<<64 - 1, Content: []byte("\x00\n\xff")}, map[string]string{
			"text": "\x00\n\xff\n",
			"raw":  "\x00\n\xff",
			"hex":  "000aff\n",
			"c":    "t\xff \xfe \x00\n\xff\n",
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
				p := newPrinter(&got)
				if err := formats[name](p, &test.record); err != nil {
					t.Fatal(err)
				}
				p.Flush()
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
	for name, format := range formats {
		if err := format(newPrinter(failing{}), record); !errors.Is(err, errFailing) {
			t.Errorf("%s: got error %v, want %v", name, err, errFailing)
		}
	}
}

func TestFormatsAllocate(t *testing.T) {
	record := &consumer.Record{Topic: "topic", Partition: "partition", Content: bytes.Repeat([]byte("x"), 100)}
	for _, name := range slices.Sorted(maps.Keys(formats)) {
		if name == "json" {
			continue
		}
		p := newPrinter(io.Discard)
		if got := testing.AllocsPerRun(10_000, func() { formats[name](p, record) }); got != 0 {
			t.Errorf("%s: %v allocations for each record, want none", name, got)
		}
	}
}
