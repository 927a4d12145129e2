package recordio

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// Objects reads what PrintJSON wrote: JSON objects, each on lines of its own. Blank lines, both line endings and byte
// order marks are passed over. What could become another record than was meant is an error: encoding/json takes half of
// a surrogate pair, bytes that are no UTF-8, a key that is there twice and one in other letters without a word. Of a
// record of any size no more is held than its content.
type Objects struct {
	r    *bufio.Reader
	most int64  // the size of the largest content
	read int    // lines read to their end
	Line int    // where the last object begins, from 1 on
	seen Object // the last object; its memory is used again
}

// NewObjects reads objects from r until ctx ends. Each content has most bytes at most.
func NewObjects(ctx context.Context, r io.Reader, most int64) *Objects {
	return &Objects{r: newReader(ctx, r), most: most}
}

// Object is what such an object has.
type Object struct {
	Topic, Partition string
	Sequence         uint64
	Content          []byte // valid until the next object is read
	keys             []string
}

// objectKeys are those of an object. Of these, the first three are strings that another key may call base64.
var objectKeys = []string{
	"topic", "partition", "content", "sequence", "topic_base64", "partition_base64", "content_base64", "skipped",
}

// mostName is the length of the largest text of a topic or partition. zmqwire.CheckName decides about it.
const mostName = 1024

// Next returns the next object, io.EOF behind the last one and terminal.ErrEnded when reading has ended.
func (in *Objects) Next() (*Object, error) {
	c, err := in.skip(" \t\r\n\ufeff")
	in.Line = in.read + 1
	switch {
	case err != nil:
		return nil, err
	case c == '[':
		return nil, errors.New("it begins an array: want an object on each line, which jq -c '.[]' makes of an array")
	case c == 0xfe || c == 0xff:
		return nil, errors.New("it is not UTF-8 but perhaps UTF-16, which iconv -f UTF-16 -t UTF-8 changes")
	case c != '{':
		return nil, fmt.Errorf("it begins with %q: want an object such as %s", c, objectExample)
	}
	o := &in.seen
	o.keys, o.Content = o.keys[:0], o.Content[:0]
	switch err := in.members(o); {
	case errors.Is(err, terminal.ErrEnded):
		return nil, terminal.ErrEnded
	case errors.Is(err, io.EOF):
		return nil, errors.New("the input ends within an object")
	case err != nil:
		return nil, err
	}
	switch c, err := in.skip(" \t\r"); {
	case err != nil && err != io.EOF:
		return nil, err
	case err == nil && c != '\n':
		return nil, fmt.Errorf("%q follows the object: want a line for each object", c)
	case err == nil:
		in.read++
	}
	return o, nil
}

const objectExample = `{"topic":"t","partition":"P","sequence":0,"content":"text"}`

func (o *Object) has(key string) bool { return slices.Contains(o.keys, key) }

// Lacks returns an error unless the object has all these keys.
func (o *Object) Lacks(keys ...string) error {
	for _, key := range keys {
		if !o.has(key) {
			return fmt.Errorf("%s is missing: want an object such as %s", key, objectExample)
		}
	}
	return nil
}

// members reads an object behind its opening brace.
func (in *Objects) members(o *Object) error {
	const space = " \t\r\n"
	isBase64 := make(map[string]bool, 3)
	var topic, partition []byte
	for {
		c, err := in.skip(space)
		if c == '}' && err == nil && len(o.keys) == 0 {
			break
		}
		if err == nil && c != '"' {
			err = fmt.Errorf("%q is where a key should begin", c)
		}
		if err != nil {
			return err
		}
		text, err := in.text(nil, mostName)
		key := string(text)
		switch {
		case err != nil:
			return fmt.Errorf("a key: %w", err)
		case !slices.Contains(objectKeys, key):
			return fmt.Errorf("key %.40q is unknown: want some of %s", key, strings.Join(objectKeys, ", "))
		case o.has(key):
			return fmt.Errorf("key %q is there twice", key)
		}
		o.keys = append(o.keys, key)
		if c, err = in.skip(space); err == nil && c != ':' {
			err = fmt.Errorf("%q follows the key %s: want a colon", c, key)
		}
		if err != nil {
			return err
		}
		switch key {
		case "topic":
			topic, err = in.string(topic, mostName)
		case "partition":
			partition, err = in.string(partition, mostName)
		case "content":
			o.Content, err = in.string(o.Content, int64(base64.StdEncoding.EncodedLen(int(in.most))))
		case "sequence":
			o.Sequence, err = in.number()
		case "skipped":
			_, err = in.number()
		default:
			isBase64[key], err = in.bool()
		}
		if errors.Is(err, terminal.ErrTooLarge) && key == "content" {
			return tooLarge("a content", in.most)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if c, err = in.skip(space); err != nil {
			return err
		}
		if c == '}' {
			break
		}
		if c != ',' {
			return fmt.Errorf("%q follows the value of %s: want a comma or the end of the object", c, key)
		}
	}
	for _, s := range []struct {
		key  string
		text *[]byte
	}{{"topic", &topic}, {"partition", &partition}, {"content", &o.Content}} {
		if !isBase64[s.key+"_base64"] {
			continue
		}
		// In place: what is decoded is shorter, and written behind what is read.
		n, err := base64.StdEncoding.Decode(*s.text, *s.text)
		if err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
		*s.text = (*s.text)[:n]
	}
	if int64(len(o.Content)) > in.most {
		return tooLarge("a content", in.most)
	}
	o.Topic, o.Partition = again(o.Topic, topic), again(o.Partition, partition)
	return nil
}

// again returns the bytes as a string. Those of one record are most often those of the next one.
func again(last string, b []byte) string {
	if string(b) == last {
		return last
	}
	return string(b)
}

// skip passes over these characters and returns the byte after them. It counts lines.
func (in *Objects) skip(these string) (byte, error) {
	mark := strings.HasSuffix(these, "\ufeff")
	for {
		c, err := in.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if isMark := "\ufeff"; mark && c == isMark[0] {
			if rest, _ := in.r.Peek(2); string(rest) == isMark[1:] {
				in.r.Discard(2)
				continue
			}
		}
		if c >= utf8.RuneSelf || strings.IndexByte(these, c) < 0 {
			return c, nil
		}
		if c == '\n' {
			in.read++
		}
	}
}

// string reads a string with its opening quote.
func (in *Objects) string(to []byte, most int64) ([]byte, error) {
	c, err := in.skip(" \t\r\n")
	if err != nil {
		return to, err
	}
	if c != '"' {
		return to, fmt.Errorf("it is %s: want a string", valueWith(c))
	}
	return in.text(to[:0], most)
}

// text appends a string behind its opening quote.
func (in *Objects) text(to []byte, most int64) ([]byte, error) {
	for {
		// What is plain, as far as it is here already.
		in.r.Peek(1)
		here, _ := in.r.Peek(in.r.Buffered())
		n := slices.IndexFunc(here, func(c byte) bool { return c == '"' || c == '\\' || c < ' ' })
		if n < 0 {
			n = len(here)
		}
		to = terminal.Extend(to, here[:n], most)
		in.r.Discard(n)
		if int64(len(to)) > most {
			return to, terminal.ErrTooLarge
		}
		if n == len(here) && n > 0 {
			continue
		}
		c, err := in.r.ReadByte()
		switch {
		case err != nil:
			return to, err
		case c == '"' && !utf8.Valid(to):
			return to, errors.New("it is not UTF-8")
		case c == '"':
			return to, nil
		case c != '\\':
			return to, fmt.Errorf("it has the character %q as it is: want \\n, \\t or \\u%04x in a string", c, c)
		}
		r, err := in.escape()
		if err != nil {
			return to, err
		}
		to = utf8.AppendRune(to, r)
	}
}

// escape reads what follows a backslash.
func (in *Objects) escape() (rune, error) {
	c, err := in.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, fmt.Errorf(`it has \%c: want \", \\, \/, \b, \f, \n, \r, \t or \uXXXX`, c)
	}
	first, err := in.hex()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	half := fmt.Errorf(`\u%04x is half of a character, without the other half: it is no text`, first)
	switch next, err := in.r.Peek(2); {
	case err != nil && err != io.EOF:
		return 0, err
	case string(next) != `\u`:
		return 0, half
	}
	in.r.Discard(2)
	second, err := in.hex()
	if err != nil {
		return 0, err
	}
	if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
		return r, nil
	}
	return 0, half
}

// hex reads four hexadecimal digits.
func (in *Objects) hex() (rune, error) {
	digits, err := in.r.Peek(4)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return 0, fmt.Errorf(`it has \u%s: want four hexadecimal digits`, digits)
	}
	in.r.Discard(4)
	return rune(n), nil
}

// word reads a number, true or false: all up to what may follow a value.
func (in *Objects) word() (string, error) {
	c, err := in.skip(" \t\r\n")
	if err != nil {
		return "", err
	}
	word := []byte{c}
	if strings.IndexByte(`"{[`, c) >= 0 {
		return string(word), nil
	}
	for len(word) < 40 {
		if c, err = in.r.ReadByte(); err != nil {
			return "", err
		}
		if strings.IndexByte(" \t\r\n,}", c) >= 0 {
			in.r.UnreadByte()
			break
		}
		word = append(word, c)
	}
	return string(word), nil
}

func (in *Objects) number() (uint64, error) {
	word, err := in.word()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != word {
		return 0, fmt.Errorf("it is %s: want a whole number from 0 to %d", valueOf(word), uint64(math.MaxUint64))
	}
	return n, nil
}

func (in *Objects) bool() (bool, error) {
	word, err := in.word()
	if err == nil && word != "true" && word != "false" {
		err = fmt.Errorf("it is %s: want true or false", valueOf(word))
	}
	return word == "true", err
}

// valueOf names a value that is not the wanted one.
func valueOf(word string) string {
	if c := word[0]; c == '"' || c == '{' || c == '[' {
		return valueWith(c)
	}
	return fmt.Sprintf("%.40q", word)
}

// valueWith names a value by its first character.
func valueWith(c byte) string {
	switch {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 'n':
		return "null"
	case c == 't', c == 'f':
		return "true or false"
	case c == '-', c >= '0' && c <= '9':
		return "a number"
	}
	return fmt.Sprintf("%q", c)
}
