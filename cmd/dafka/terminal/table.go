package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
)

// View is something to print: as data for programs, or as text for people, on a terminal of so many columns (0: not on a
// terminal).
type View struct {
	Data any
	Text func(w io.Writer, columns int) error
}

// Show prints a view: as text, as JSON on one line, or as a YAML document, which others follow.
func Show(out io.Writer, format string, again bool, v View) error {
	if format == "text" {
		return v.Text(out, columns(out))
	}
	text, err := json.Marshal(v.Data)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if format == "yaml" {
		if text, err = yamlOf(text); err != nil {
			return err
		}
		if again {
			text = append([]byte("---\n"), text...)
		}
	}
	_, err = out.Write(text)
	return err
}

// columns is how wide the terminal is, 0 when out is none.
func columns(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok || !IsTerminal(file) {
		return 0
	}
	width, _, err := term.GetSize(file.Fd())
	if err != nil {
		return 0
	}
	return width
}

// Table is rows of cells below a heading. Cells are as wide as a terminal shows them, not as many as they have runes.
type Table struct {
	Heading []string
	Names   int // of the first columns, how many are names, which may be cut
	Rows    [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

const (
	columnGap = 2
	// LeastName is how much of a long name is left at least; of one that may be an address, enough for that.
	LeastName, leastAddress = 20, 36
)

// Print prints the table. On a terminal long names are cut so that the lines fit, if that is enough; elsewhere never.
func (t *Table) Print(w io.Writer, columns int) error {
	_, err := io.WriteString(w, strings.Join(t.Lines(columns), "\n")+"\n")
	return err
}

// Lines are the heading and the rows, cut so that they fit.
func (t *Table) Lines(columns int) []string {
	all := append([][]string{t.Heading}, t.Rows...)
	widths := make([]int, len(t.Heading))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	whole := columnGap * (len(widths) - 1)
	for _, width := range widths {
		whole += width
	}
	for columns > 0 && whole > columns {
		widest := -1
		for i := range t.Names {
			least := LeastName
			if i > 0 {
				least = leastAddress
			}
			if widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		whole--
	}
	lines := make([]string, len(all))
	for i, row := range all {
		var line strings.Builder
		for j, cell := range row {
			cell = ansi.Truncate(cell, widths[j], "…")
			line.WriteString(cell)
			if j < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[j]-ansi.StringWidth(cell)+columnGap))
			}
		}
		lines[i] = line.String()
	}
	return lines
}

// yamlPlain is text that every reader of YAML, also of version 1.1, takes for a string without quotes, unless it is one
// of yamlWords. All other strings are quoted.
var (
	yamlPlain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*( [A-Za-z0-9_-]+)*$`)
	yamlWords = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// yamlOf makes a YAML document of a JSON text. Strings stay strings, whatever they look like, and what cannot be
// printed is escaped.
func yamlOf(text []byte) ([]byte, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	var out bytes.Buffer
	if err := yamlValue(in, &out, 0, false); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// yamlValue writes the next value and a line end. It stands behind a key, whose line it may continue, or in the line of
// a list's dash, at a depth of so many levels.
func yamlValue(in *json.Decoder, out *bytes.Buffer, depth int, afterKey bool) error {
	token, err := in.Token()
	if err != nil {
		return err
	}
	space := ""
	if afterKey {
		space = " "
	}
	delimiter, ok := token.(json.Delim)
	switch {
	case !ok:
		fmt.Fprintf(out, "%s%s\n", space, yamlScalar(token))
		return nil
	case !in.More() && delimiter == '[':
		out.WriteString(space + "[]\n")
	case !in.More():
		out.WriteString(space + "{}\n")
	case delimiter == '[':
		first := !afterKey // a list within a list, or at the top, begins in its line
		if afterKey {
			out.WriteString("\n")
			depth--
		}
		for in.More() {
			if !first {
				out.WriteString(strings.Repeat("  ", depth))
			}
			out.WriteString("- ")
			if err := yamlValue(in, out, depth+1, false); err != nil {
				return err
			}
			first = false
		}
	default:
		first := !afterKey
		if afterKey {
			out.WriteString("\n")
		}
		for in.More() {
			if !first {
				out.WriteString(strings.Repeat("  ", depth))
			}
			key, err := in.Token()
			if err != nil {
				return err
			}
			out.WriteString(yamlScalar(key) + ":")
			if err := yamlValue(in, out, depth+1, true); err != nil {
				return err
			}
			first = false
		}
	}
	_, err = in.Token() // the end
	return err
}

func yamlScalar(token json.Token) string {
	text, ok := token.(string)
	if !ok {
		if token == nil {
			return "null"
		}
		return fmt.Sprint(token)
	}
	if yamlPlain.MatchString(text) && !yamlWords.MatchString(text) {
		return text
	}
	return strconv.Quote(text) // every escape of Go's is one of YAML's
}
