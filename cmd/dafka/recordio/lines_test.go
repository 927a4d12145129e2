package recordio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// largest is a limit that no line of these tests reaches.
const largest = 1 << 30

func TestLines(t *testing.T) {
	long := strings.Repeat("0123456789", terminal.InputBuffer/4)
	exact := strings.Repeat("x", terminal.InputBuffer-1)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"an empty line", "\n", []string{""}},
		{"empty lines", "\n\n\n", []string{"", "", ""}},
		{"a last line without end", "a\nb", []string{"a", "b"}},
		{"both endings", "a\r\nb\nc\r\n", []string{"a", "b", "c"}},
		{"only the ending goes", "a\r\r\n\r\n b \nc\rd\ne\r", []string{"a\r", "", " b ", "c\rd", "e\r"}},
		{"bytes that are no text", "\x00\xff\n\xfe", []string{"\x00\xff", "\xfe"}},
		{"longer than the buffer", "a\n" + long + "\nb\n" + long, []string{"a", long, "b", long}},
		{"as long as the buffer", exact + "\n" + exact + "y\n" + exact + "\r\n", []string{exact, exact + "y", exact}},
	} {
		for kind, r := range map[string]io.Reader{
			"whole":     strings.NewReader(test.text),
			"in halves": iotest.HalfReader(strings.NewReader(test.text)),
			"with EOF":  iotest.DataErrReader(strings.NewReader(test.text)),
		} {
			t.Run(test.name+", read "+kind, func(t *testing.T) {
				in := NewLines(t.Context(), r, largest)
				var got []string
				for {
					line, err := in.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, string(line))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestLinesWithDelimiter(t *testing.T) {
	long := strings.Repeat("0123456789", terminal.InputBuffer/4)
	for _, test := range []struct {
		name, delimiter, text string
		want                  []string
	}{
		{"nothing", "|", "", nil},
		{"a byte", "\x00", "a\n\x00b\r\n\x00c", []string{"a\n", "b\r\n", "c"}},
		{"empty records", "|", "||a|", []string{"", "", "a"}},
		{"several bytes", "--\n", "a\n--\nb-\n--\n--\nc-", []string{"a\n", "b-\n", "", "c-"}},
		{"longer than the buffer", "--", "a--" + long + "-" + long + "--b", []string{"a", long + "-" + long, "b"}},
	} {
		for kind, r := range map[string]io.Reader{
			"whole":     strings.NewReader(test.text),
			"in halves": iotest.HalfReader(strings.NewReader(test.text)),
		} {
			t.Run(test.name+", read "+kind, func(t *testing.T) {
				in := NewLines(t.Context(), r, largest)
				in.Delimiter = test.delimiter
				var got []string
				line, err := in.Next()
				for ; err == nil; line, err = in.Next() {
					got = append(got, string(line))
				}
				if err != io.EOF {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestLinesError: what stands before a failure is no whole line.
func TestLinesError(t *testing.T) {
	broken := errors.New("broken")
	in := NewLines(t.Context(), io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), largest)
	if line, err := in.Next(); string(line) != "a" || err != nil {
		t.Errorf("got %q, error %v; want a", line, err)
	}
	if line, err := in.Next(); line != nil || err != broken {
		t.Errorf("got %q, error %v; want the reader's", line, err)
	}
}

// TestLinesEnd: the end of the context does not wait for a reader that waits itself, as on a terminal.
func TestLinesEnd(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	in := NewLines(ctx, r, largest)
	ended := make(chan error)
	go func() {
		_, err := in.Next()
		ended <- err
	}()
	if _, err := io.WriteString(w, "half a line"); err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-ended; err != terminal.ErrEnded {
		t.Errorf("got error %v, want %v", err, terminal.ErrEnded)
	}
	if _, err := in.Next(); err != terminal.ErrEnded {
		t.Errorf("and then error %v, want %v", err, terminal.ErrEnded)
	}
}

func TestLinesAllocate(t *testing.T) {
	text := bytes.NewReader(bytes.Repeat([]byte("a line of some length\n"), 8*terminal.InputBuffer/22))
	in := NewLines(t.Context(), text, largest)
	got := testing.AllocsPerRun(terminal.InputBuffer/22, func() {
		if _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for each line, want none", got)
	}
}
