package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
)

// openInput opens the file that argument i names: stdin when there is none, or it is "-".
// It returns errEnded when ctx has ended.
func openInput(ctx context.Context, c *cli.Context, i int) (*os.File, error) {
	if c.NArg() <= i {
		return os.Stdin, nil
	}
	return openFile(ctx, c.Args().Get(i))
}

// openFile opens a file to read, stdin for "-". A named pipe that no program writes to is waited for until ctx ends, and
// errEnded returned then. The call under way cannot be broken off and is left behind.
func openFile(ctx context.Context, name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	type result struct {
		file *os.File
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		file, err := os.Open(name)
		opened <- result{file, err}
	}()
	select {
	case r := <-opened:
		return r.file, r.err
	case <-ctx.Done():
		return nil, errEnded
	}
}

// readFile returns what a file holds, most bytes at most. It returns errEnded when ctx has ended.
func readFile(ctx context.Context, name string, most int64) ([]byte, error) {
	file, err := openFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(&input{file, ctx.Done()}, most+1))
	if err == nil && int64(len(content)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return content, err
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

// errEnded says that reading ended before the input did, because a signal ended the program. It is no failure.
var errEnded = errors.New("ended by a signal")

// errUndone says that a signal ended a piece of work that has no use unless it is complete.
var errUndone = errors.New("ended by a signal")

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
