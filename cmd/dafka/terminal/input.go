package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrEnded says that reading ended before the input did, because a signal ended the program. It is no failure.
var ErrEnded = errors.New("ended by a signal")

// OpenFile opens a file to read, stdin for "-". A named pipe that no program writes to is waited for until ctx ends, and
// ErrEnded returned then. The call under way cannot be broken off and is left behind.
func OpenFile(ctx context.Context, name string) (*os.File, error) {
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
		return nil, ErrEnded
	}
}

// ReadFile returns what a file holds, most bytes at most. It returns ErrEnded when ctx has ended.
func ReadFile(ctx context.Context, name string, most int64) ([]byte, error) {
	file, err := OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := ReadAll(NewInput(ctx, file), most)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return content, err
}

// ReadAll reads to the end: most bytes at most, or it returns ErrTooLarge.
func ReadAll(r io.Reader, most int64) ([]byte, error) {
	var content []byte
	piece := make([]byte, InputBuffer)
	for {
		n, err := r.Read(piece)
		content = Extend(content, piece[:n], most)
		switch {
		case int64(len(content)) > most:
			return nil, ErrTooLarge
		case err == io.EOF:
			return content, nil
		case err != nil:
			return nil, err
		}
	}
}

// ErrTooLarge is returned for more than may be read.
var ErrTooLarge = errors.New("it is too large")

// largeContent is the size from which on Extend makes room for the largest content.
const largeContent = 16 << 20

// Extend appends to what may grow to most bytes, and a piece more. What is large has room for all of them: memory that
// is not written to is not used, while room that is doubled would be copied, and held twice.
func Extend(content, piece []byte, most int64) []byte {
	if n := len(content) + len(piece); n > cap(content) && n > largeContent {
		content = append(make([]byte, 0, max(most, int64(n))+InputBuffer), content...)
	}
	return append(content, piece...)
}

// InputBuffer is how many bytes are read at once.
const InputBuffer = 256 << 10

// input is a reader that stops waiting when done is closed. The read under way, of a terminal or a pipe perhaps, cannot
// be broken off: it is left behind, and its buffer with it.
type input struct {
	r    io.Reader
	done <-chan struct{}
}

func (in *input) Read(p []byte) (int, error) {
	select {
	case <-in.done:
		return 0, ErrEnded
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
		return 0, ErrEnded
	}
}

// NewInput reads from r until ctx ends, and gives ErrEnded then.
func NewInput(ctx context.Context, r io.Reader) io.Reader { return &input{r, ctx.Done()} }
