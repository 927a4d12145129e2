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

// tooLarge says that a part of the input is larger than a record may be.
func tooLarge(what string, most int64) error {
	return fmt.Errorf("%s is larger than %d bytes, the limit frame of a record", what, most)
}

// lines reads an input line by line. A line that fits into its buffer costs no allocation.
type lines struct {
	r         *bufio.Reader
	most      int64  // the length of the longest line
	delimiter string // what ends a line instead of "\n" or "\r\n", if not empty
	long      []byte // a line that did not fit
}

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
