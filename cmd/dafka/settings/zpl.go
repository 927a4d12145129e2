package settings

import (
	"errors"
	"fmt"
	"strings"
)

// A configuration file is ZPL, the format of czmq's zconfig: a tree of names, four spaces for each level, each with a
// value perhaps.
//
//	beacon                      # a comment
//	    interval = 1000
//	    address = "127.0.0.1"   # or in '', or without quotes up to the comment
//
// What zconfig refuses is refused, and nothing else. Unlike zconfig, a name may also be a path: beacon/interval = 500.

// zplItem is a name in the tree; the root has none.
type zplItem struct {
	name, value string
	line        int
	children    []*zplItem
}

const zplIndent = 4

// parseZPL reads the text of a file. One bad line makes all of it bad: half a configuration is not what somebody wrote.
func parseZPL(file, text string) (*zplItem, error) {
	root := &zplItem{}
	line := 0
	for text := range strings.Lines(text) {
		line++
		if err := root.add(strings.TrimRight(text, zplSpace), line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, line, err)
		}
	}
	return root, nil
}

const (
	// zplSpace is what C takes for a space.
	zplSpace = " \t\n\v\f\r"
	zplNames = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$-_@.&+/"
)

// add adds what a line says to the root.
func (i *zplItem) add(text string, line int) error {
	if strings.IndexByte(text, 0) >= 0 {
		return errors.New("a NUL byte: this is no text file")
	}
	rest := strings.TrimLeft(text, " ")
	spaces := len(text) - len(rest)
	if spaces%zplIndent != 0 {
		return fmt.Errorf("indented by %d spaces: want %d for each level", spaces, zplIndent)
	}
	value := strings.TrimLeft(rest, zplNames)
	name := rest[:len(rest)-len(value)]
	if name == "" {
		if strings.HasPrefix(rest, "\t") {
			return fmt.Errorf("indented by a tab: want %d spaces for each level", zplIndent)
		}
		return zplNothing(rest)
	}
	if strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") {
		return fmt.Errorf("%q: a name neither begins nor ends with /", name)
	}
	value, err := zplValue(value)
	if err != nil {
		return err
	}
	parent := i
	for range spaces / zplIndent {
		if len(parent.children) == 0 {
			return fmt.Errorf("indented by %d spaces: no name above it has %d", spaces, spaces-zplIndent)
		}
		parent = parent.children[len(parent.children)-1]
	}
	parent.children = append(parent.children, &zplItem{name: name, value: value, line: line})
	return nil
}

// zplValue reads what follows a name.
func zplValue(text string) (string, error) {
	text = strings.TrimLeft(text, zplSpace)
	value, ok := strings.CutPrefix(text, "=")
	if !ok {
		return "", zplNothing(text)
	}
	value = strings.TrimLeft(value, zplSpace)
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		quoted, rest, ok := strings.Cut(value[1:], value[:1])
		if !ok {
			return "", fmt.Errorf("%s: the closing %c is missing", value, value[0])
		}
		return quoted, zplNothing(rest)
	}
	value, _, _ = strings.Cut(value, "#")
	return strings.TrimRight(value, zplSpace), nil
}

// zplNothing wants the end of the line or a comment.
func zplNothing(text string) error {
	if text = strings.TrimLeft(text, zplSpace); text != "" && text[0] != '#' {
		return fmt.Errorf("%q is not understood: want name = value", text)
	}
	return nil
}

// find returns the item at a path such as beacon/interval, or nil. A name may itself be a path. The first of several with
// the same name counts, and hides what the others hold.
func (i *zplItem) find(path string) *zplItem {
	entered := make(map[string]bool)
	for _, child := range i.children {
		if child.name == path {
			return child
		}
		below, ok := strings.CutPrefix(path, child.name+"/")
		if !ok || entered[child.name] {
			continue
		}
		entered[child.name] = true
		if found := child.find(below); found != nil {
			return found
		}
	}
	return nil
}

// each calls visit with every item below, and its path, in the order of the file.
func (i *zplItem) each(path string, visit func(path string, item *zplItem)) {
	for _, child := range i.children {
		path := path + child.name
		visit(path, child)
		child.each(path+"/", visit)
	}
}

// quoteZPL writes a value so that parseZPL reads it. One with both kinds of quotes can only have stood without any.
func quoteZPL(value string) string {
	switch {
	case value != "" && !strings.ContainsAny(value, `#"'`) && strings.Trim(value, zplSpace) == value:
		return value
	case !strings.Contains(value, `"`):
		return `"` + value + `"`
	case !strings.Contains(value, "'"):
		return "'" + value + "'"
	default:
		return value
	}
}
