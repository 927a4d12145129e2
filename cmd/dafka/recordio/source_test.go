package recordio

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
)

// endless is an input that begins with a text and never ends. It counts what was read.
type endless struct {
	begin string
	then  byte
	read  int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	e.begin = e.begin[n:]
	for i := n; i < len(p); i++ {
		p[i] = e.then
	}
	e.read += int64(len(p))
	return len(p), nil
}

// TestSourcesAreBounded: of an input without end, no more is read than the largest record and the buffers.
func TestSourcesAreBounded(t *testing.T) {
	const most = 3 << 20
	withDelimiter := func(in io.Reader) Source {
		lines := NewLines(t.Context(), in, most)
		lines.Delimiter = "--"
		return LinesOf(lines)
	}
	for _, test := range []struct {
		name string
		in   *endless
		open func(io.Reader) Source
		says string
	}{
		{"a line", &endless{"first\n", 'x', 0}, nil, "a line is larger than 3145728 bytes, the limit frame"},
		{"a line with half a delimiter", &endless{"first--", '-', 0}, withDelimiter, ""},
		{"a record of another delimiter", &endless{"first--", 'x', 0}, withDelimiter, "a line is larger than 3145728 bytes, the limit frame"},
		{"the whole input", &endless{"", 'x', 0}, func(in io.Reader) Source { return WholeOf(t.Context(), in, most) },
			"the input is larger than 3145728 bytes, the limit frame"},
		{"a length", &endless{"\x00\x00\x00\x05first\x00\x30\x00\x01", 'x', 0},
			func(in io.Reader) Source { return lengthsOf(t.Context(), in, most) },
			"a record of 3145729 bytes is larger than 3145728 bytes, the limit frame"},
		{"a content", &endless{`{"content":"first"}` + "\n" + `{"content":"`, 'x', 0},
			func(in io.Reader) Source { return objectsOf(t.Context(), in, most) },
			"line 2: a content is larger than 3145728 bytes, the limit frame"},
		{"a topic", &endless{`{"content":"first"}` + "\n" + `{"topic":"`, 'x', 0},
			func(in io.Reader) Source { return objectsOf(t.Context(), in, most) }, "line 2: topic: it is too large"},
		{"a key", &endless{`{"content":"first"}` + "\n" + `{"`, 'x', 0},
			func(in io.Reader) Source { return objectsOf(t.Context(), in, most) }, "line 2: a key: it is too large"},
		{"a number", &endless{`{"content":"first"}` + "\n" + `{"sequence":`, '1', 0},
			func(in io.Reader) Source { return objectsOf(t.Context(), in, most) }, "line 2: sequence: it is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.open == nil {
				test.open = func(in io.Reader) Source { return LinesOf(NewLines(t.Context(), in, most)) }
			}
			next := test.open(test.in)
			if test.says == "" { // each "--" ends a record
				for range 100_000 {
					if _, content, err := next(); err != nil || len(content) > 5 {
						t.Fatal(string(content), err)
					}
				}
				return
			}
			if test.name != "the whole input" {
				if _, content, err := next(); err != nil || string(content) != "first" {
					t.Fatalf("first record %q, error %v", content, err)
				}
			}
			_, _, err := next()
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q", err, test.says)
			}
			if bound := int64(most*4/3 + 2*terminal.InputBuffer); test.in.read > bound {
				t.Errorf("%d bytes were read, want %d at most", test.in.read, bound)
			}
		})
	}
}

// TestSourcesTakeTheLargest: the limit is that of a record, whatever stands around it.
func TestSourcesTakeTheLargest(t *testing.T) {
	const most = 1 << 20
	for _, size := range []int{most, most + 1} {
		content := bytes.Repeat([]byte{'x'}, size)
		binary := bytes.Repeat([]byte{0xff}, size)
		escaped := strings.Repeat(`\u0001`, size)
		for name, next := range map[string]Source{
			"a line":     LinesOf(NewLines(t.Context(), strings.NewReader(string(content)+"\r\n"), most)),
			"the rest":   LinesOf(NewLines(t.Context(), bytes.NewReader(content), most)),
			"the whole":  WholeOf(t.Context(), bytes.NewReader(content), most),
			"a length":   lengthsOf(t.Context(), strings.NewReader(printed(t, "length", content)), most),
			"an object":  objectsOf(t.Context(), strings.NewReader(printed(t, "json", content)), most),
			"base64":     objectsOf(t.Context(), strings.NewReader(printed(t, "json", binary)), most),
			"characters": objectsOf(t.Context(), strings.NewReader(`{"content":"`+escaped+`"}`), most),
		} {
			_, got, err := next()
			if isTaken := err == nil && len(got) == size; isTaken != (size == most) {
				t.Errorf("%s of %d bytes: got %d bytes, error %v", name, size, len(got), err)
			}
		}
	}
}

// printed is a record in a format.
func printed(t *testing.T, name string, contents ...[]byte) string {
	t.Helper()
	var out bytes.Buffer
	p := NewPrinter(&out)
	for i, content := range contents {
		if err := p.Print(Formats[name], &consumer.Record{Topic: "t", Partition: "P", Sequence: uint64(i), Content: content}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLengths(t *testing.T) {
	want := []string{"a", "", "\x00\xff\n", strings.Repeat("large", terminal.InputBuffer), "z"}
	var contents [][]byte
	for _, content := range want {
		contents = append(contents, []byte(content))
	}
	whole := printed(t, "length", contents...)
	for _, cut := range []int{0, 1, 3, 4} {
		next := lengthsOf(t.Context(), iotest.HalfReader(strings.NewReader(whole[:len(whole)-cut])), largest)
		expected := want
		if cut > 0 {
			expected = want[:len(want)-1]
		}
		var got []string
		_, content, err := next()
		for ; err == nil; _, content, err = next() {
			got = append(got, string(content))
		}
		if !slices.Equal(expected, got) {
			t.Errorf("%d bytes are missing: got %d records, want %d", cut, len(got), len(expected))
		}
		if isWhole := err == io.EOF; isWhole != (cut == 0) {
			t.Errorf("%d bytes are missing: error %v", cut, err)
		}
	}
}
