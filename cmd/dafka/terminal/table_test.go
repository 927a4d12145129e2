package terminal

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// Cells begin below each other, however wide the characters before them are.
func TestTableColumns(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	table := Table{Heading: []string{"TOPIC", "PARTITION", "RECORDS"}, Names: 2}
	for _, topic := range []string{"plain", "日本語", "e\u0301galite\u0301", "👍🏽", "\x1b[31mred", "\x7f", "tab\t", "\u202eright", `"quoted"`} {
		table.Add(Printable(topic, false), "P", "1")
	}
	table.Add(long, "9E3380A00F7FEBF1779B25ACA2B623FA", "2")
	for _, columns := range []int{0, 80, 20} {
		lines := table.Lines(columns)
		at := strings.Index(lines[0], "RECORDS")
		for _, line := range lines[1:] {
			record := line[len(line)-1:]
			if got := ansi.StringWidth(line); got != at+1 || record < "1" || record > "2" {
				t.Errorf("%d columns: a line of %d, want %d: %q", columns, got, at+1, line)
			}
			if strings.ContainsAny(line, "\x1b\x7f\t\u202e") {
				t.Errorf("a control character in %q", line)
			}
		}
		switch last := lines[len(lines)-1]; {
		case columns == 0 && !strings.HasPrefix(last, long+" "):
			t.Errorf("not on a terminal, a name is cut: %q", last)
		case columns == 80 && len(lines[0]) != 80:
			t.Errorf("on a terminal of 80 columns the table has %d", len(lines[0]))
		case columns == 20 && !strings.Contains(last, "9E3380A00F7FEBF1779B25ACA2B623FA"):
			t.Errorf("an address is cut: %q", last)
		}
	}
}

// Every string is read back as it is, by a reader of YAML 1.2 here and of 1.1 in TestShow's escapes.
func TestYAMLStrings(t *testing.T) {
	t.Parallel()
	strange := []string{
		"plain", "two words", "123", "-1", "1e3", "0x1f", "0o17", "1_000", ".inf", "-.INF", ".nan", "1:30:45", "2026-01-02", "yes", "No",
		"ON", "off", "y", "N", "true", "FALSE", "null", "Null", "~", "", " ", "a ", "a  b", "?", "=", "<<", "-", "- a", "a: b", "a #b", "#", "&a", "*a", "!a",
		"%a", "@a", "`a", "|", ">", "[", "{}", "'", `"`, `\`, "a\tb", "a\r\nb", "\x1b[31mred", "\x7f", "a\u0085b", "a\u2028b", "\ufeffa", "日本語", "e\u0301", "👍🏽", "\U000e0001",
	}
	type nest map[string]any
	text, err := json.Marshal(nest{"list": strange, "empty": []string{}, "none": nil, "deep": []any{nest{"yes": nest{"a": []any{[]any{"1", 1}, nest{}}}}, true, 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	document, err := yamlOf(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(document) {
		if r != '\n' && (r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0xfeff) {
			t.Errorf("the document has a raw %q", r)
		}
	}
	var want, got any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	var read any
	if err = yaml.Unmarshal(document, &read); err == nil {
		text, err = json.Marshal(read)
	}
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, document)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s\n%s", diff, document)
	}
	for _, s := range strange[2:32] {
		if !strings.HasPrefix(yamlScalar(s), `"`) && s != "plain" && s != "two words" {
			t.Errorf("%q stands without quotes, and means something else to some readers", s)
		}
	}
}
