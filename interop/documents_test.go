package interop

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The documents are README.md and every other Markdown file. Their code is compiled, their transcripts are run, and their
// names and links are looked up.

// maxReadme is the largest size of README.md in bytes.
const maxReadme = 10 << 10

// documents returns the documents by their paths from the top of the tree.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, file := range filesOf(t, os.DirFS(".."), "*.md") {
		texts[file] = textOf(t, "../"+file)
	}
	return texts
}

// filesOf returns the project's files whose names match pattern, in folders that git does not ignore.
func filesOf(t *testing.T, tree fs.FS, pattern string) (files []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "testdata"):
			return fs.SkipDir
		}
		if match, err := path.Match(pattern, entry.Name()); match && !entry.IsDir() {
			files = append(files, file)
		} else if err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no file matches %s", pattern)
	}
	return files
}

// matches returns the first groups of all matches, sorted and each once.
func matches(pattern, text string) (found []string) {
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestReadmeSize keeps README.md small.
func TestReadmeSize(t *testing.T) {
	if size := len(textOf(t, "../README.md")); size > maxReadme {
		t.Errorf("README.md has %d bytes, want %d at most; move details to the document of their reader", size, maxReadme)
	}
}

// TestReadmeDocuments compares README.md's table of documents with the documents that exist.
func TestReadmeDocuments(t *testing.T) {
	texts := documents(t)
	_, table, _ := strings.Cut(texts["README.md"], "\n## Documents\n")
	table, _, _ = strings.Cut(table, "\n## ")
	delete(texts, "README.md")
	var want []string
	for file := range texts {
		want = append(want, file)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, matches(`(?m)^\| \[[^\]]*\]\(([^)]*)\)`, table)); diff != "" {
		t.Errorf("documents and README.md's table (-documents +table):\n%s", diff)
	}
}

// TestReadmeLinks follows every link of every document to its file and heading.
func TestReadmeLinks(t *testing.T) {
	texts := documents(t)
	count := 0
	for file, text := range texts {
		for _, link := range matches(`\]\(([^)]*)\)`, withoutCode(text)) {
			if strings.Contains(link, "://") {
				continue
			}
			count++
			to, anchor, _ := strings.Cut(link, "#")
			target := file
			if to != "" {
				target = path.Join(path.Dir(file), to)
			}
			if _, err := os.Stat("../" + target); err != nil {
				t.Errorf("%s: link %q: there is no %s", file, link, target)
			} else if anchor != "" && !slices.Contains(anchors(texts[target]), anchor) {
				t.Errorf("%s: link %q: %s has no such heading, only %q", file, link, target, anchors(texts[target]))
			}
		}
	}
	if count < 40 {
		t.Errorf("%d links in all documents: this test cannot read them any more", count)
	}
}

// withoutCode returns Markdown without its blocks of code.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
}

// anchors returns the anchors of a document's headings, as GitHub makes them.
func anchors(text string) (found []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		anchor := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(anchor, " ", "-"))
	}
	return found
}

// TestReadmeExample keeps the Go code of the documents and the body of smallCluster the same.
func TestReadmeExample(t *testing.T) {
	var shown []string
	for _, text := range documents(t) {
		shown = append(shown, matches("(?s)```go\n(.*?)```", text)...)
	}
	_, body, _ := strings.Cut(textOf(t, "example_test.go"), "func smallCluster(ctx context.Context, dir string) {\n")
	body = strings.TrimSuffix(body, "}\n")
	body = strings.TrimPrefix(strings.ReplaceAll(body, "\n\t", "\n"), "\t")
	if diff := cmp.Diff([]string{body}, shown); diff != "" {
		t.Errorf("the documents do not show smallCluster (-example +documents):\n%s", diff)
	}
	if lines := strings.Count(body, "\n"); lines > 25 {
		t.Errorf("the example has %d lines, want 25 at most", lines)
	}
}

// TestReadmeNames finds every function that a document names as `file: name`, and every test as `folder: name`.
func TestReadmeNames(t *testing.T) {
	count := 0
	for file, text := range documents(t) {
		for _, name := range regexp.MustCompile("`([a-z]+(?:/[a-z_.]+)*): ([A-Za-z_]\\w+)`").FindAllStringSubmatch(text, -1) {
			count++
			files := []string{"../" + name[1]}
			if filepath.Ext(name[1]) == "" {
				files, _ = filepath.Glob("../" + name[1] + "/*_test.go")
			}
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|\w[\w ]*[ *])` + name[2] + `[(\[]`)
			if !slices.ContainsFunc(files, func(file string) bool { return declared.MatchString(readIfThere(file)) }) {
				t.Errorf("%s names %s, which is not there", file, name[0])
			}
		}
	}
	if count < 150 {
		t.Errorf("the documents name %d functions and tests: either they were cut down, or this test cannot read them any more", count)
	}
}

func readIfThere(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// TestReadmeCommands finds every command, flag, make target, setting and file that a document names.
func TestReadmeCommands(t *testing.T) {
	code := goCode(t, "../cmd/dafka")
	help, err := exec.Command(program, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	commands := matches(`(?m)^  ([a-z]+) `, string(help))
	flags := matches(`\bName:\s+"([a-z-]+)"`, code)
	flags = append(flags, "help", "profile", "now") // of the library for flags, of docker compose, of systemctl
	targets := matches(`(?m)^([a-z-]+):`, textOf(t, "../Makefile"))
	for file, text := range documents(t) {
		for _, name := range matches(`(?:^|[^\w-])--([a-z][a-z-]+)`, text) {
			if !slices.Contains(flags, name) {
				t.Errorf("%s names the flag --%s, which is not there", file, name)
			}
		}
		for _, name := range matches("(?:`|\\$ |bin/)dafka ([a-z][a-z-]*)", text) {
			if !slices.Contains(commands, name) {
				t.Errorf("%s names the command dafka %s, which is not there", file, name)
			}
		}
		for _, name := range matches("(?m)(?:`|^|sudo )make ([a-z][a-z-]*)", text) {
			if !slices.Contains(targets, name) {
				t.Errorf("%s names make %s, which is not there", file, name)
			}
		}
		for _, name := range matches("`((?:docker|cmd|interop|zmqwire|store|tower|producer|consumer)/[\\w./-]+\\.\\w+)`", text) {
			if _, err := os.Stat("../" + name); err != nil {
				t.Errorf("%s names %s, which is not there", file, name)
			}
		}
		for _, test := range regexp.MustCompile(`go test \./(\w+) -run '(\w+)`).FindAllStringSubmatch(text, -1) {
			files, _ := filepath.Glob("../" + test[1] + "/*_test.go")
			if !slices.ContainsFunc(files, func(file string) bool { return strings.Contains(readIfThere(file), "func "+test[2]+"(") }) && test[2] != "Test" {
				t.Errorf("%s runs %s of ./%s, which is not there", file, test[2], test[1])
			}
		}
	}
}

// goCode returns all Go code below a folder, tests apart.
func goCode(t *testing.T, folder string) string {
	t.Helper()
	var code strings.Builder
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			code.WriteString(textOf(t, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return code.String()
}

// TestReadmeMonitoring compares the tables of docker/README.md with the metrics, alarms, fault codes, limits and HTTP
// paths of the program.
func TestReadmeMonitoring(t *testing.T) {
	code, text := goCode(t, "../cmd/dafka"), textOf(t, "../docker/README.md")
	code += goCode(t, "dafkametrics")
	names := matches(`(?:\b(?:counter|gauge|NewDesc)\(|Name: )"(?:dafka_)?([a-z]+_\w+)"`, code)
	for _, node := range matches(`newCollector\(\w+\.Stats, "(\w+)"`, code) {
		names = append(names, node+"_faults_total")
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, matches("(?m)^\\| `dafka_(\\w+)` \\|", text)); diff != "" {
		t.Errorf("metrics (-program +docker/README.md):\n%s", diff)
	}
	if diff := cmp.Diff(matches(`alert: (\w+)`, textOf(t, "../docker/alarms.yml")), matches("(?m)^\\| `(Dafka\\w+)` \\|", text)); diff != "" {
		t.Errorf("alarms (-docker/alarms.yml +docker/README.md):\n%s", diff)
	}
	section := func(heading string) string {
		_, section, _ := strings.Cut(text, "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		return section
	}
	codes := strings.Fields(textOf(t, "testdata/fault-codes.txt"))
	if diff := cmp.Diff(codes, matches("(?m)^\\| `(\\w+)` \\|", section("Fault codes"))); diff != "" {
		t.Errorf("fault codes (-program +docker/README.md):\n%s", diff)
	}
	settings, err := exec.Command(program, "config", "show").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, limits, _ := strings.Cut(string(settings), "\nlimits")
	limits = regexp.MustCompile(`(?s)^[^\n]*\n((?: +[^\n]*\n)*)`).FindString(limits)
	if diff := cmp.Diff(matches(`(?m)^ +(\w+) =`, limits), matches("(?m)^\\| `(\\w+)` \\|", section("Limits"))); diff != "" {
		t.Errorf("limits (-dafka config show +docker/README.md):\n%s", diff)
	}
}
