package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is a name as it is, or in quotes where it would upset a table, a line or a terminal.
func printable(name string, isBase64 bool) string {
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

// plural is a number with what it counts, whose plural has an s.
func plural(n uint64, one string) string { return count(n, one, one+"s") }

// count is a number with what it counts.
func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
