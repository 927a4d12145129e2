package recordio

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/godafka/dafka/consumer"
)

func TestTemplate(t *testing.T) {
	record := &consumer.Record{Topic: "topic", Partition: "P", Sequence: 1<<64 - 1, Content: []byte("a\xff\n")}
	for _, test := range []struct{ template, want string }{
		{`%t %p %s %c\n`, "topic P 18446744073709551615 a\xff\n\n"},
		{`%c`, "a\xff\n"},
		{`%S\n%c`, "3\na\xff\n"},
		{`%%%s%%`, "%18446744073709551615%"},
		{`%\n`, ""},
		{`\t\r\0\\\x41\xfF`, "\t\r\x00\\A\xff"},
		{"no field", "no field"},
		{`é %t`, "é topic"},
		{`%%\n`, "%\n"},
		{"%", ""},
		{"%x", ""},
		{"%T", ""},
		{`\`, ""},
		{`\q`, ""},
		{`\x4`, ""},
		{`\x+4`, ""},
		{`\xzz`, ""},
	} {
		format, err := ParseTemplate(test.template)
		if (err == nil) != (test.want != "") {
			t.Errorf("%q: error %v", test.template, err)
		}
		if err != nil {
			continue
		}
		var got bytes.Buffer
		p := NewPrinter(&got)
		if err := errors.Join(p.Print(format, record), p.Flush()); err != nil {
			t.Fatal(err)
		}
		if got.String() != test.want {
			t.Errorf("%q: printed %q, want %q", test.template, got.String(), test.want)
		}
		p = NewPrinter(io.Discard)
		if n := testing.AllocsPerRun(1000, func() { p.Print(format, record) }); n != 0 {
			t.Errorf("%q: %v allocations for each record, want none", test.template, n)
		}
	}
}

func TestTemplateFails(t *testing.T) {
	format, err := ParseTemplate("%c%t")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewPrinter(failing{}).Print(format, &consumer.Record{Content: make([]byte, 2*outputBuffer)}); err == nil {
		t.Error("no error from an output that takes nothing")
	}
}
