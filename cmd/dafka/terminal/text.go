package terminal

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is a name as it is, or in quotes where it would upset a table, a line or a terminal.
func Printable(name string, isBase64 bool) string {
	if isBase64 {
		content, _ := base64.StdEncoding.DecodeString(name)
		name = string(content)
	}
	if utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 &&
		!strings.HasPrefix(name, `"`) {
		return name
	}
	return strconv.Quote(name)
}

// Plural is a number with what it counts, whose plural has an s.
func Plural(n uint64, one string) string { return Count(n, one, one+"s") }

// Count is a number with what it counts.
func Count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
