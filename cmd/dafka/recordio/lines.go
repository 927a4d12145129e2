package recordio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// OpenInput opens the file that argument i names: stdin when there is none, or it is "-".
// It returns terminal.ErrEnded when ctx has ended.
func OpenInput(ctx context.Context, c *cli.Context, i int) (*os.File, error) {
	if c.NArg() <= i {
		return os.Stdin, nil
	}
	return terminal.OpenFile(ctx, c.Args().Get(i))
}

// tooLarge says that a part of the input is larger than a record may be.
func tooLarge(what string, most int64) error {
	return fmt.Errorf("%s is larger than %d bytes, the limit frame of a record", what, most)
}

// Lines reads an input line by line. A line that fits into its buffer costs no allocation.
type Lines struct {
	r         *bufio.Reader
	most      int64  // the length of the longest line
	Delimiter string // what ends a line instead of "\n" or "\r\n", if not empty
	long      []byte // a line that did not fit
}

// newReader reads from r until ctx ends.
func newReader(ctx context.Context, r io.Reader) *bufio.Reader {
	return bufio.NewReaderSize(terminal.NewInput(ctx, r), terminal.InputBuffer)
}

// NewLines reads lines of most bytes at most from r until ctx ends.
func NewLines(ctx context.Context, r io.Reader, most int64) *Lines {
	return &Lines{r: newReader(ctx, r), most: most}
}

// Next returns the next line without its ending, "\n" or "\r\n" or the delimiter. The last one may have none. It returns
// io.EOF at the end and terminal.ErrEnded when ctx has ended. It returns an error for a line that is too long, of which it
// holds no more than the longest line has. The bytes are valid until the next call.
func (l *Lines) Next() ([]byte, error) {
	line, err := l.read()
	if int64(len(line)) > l.most {
		return nil, tooLarge("a line", l.most)
	}
	return line, err
}

func (l *Lines) read() ([]byte, error) {
	last := byte('\n')
	if l.Delimiter != "" {
		last = l.Delimiter[len(l.Delimiter)-1]
	}
	line, err := l.r.ReadSlice(last)
	if l.goesOn(line, err) {
		l.long = append(l.long[:0], line...)
		most := l.most + max(int64(len(l.Delimiter)), int64(len("\r\n")))
		for l.goesOn(l.long, err) {
			if int64(len(l.long)) > most {
				return l.long, nil
			}
			line, err = l.r.ReadSlice(last)
			l.long = terminal.Extend(l.long, line, most)
		}
		line = l.long
	}
	switch {
	case err == nil && l.Delimiter != "":
		return line[:len(line)-len(l.Delimiter)], nil
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
func (l *Lines) goesOn(line []byte, err error) bool {
	return errors.Is(err, bufio.ErrBufferFull) || err == nil && !bytes.HasSuffix(line, []byte(l.Delimiter))
}

// Idle says that the next line may have to be waited for.
func (l *Lines) Idle() bool { return l.r.Buffered() == 0 }
