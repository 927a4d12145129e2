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
	content, err := readAll(newInput(ctx, file), most)
	if errors.Is(err, errTooLarge) {
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return content, err
}

// readAll reads to the end: most bytes at most, or it returns errTooLarge.
func readAll(r io.Reader, most int64) ([]byte, error) {
	var content []byte
	piece := make([]byte, inputBuffer)
	for {
		n, err := r.Read(piece)
		content = extend(content, piece[:n], most)
		switch {
		case int64(len(content)) > most:
			return nil, errTooLarge
		case err == io.EOF:
			return content, nil
		case err != nil:
			return nil, err
		}
	}
}

// errTooLarge is returned for more than may be read.
var errTooLarge = errors.New("it is too large")

// tooLarge says that a part of the input is larger than a record may be.
func tooLarge(what string, most int64) error {
	return fmt.Errorf("%s is larger than %d bytes, the limit frame of a record", what, most)
}

// largeContent is the size from which on extend makes room for the largest content.
const largeContent = 16 << 20

// extend appends to what may grow to most bytes, and a piece more. What is large has room for all of them: memory that
// is not written to is not used, while room that is doubled would be copied, and held twice.
func extend(content, piece []byte, most int64) []byte {
	if n := len(content) + len(piece); n > cap(content) && n > largeContent {
		content = append(make([]byte, 0, max(most, int64(n))+inputBuffer), content...)
	}
	return append(content, piece...)
}

// lines reads an input line by line. A line that fits into its buffer costs no allocation.
type lines struct {
	r         *bufio.Reader
	most      int64  // the length of the longest line
	delimiter string // what ends a line instead of "\n" or "\r\n", if not empty
	long      []byte // a line that did not fit
}

// inputBuffer is how many bytes are read at once.
const inputBuffer = 256 << 10

// newReader reads from r until ctx ends.
func newReader(ctx context.Context, r io.Reader) *bufio.Reader {
	return bufio.NewReaderSize(newInput(ctx, r), inputBuffer)
}

// newLines reads lines of most bytes at most from r until ctx ends.
func newLines(ctx context.Context, r io.Reader, most int64) *lines {
	return &lines{r: newReader(ctx, r), most: most}
}

// next returns the next line without its ending, "\n" or "\r\n" or the delimiter. The last one may have none. It returns
// io.EOF at the end and errEnded when ctx has ended, and an error for a line that is too long, of which it holds no more
// than the longest line has. The bytes are valid until the next call.
func (l *lines) next() ([]byte, error) {
	line, err := l.read()
	if int64(len(line)) > l.most {
		return nil, tooLarge("a line", l.most)
	}
	return line, err
}

func (l *lines) read() ([]byte, error) {
	last := byte('\n')
	if l.delimiter != "" {
		last = l.delimiter[len(l.delimiter)-1]
	}
	line, err := l.r.ReadSlice(last)
	if l.goesOn(line, err) {
		l.long = append(l.long[:0], line...)
		most := l.most + max(int64(len(l.delimiter)), int64(len("\r\n")))
		for l.goesOn(l.long, err) {
			if int64(len(l.long)) > most {
				return l.long, nil
			}
			line, err = l.r.ReadSlice(last)
			l.long = extend(l.long, line, most)
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

// newInput reads from r until ctx ends, and gives errEnded then.
func newInput(ctx context.Context, r io.Reader) io.Reader { return &input{r, ctx.Done()} }

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
