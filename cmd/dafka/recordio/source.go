package recordio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// Source returns the next record to publish, io.EOF behind the last one, and terminal.ErrEnded when reading has ended.
// Topic is empty where the input names none. The content is valid until the next call.
type Source func() (topic string, content []byte, err error)

// Sources read what formats print: an input has the format that `dafka consume` calls so. Each record has most bytes at
// most, and no more than that is held of a larger one.
var Sources = map[string]func(ctx context.Context, in io.Reader, most int64) Source{
	"text":   func(ctx context.Context, in io.Reader, most int64) Source { return LinesOf(NewLines(ctx, in, most)) },
	"length": lengthsOf,
	"json":   objectsOf,
}

// LinesOf has a record in each line.
func LinesOf(in *Lines) Source {
	return func() (string, []byte, error) {
		line, err := in.Next()
		return "", line, err
	}
}

// WholeOf has all there is as one record.
func WholeOf(ctx context.Context, in io.Reader, most int64) Source {
	isRead := false
	return func() (string, []byte, error) {
		if isRead {
			return "", nil, io.EOF
		}
		isRead = true
		content, err := terminal.ReadAll(terminal.NewInput(ctx, in), most)
		if errors.Is(err, terminal.ErrTooLarge) {
			err = tooLarge("the input", most)
		}
		return "", content, err
	}
}

// lengthsOf has the length of each record before it, as printLength writes it.
func lengthsOf(ctx context.Context, in io.Reader, most int64) Source {
	r := newReader(ctx, in)
	var length [4]byte
	var content []byte
	return func() (string, []byte, error) {
		switch _, err := io.ReadFull(r, length[:]); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return "", nil, errors.New("the input ends within the length of a record")
		case err != nil:
			return "", nil, err
		}
		left := int64(binary.BigEndian.Uint32(length[:]))
		if left > most {
			return "", nil, tooLarge(fmt.Sprintf("a record of %d bytes", left), most)
		}
		// As it comes: a length that is wrong takes no memory.
		for content = content[:0]; left > 0; {
			r.Peek(1)
			piece, err := r.Peek(int(min(left, max(1, int64(r.Buffered())))))
			if errors.Is(err, io.EOF) {
				return "", nil, fmt.Errorf("the input ends within a record, %d bytes before its end", left)
			}
			if err != nil {
				return "", nil, err
			}
			content = terminal.Extend(content, piece, most)
			left -= int64(len(piece))
			r.Discard(len(piece))
		}
		return "", content, nil
	}
}

// objectsOf has the topic and the content of each record in a JSON object. Its partition and sequence are those of
// another producer.
func objectsOf(ctx context.Context, in io.Reader, most int64) Source {
	from := NewObjects(ctx, in, most)
	return func() (string, []byte, error) {
		o, err := from.Next()
		if err == nil {
			err = o.Lacks("content")
		}
		if err == io.EOF || err == terminal.ErrEnded {
			return "", nil, err
		}
		if err != nil {
			return "", nil, fmt.Errorf("line %d: %w", from.Line, err)
		}
		return o.Topic, o.Content, nil
	}
}
