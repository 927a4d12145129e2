package interop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// TestFaultCodes holds the codes of faults: dashboards and programs match them. testdata/fault-codes.txt lists every code
// that a release ever had. A code may be added there, none may go.
func TestFaultCodes(t *testing.T) {
	t.Parallel()
	kept, err := os.ReadFile("testdata/fault-codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	codes := faultCodes(t, os.DirFS(".."))
	if diff := cmp.Diff(strings.Fields(string(kept)), codes); diff != "" {
		t.Errorf("codes in testdata/fault-codes.txt and in the code (-want +got):\n%s", diff)
	}
	texts := make(map[string]string)
	for _, code := range codes {
		text := zmqwire.Fault(code).Error()
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(code) {
			t.Errorf("code %q: want snake_case", code)
		}
		if text == code {
			t.Errorf("code %q has no text: add a row to faultTexts in zmqwire/faults.go", code)
		}
		if other, ok := texts[text]; ok {
			t.Errorf("codes %q and %q have the same text %q", code, other, text)
		}
		texts[text] = code
	}
}

// faultCodes returns the values of all constants of type Fault in the module, sorted.
func faultCodes(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var codes []string
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		src, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Type == nil || !isFault(spec.Type) {
				return true
			}
			for _, value := range spec.Values {
				literal, ok := value.(*ast.BasicLit)
				if !ok {
					t.Errorf("%s: the code of %v is not a literal", file, spec.Names)
					continue
				}
				code, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Error(err)
				}
				codes = append(codes, code)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// isFault reports whether a type is Fault, within zmqwire, or zmqwire.Fault.
func isFault(expression ast.Expr) bool {
	switch e := expression.(type) {
	case *ast.Ident:
		return e.Name == "Fault"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Fault"
	}
	return false
}
