package interop

import (
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bannedWords are words that this project does not use, see .github/CONTRIBUTING.md. Nodes send, receive, report, return
// and deliver. Damage is repaired.
var bannedWords = regexp.MustCompile(`(?i)\b(hear(s|d|ing)?|say(s|ing)?|said|tell(s|ing)?|told|giv(e|es|en|ing)|gave|` +
	`mind(s|ed|ing)?|mend(s|ed|ing)?|whoever|nobody|somebody|in\s+vain|so\s+(long|much|many))\b`)

// maxSentence is the largest number of words in a sentence.
const maxSentence = 25

// wordFiles maps patterns of file names to the function that extracts the text. "*.go": goText is the next row.
var wordFiles = map[string]func(source string) []paragraph{
	"*.md": markdownText,
}

// wordsLeft maps a file to the number of faults that it still has. A number may only become smaller.
var wordsLeft = map[string]int{}

// paragraph is text in which a sentence may go on over the end of a line.
type paragraph struct {
	line int
	text string
}

// TestWords checks the words and the lengths of sentences in every file of wordFiles.
func TestWords(t *testing.T) {
	t.Parallel()
	tree := os.DirFS("..")
	left := make(map[string]int)
	for pattern, extract := range wordFiles {
		for _, file := range filesOf(t, tree, pattern) {
			source, err := fs.ReadFile(tree, file)
			if err != nil {
				t.Fatal(err)
			}
			faults := wordFaults(extract(string(source)))
			if len(faults) > 0 {
				left[file] = len(faults)
			}
			if len(faults) > wordsLeft[file] {
				t.Errorf("%s: %d faults, want %d at most:\n%s", file, len(faults), wordsLeft[file], strings.Join(faults, "\n"))
			}
		}
	}
	for file, most := range wordsLeft {
		if left[file] < most {
			t.Errorf("%s: %d faults are left; set its number in wordsLeft to that", file, left[file])
		}
	}
}

// wordFaults returns the banned words and the sentences that are too long.
func wordFaults(text []paragraph) (faults []string) {
	for _, p := range text {
		for _, word := range bannedWords.FindAllString(p.text, -1) {
			faults = append(faults, fmt.Sprintf("  line %d: %q in %q", p.line, word, p.text))
		}
		for _, sentence := range sentenceEnd.Split(p.text, -1) {
			if n := len(strings.Fields(sentence)); n > maxSentence {
				faults = append(faults, fmt.Sprintf("  line %d: %d words in %q", p.line, n, sentence))
			}
		}
	}
	return faults
}

var (
	sentenceEnd = regexp.MustCompile(`[.:?!]( |$)`)
	inlineCode  = regexp.MustCompile("`[^`]*`")
	linkTarget  = regexp.MustCompile(`\]\([^)]*\)`)
	listItem    = regexp.MustCompile(`^(- |\d+\. |#)`)
)

// markdownText returns the prose of Markdown: each cell, item and paragraph without code and link targets. Code counts as
// one word.
func markdownText(source string) (text []paragraph) {
	code, open := false, false
	line := 0
	for l := range strings.Lines(source) {
		line++
		l = strings.TrimSpace(l)
		if !code {
			l = linkTarget.ReplaceAllString(inlineCode.ReplaceAllString(l, "CODE"), "]")
		}
		switch {
		case strings.HasPrefix(l, "```") || strings.HasPrefix(l, "CODE`"):
			code, open = !code, false
		case code:
		case l == "":
			open = false
		case strings.HasPrefix(l, "|"):
			for cell := range strings.SplitSeq(strings.ReplaceAll(l, `\|`, "/"), "|") {
				text = append(text, paragraph{line, strings.TrimSpace(cell)})
			}
			open = false
		case open && !listItem.MatchString(l):
			text[len(text)-1].text += " " + l
		default:
			text = append(text, paragraph{line, l})
			open = !strings.HasPrefix(l, "#")
		}
	}
	return text
}

// goText returns the comments and the strings of Go code.
func goText(source string) (text []paragraph) {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	for {
		at, tok, literal := s.Scan()
		switch tok {
		case token.EOF:
			return text
		case token.STRING:
			text = append(text, paragraph{files.Position(at).Line, strings.Trim(literal, "\"`")})
		case token.COMMENT:
			literal = strings.TrimPrefix(literal, "//")
			line := files.Position(at).Line
			last := len(text) - 1
			// The next line of the same comment continues its sentence.
			if last >= 0 && text[last].line == line-1 && strings.HasPrefix(literal, " ") {
				text[last] = paragraph{line, text[last].text + literal}
			} else {
				text = append(text, paragraph{line, strings.TrimSpace(literal)})
			}
		}
	}
}

// TestWordsBite checks both extractors and the rules on text that breaks them.
func TestWordsBite(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", maxSentence) + "word"
	for _, test := range []struct {
		name, source string
		extract      func(string) []paragraph
		want         int
	}{
		{"plain", "# Head\n\nA store sends an ACK. It is\nshort.\n", markdownText, 0},
		{"words", "The tower tells\n- Nobody\n\n| said | so   many |\n", markdownText, 4},
		{"code", "`tell` and `say`\n\n```\n$ say hello\n```\n[a](mind.md)\n", markdownText, 0},
		{"in a word", "soothsay, remind, amend, recommend, misheard", markdownText, 0},
		{"a long sentence", strings.ReplaceAll(long, "word word word", "word\nword word"), markdownText, 1},
		{"two sentences", long[:60] + ". " + long[60:], markdownText, 0},
		{"Go", "package p\n\n// A says\n// so.\nvar a = \"nobody\" // in\n// vain\n\nfunc say() { tell() }\n", goText, 3},
	} {
		if got := wordFaults(test.extract(test.source)); len(got) != test.want {
			t.Errorf("%s: %d faults, want %d:\n%s", test.name, len(got), test.want, strings.Join(got, "\n"))
		}
	}
	got := markdownText("a\nb\n\n| c | d |\n- e\n  f\n- g\n")
	want := []paragraph{{1, "a b"}, {4, ""}, {4, "c"}, {4, "d"}, {4, ""}, {5, "- e f"}, {7, "- g"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(paragraph{})); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}
