package recordio

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/godafka/dafka/consumer"
)

// piece is a part of a template: text as it is, or the field of a record that a letter names.
type piece struct {
	text  string
	field byte // 0 for text
}

// ParseTemplate makes a format of a template such as "%t %p %s %c\n".
func ParseTemplate(template string) (Format, error) {
	var pieces []piece
	for rest := template; rest != ""; {
		text, after, more := strings.Cut(rest, "%")
		text, err := Unescape(text)
		if err != nil {
			return nil, err
		}
		if text != "" {
			pieces = append(pieces, piece{text: text})
		}
		if !more {
			break
		}
		if after == "" || !strings.Contains("tpsSc%", after[:1]) {
			return nil, fmt.Errorf("%%%.1s of %q: want %%t, %%p, %%s, %%S, %%c or %%%%", after, template)
		}
		if after[0] == '%' {
			pieces = append(pieces, piece{text: "%"})
		} else {
			pieces = append(pieces, piece{field: after[0]})
		}
		rest = after[1:]
	}
	return func(p *Printer, r *consumer.Record) { printTemplate(p, r, pieces) }, nil
}

func printTemplate(p *Printer, r *consumer.Record, pieces []piece) {
	for _, piece := range pieces {
		switch piece.field {
		case 't':
			p.WriteString(r.Topic)
		case 'p':
			p.WriteString(r.Partition)
		case 's':
			p.Write(strconv.AppendUint(p.AvailableBuffer(), r.Sequence, 10))
		case 'S':
			p.Write(strconv.AppendUint(p.AvailableBuffer(), uint64(len(r.Content)), 10))
		case 'c':
			p.Write(r.Content)
		default:
			p.WriteString(piece.text)
		}
	}
}

// Unescape gives the bytes that people write with a backslash on a command line.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out []byte
	for rest := s; rest != ""; {
		text, after, more := strings.Cut(rest, `\`)
		out = append(out, text...)
		if !more {
			break
		}
		if after == "" {
			return "", errors.New(`a \ at the end: want \\ for itself`)
		}
		rest = after[1:]
		switch after[0] {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case '0':
			out = append(out, 0)
		case '\\':
			out = append(out, '\\')
		case 'x':
			b, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8)
			if err != nil || len(rest) < 2 {
				return "", fmt.Errorf(`\x%.2s: want two hexadecimal digits`, rest)
			}
			out, rest = append(out, byte(b)), rest[2:]
		default:
			return "", fmt.Errorf(`\%c: want \n, \r, \t, \0, \\ or \xHH`, after[0])
		}
	}
	return string(out), nil
}
