package settings

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseZPL(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       map[string]string // by path
	}{
		{"nothing", "", map[string]string{}},
		{"comments and blank lines", "# one\n\n   \t\n    # two\n", map[string]string{}},
		{"a tree", "beacon\n    interval = 500\n    verbose = 1\nconsumer\n    offset\n        reset = earliest\n",
			map[string]string{"beacon": "", "beacon/interval": "500", "beacon/verbose": "1",
				"consumer": "", "consumer/offset": "", "consumer/offset/reset": "earliest"}},
		{"no newline at the end", "store\n    db = here", map[string]string{"store": "", "store/db": "here"}},
		{"lines of Windows", "store\r\n    db = here\r\n", map[string]string{"store": "", "store/db": "here"}},
		{"without spaces around =", "db=here", map[string]string{"db": "here"}},
		{"more spaces", "db   =\t here  ", map[string]string{"db": "here"}},
		{"spaces within", "db = one two  # three", map[string]string{"db": "one two"}},
		{"a comment behind", "db = here# there", map[string]string{"db": "here"}},
		{"double quotes", `db = "a # b 'c' "  # d`, map[string]string{"db": "a # b 'c' "}},
		{"single quotes", `db = ' "a" '`, map[string]string{"db": ` "a" `}},
		{"a quote within", `db = a"b`, map[string]string{"db": `a"b`}},
		{"no value", "a\nb =\nc = ''\nd = # e\nf # g", map[string]string{"a": "", "b": "", "c": "", "d": "", "f": ""}},
		{"= in a value", "a = b = c", map[string]string{"a": "b = c"}},
		{"an endpoint", "pub_address = tcp://127.0.0.1:5557", map[string]string{"pub_address": "tcp://127.0.0.1:5557"}},
		{"a value and children", "a = 1\n    b = 2", map[string]string{"a": "1", "a/b": "2"}},
		{"the first counts", "a = 1\na = 2", map[string]string{"a": "1"}},
		{"the first hides what the second holds", "a\n    b = 1\na\n    b = 2\n    c = 3", map[string]string{"a": "", "a/b": "1"}},
		{"a comment of a deeper level", "a\n        # b\n    c = 1", map[string]string{"a": "", "a/c": "1"}},
		{"names", "$a-b_c@d.e&f+g = 1", map[string]string{"$a-b_c@d.e&f+g": "1"}},
		{"a path", "a/b = 1\na/c/d = 2", map[string]string{"a/b": "1", "a/c/d": "2"}},
		{"a path and a level", "a\n    b = 1\na/c = 2\na/b = 3\na\n    d = 4", map[string]string{"a": "", "a/b": "1", "a/c": "2"}},
		{"a path with a level", "a/b\n    c = 1\na\n    b\n        d = 2", map[string]string{"a/b": "", "a/b/c": "1", "a": "", "a/b/d": "2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, err := parseZPL("file", test.text)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			root.each("", func(path string, item *zplItem) {
				if root.find(path) == item {
					got[path] = item.value
				}
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseZPLWrong(t *testing.T) {
	for _, test := range []struct {
		text string
		line int
		says string
	}{
		{"a\n   b = 1", 2, "indented by 3 spaces"},
		{"a\n     b = 1", 2, "indented by 5 spaces"},
		{"  # a", 1, "indented by 2 spaces"},
		{"a\n\tb = 1", 2, "indented by a tab"},
		{"    a = 1", 1, "no name above it has 0"},
		{"a\n        b = 1", 2, "no name above it has 4"},
		{"# one\n\na = \"b", 3, `the closing " is missing`},
		{"a = 'b", 1, "the closing ' is missing"},
		{"a = 'b' c", 1, `"c" is not understood`},
		{"a b", 1, `"b" is not understood`},
		{"a: b", 1, `": b" is not understood`},
		{"= b", 1, `"= b" is not understood`},
		{"/a = b", 1, "neither begins nor ends with /"},
		{"a/ = b", 1, "neither begins nor ends with /"},
		{"ä = b", 1, `"ä = b" is not understood`},
		{"a = b\n{\"c\": 1}", 2, "is not understood"},
		{"a = \x00", 1, "NUL"},
	} {
		_, err := parseZPL("file", test.text)
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("file:%d: ", test.line)) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: error %v, want line %d and %q", test.text, err, test.line, test.says)
		}
	}
}

// writeZPL is parseZPL's reverse.
func writeZPL(b *strings.Builder, item *zplItem, indent string) {
	for _, child := range item.children {
		b.WriteString(indent + child.name + " = " + quoteZPL(child.value) + "\n")
		writeZPL(b, child, indent+strings.Repeat(" ", zplIndent))
	}
}

func FuzzZPL(f *testing.F) {
	for _, seed := range []string{
		"", "beacon\n    interval = 500 # ms\n", "a = 'b \"' # c\r\n\n    d", "a\n        b", "\t", "a = \"", "a/b=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parseZPL("file", text)
		if err != nil {
			return
		}
		values := func(root *zplItem) (values []string) {
			root.each("", func(path string, item *zplItem) { values = append(values, path+" = "+item.value) })
			return values
		}
		var written strings.Builder
		writeZPL(&written, root, "")
		again, err := parseZPL("file", written.String())
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, &written, err)
		}
		if diff := cmp.Diff(values(root), values(again)); diff != "" {
			t.Errorf("%q written as %q (-first +again):\n%s", text, &written, diff)
		}
	})
}
