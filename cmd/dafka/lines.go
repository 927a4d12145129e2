package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/urfave/cli/v2"
)

// openInput opens the file that argument i names: stdin when there is none, or it is "-".
func openInput(c *cli.Context, i int) (*os.File, error) {
	if c.NArg() <= i || c.Args().Get(i) == "-" {
		return os.Stdin, nil
	}
	return os.Open(c.Args().Get(i))
}

// lines reads an input line by line, whatever their length. A line that fits into its buffer costs no allocation.
type lines struct {
	r         *bufio.Reader
	delimiter string // what ends a line instead of "\n" or "\r\n", if not empty
	long      []byte // a line that did not fit
}

const lineBuffer = 256 << 10

// newLines reads from r until ctx ends.
func newLines(ctx context.Context, r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(&input{r, ctx.Done()}, lineBuffer)}
}

// next returns the next line without its ending, "\n" or "\r\n" or the delimiter. The last one may have none. It returns
// io.EOF at the end and errEnded when ctx has ended. The bytes are valid until the next call.
func (l *lines) next() ([]byte, error) {
	last := byte('\n')
	if l.delimiter != "" {
		last = l.delimiter[len(l.delimiter)-1]
	}
	line, err := l.r.ReadSlice(last)
	if l.goesOn(line, err) {
		l.long = append(l.long[:0], line...)
		for l.goesOn(l.long, err) {
			line, err = l.r.ReadSlice(last)
			l.long = append(l.long, line...)
		}
		line = l.long
	}
	switch {
	case err == nil && l.delimiter != "":
		return line[:len(line)-len(l.delimiter)], nil
	case err == nil:
		line = line[:len(line)-1]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		return line, nil
	case err == io.EOF && len(line) > 0:
		return line, nil
	}
	return nil, err
}

// goesOn says that what was read is the beginning of a longer line: it filled the buffer, or ends like a delimiter.
func (l *lines) goesOn(line []byte, err error) bool {
	return errors.Is(err, bufio.ErrBufferFull) || err == nil && !bytes.HasSuffix(line, []byte(l.delimiter))
}

// idle says that the next line may have to be waited for.
func (l *lines) idle() bool { return l.r.Buffered() == 0 }

// errEnded says that reading ended before the input did, because the program was told to end.
var errEnded = errors.New("ended by a signal")

// input is a reader that stops waiting when done is closed. The read under way, of a terminal or a pipe perhaps, cannot
// be broken off: it is left behind, and its buffer with it.
type input struct {
	r    io.Reader
	done <-chan struct{}
}

func (in *input) Read(p []byte) (int, error) {
	select {
	case <-in.done:
		return 0, errEnded
	default:
	}
	type result struct {
		n   int
		err error
	}
	got := make(chan result, 1)
	go func() {
		n, err := in.r.Read(p)
		got <- result{n, err}
	}()
	select {
	case r := <-got:
		return r.n, r.err
	case <-in.done:
		return 0, errEnded
	}
}
