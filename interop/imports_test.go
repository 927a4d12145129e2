package interop

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/godafka/dafka"

// packages says for each top-level folder of Go code which of the others its packages may import, tests included:
//
//	cmd -> producer, consumer, store -> tower -> zmqwire
//
// Producer, consumer and store never import each other, so that a program carries only the node it is, and the wire
// stays the one thing they share. What needs two of them at once is a test of a cluster and lives in interop, or
// collects the metrics of all of them: dafkametrics, which cmd imports so that each metric has its name in one place.
var packages = map[string][]string{
	"zmqwire":  {},
	"tower":    {"zmqwire"},
	"producer": {"tower", "zmqwire"},
	"consumer": {"tower", "zmqwire"},
	"store":    {"tower", "zmqwire"},
	"cmd":      {"producer", "consumer", "store", "tower", "zmqwire", "interop/dafkametrics"},
	"interop":  {"producer", "consumer", "store", "tower", "zmqwire"},
}

// walls says for the packages of a top-level folder which others of that folder their code may import. A package without a
// row has no wall. Tests may also import the packages that exist for tests.
var walls = map[string][]string{
	"zmqwire":          {},
	"zmqwire/zsock":    {"zmqwire"},
	"zmqwire/flow":     {"zmqwire", "zmqwire/zsock"},
	"zmqwire/wiretest": {"zmqwire"},

	"store":                    {"store/internal/partdb", "store/internal/salvage"},
	"store/admin":              {"store/internal/partdb", "store/internal/salvage"},
	"store/cimport":            {"store/admin", "store/internal/partdb"},
	"store/internal/salvage":   {"store/internal/partdb"},
	"store/internal/partdb":    {},
	"store/internal/storetest": {"store/internal/partdb"},

	"tower":           {},
	"tower/node":      {"tower"},
	"tower/survey":    {"tower", "tower/node"},
	"tower/towertest": {"tower", "tower/node"},
	"tower/rawtest":   {},

	"cmd/dafka": {"cmd/dafka/command", "cmd/dafka/cnames", "cmd/dafka/settings", "cmd/dafka/terminal"},
	"cmd/dafka/command": {
		"cmd/dafka/bench", "cmd/dafka/cnames", "cmd/dafka/serve", "cmd/dafka/recordio", "cmd/dafka/settings", "cmd/dafka/terminal",
	},
	"cmd/dafka/bench":    {"cmd/dafka/settings", "cmd/dafka/terminal"},
	"cmd/dafka/cnames":   {"cmd/dafka/serve", "cmd/dafka/recordio", "cmd/dafka/settings", "cmd/dafka/terminal"},
	"cmd/dafka/serve":    {"cmd/dafka/settings", "cmd/dafka/terminal"},
	"cmd/dafka/recordio": {"cmd/dafka/terminal"},
	"cmd/dafka/settings": {"cmd/dafka/terminal"},
	"cmd/dafka/terminal": {},
}

// forTests are the packages that tests share.
var forTests = only("zmqwire/wiretest", "tower/towertest", "tower/rawtest", "store/internal/storetest")

// testWalls says what the tests of a package may import besides: those of a store that runs compare it with what the
// offline functions find.
var testWalls = map[string][]string{
	"store": {"store/admin"},
}

// dependencies says for each thing from outside the module who may touch it. What is not in it is refused, the
// standard library apart: a new dependency is a decision, and takes a row.
var dependencies = []struct {
	path  string   // the import path, and all below it
	code  []string // top-level folders whose code may import it
	tests []string // and those whose _test.go files may
	say   string   // what to do instead
}{
	{
		path: "C",
		code: only("zmqwire/zsock"), tests: nowhere,
		say: "put the C call behind a method in zmqwire/zsock",
	}, {
		path: "github.com/pebbe/zmq4",
		code: only("zmqwire/zsock"), tests: anywhere,
		say: "use the sockets of zmqwire/zsock: those of zmq4 refuse a libzmq at run time that zmq4 does not know",
	}, {
		path: "github.com/cockroachdb/pebble",
		code: only("store"), tests: only("store"),
		say: "ask the store for what is needed",
	}, {
		path: "github.com/syndtr/goleveldb",
		code: only("store/cimport"), tests: only("store/cimport"),
		say: "import with store/cimport: no other program is to carry goleveldb",
	}, {
		path: "github.com/urfave/cli",
		code: only("cmd"), tests: only("cmd"),
		say: "take plain parameters or a Config, and read the flags in cmd",
	}, {
		path: "charm.land/bubbletea",
		code: only("cmd"), tests: only("cmd"),
		say: "draw screens in cmd, from what the nodes tell",
	}, {
		path: "github.com/goccy/go-yaml",
		code: nowhere, tests: only("cmd"),
		say: "print YAML as cmd/dafka/terminal does, where strings stay strings",
	}, {
		// How many columns text takes on a terminal, and how many the terminal has; bubbletea brings both along.
		path: "github.com/charmbracelet/x",
		code: only("cmd"), tests: only("cmd"),
		say: "print tables in cmd",
	}, {
		path: "github.com/prometheus/client_golang",
		code: only("cmd", "interop/dafkametrics"), tests: only("cmd", "interop/dafkametrics"),
		say: "give Stats to what interop/dafkametrics is to show",
	}, {
		path: "github.com/google/go-cmp",
		code: nowhere, tests: anywhere,
		say: "compare by hand: go-cmp panics on what it does not understand, and is for tests",
	}, {
		path: "golang.org/x/sys",
		code: only("store", "cmd"), tests: nowhere,
		say: "use the standard library; the store needs renameat2, and cmd poll",
	},
}

// topLevel is what may lie at the top of the tree, beside what .gitignore names.
var topLevel = only(
	"go.mod", "go.sum",
	"zmqwire", "tower", "producer", "consumer", "store", "cmd", "interop", "docker",
	"Makefile", "README.md", "LICENSE",
	".ci", ".git", ".github", ".gitignore", ".dockerignore", "staticcheck.conf", ".editorconfig",
)

// badFolders are names that say nothing of what is inside, and so gather what has no home. A folder named internal may lie
// below a package, whose inner packages it keeps to the package; at the top it is not one of topLevel.
var badFolders = only("util", "common", "pkg")

func only(names ...string) []string { return names }

var (
	nowhere  = only()
	anywhere = slices.Sorted(maps.Keys(packages))
)

func TestImportRules(t *testing.T) {
	for _, fault := range treeFaults(os.DirFS("..")) {
		t.Error(fault)
	}
}

// treeFaults holds the tree at fsys against all rules and returns what breaks them, each with what to do about it.
func treeFaults(fsys fs.FS) []string {
	var faults []string
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }

	// A test that looks in the wrong place finds nothing wrong there.
	goMod, _ := fs.ReadFile(fsys, "go.mod")
	if !regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(module) + `$`).Match(goMod) {
		fault("go.mod does not name the module %s: set the constant module in interop/imports_test.go to its name", module)
	}

	// Git decides what belongs to the project, but reading its patterns is enough: .gitignore has only plain ones.
	ignore, _ := fs.ReadFile(fsys, ".gitignore")
	ignored := func(name string) bool {
		for line := range strings.Lines(string(ignore)) {
			pattern := strings.TrimSuffix(strings.TrimSpace(line), "/")
			if match, _ := path.Match(pattern, name); match && !strings.HasPrefix(line, "#") {
				return true
			}
		}
		return false
	}

	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case file == ".":
			return nil
		case entry.IsDir() && (name == ".git" || name == "testdata" || ignored(name)):
			return fs.SkipDir
		case ignored(name):
			return nil
		case !strings.Contains(file, "/") && !slices.Contains(topLevel, name):
			fault("%s: not one of the top-level entries; move it to the package it serves (or, if git is not to have it, name it in .gitignore)", file)
		case entry.IsDir() && slices.Contains(badFolders, name):
			fault("%s: no folder named %s; move each helper to the package it helps", file, name)
		}
		if entry.IsDir() || path.Ext(file) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		var imports []string
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imported)
		}
		faults = append(faults, importFaults(file, imports)...)
		return nil
	})
	if err != nil {
		fault("the tree cannot be read: %v", err)
	}
	return faults
}

// importFaults holds the imports of one file, named from the top of the tree, against packages and dependencies.
func importFaults(file string, imports []string) []string {
	var faults []string
	folder := topOf(file)
	mayImport, known := packages[folder]
	if !known {
		return []string{fmt.Sprintf("%s: Go code lives in %s; move it there", file, strings.Join(anywhere, ", "))}
	}
	for _, imported := range imports {
		if say := importFault(file, folder, mayImport, imported); say != "" {
			faults = append(faults, fmt.Sprintf("%s imports %q: %s", file, imported, say))
		}
	}
	return faults
}

// importFault returns what is wrong with one import of a file in folder, or nothing.
func importFault(file, folder string, mayImport []string, imported string) string {
	if imported == module || strings.HasPrefix(imported, module+"/") {
		whole := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
		ours, room := topOf(whole), path.Dir(file)
		if inside, walled := walls[room]; walled && ours == folder && whole != room {
			if strings.HasSuffix(file, "_test.go") {
				inside = slices.Concat(inside, testWalls[room], forTests)
			}
			if slices.Contains(inside, whole) {
				return ""
			}
			return fmt.Sprintf("of the packages in %s, %s may import only %s; move what both need there", folder, room,
				strings.Join(append(only("itself"), inside...), ", "))
		}
		if ours == folder || slices.Contains(mayImport, ours) || slices.Contains(mayImport, whole) {
			return ""
		}
		if len(mayImport) == 0 {
			return fmt.Sprintf("%s may import no package of ours; move what both need into %s", folder, folder)
		}
		return fmt.Sprintf("of ours, %s may import only %s; move what both need into one of these, or take it as a parameter",
			folder, strings.Join(mayImport, ", "))
	}
	for _, dependency := range dependencies {
		if imported != dependency.path && !strings.HasPrefix(imported, dependency.path+"/") {
			continue
		}
		allowed, kind := dependency.code, "code"
		if strings.HasSuffix(file, "_test.go") || slices.Contains(forTests, path.Dir(file)) {
			allowed, kind = dependency.tests, "tests"
		}
		switch {
		case slices.Contains(allowed, folder), slices.Contains(allowed, path.Dir(file)):
			return ""
		case len(allowed) == 0:
			return fmt.Sprintf("no %s may; %s", kind, dependency.say)
		default:
			return fmt.Sprintf("only %s in %s may; %s", kind, strings.Join(allowed, ", "), dependency.say)
		}
	}
	// Only the standard library has no dot in the first element of its paths.
	if strings.Contains(topOf(imported), ".") {
		return "not one of the project's dependencies; do without it, or give it a row in interop/imports_test.go and the reason in the commit"
	}
	return ""
}

// topOf returns the first element of a slash-separated path.
func topOf(name string) string {
	top, _, _ := strings.Cut(name, "/")
	return top
}

// TestImportRulesBite proves each rule of packages and dependencies on files that keep it and files that break it.
func TestImportRulesBite(t *testing.T) {
	const (
		zmqwire  = module + "/zmqwire"
		tower    = module + "/tower"
		producer = module + "/producer"
		consumer = module + "/consumer"
		store    = module + "/store"
		partdb   = store + "/internal/partdb"
		salvage  = store + "/internal/salvage"
		admin    = store + "/admin"
		cimport  = store + "/cimport"
		program  = module + "/cmd/dafka"
		interop  = module + "/interop"

		storetest = store + "/internal/storetest"

		zmq4   = "github.com/pebbe/zmq4"
		pebble = "github.com/cockroachdb/pebble/v2"
		vfs    = "github.com/cockroachdb/pebble/v2/vfs"
		level  = "github.com/syndtr/goleveldb/leveldb"
		cli    = "github.com/urfave/cli/v2"
		gocmp  = "github.com/google/go-cmp/cmp"
		prom   = "github.com/prometheus/client_golang/prometheus"
		sys    = "golang.org/x/sys/unix"
		other  = "golang.org/x/text/width"
	)
	list := func(imports ...string) []string { return imports }
	for _, test := range []struct {
		file string
		keep []string // imports that keep the rules
		bite []string // imports that break them, each
	}{
		{"zmqwire/a.go", list("fmt", "encoding/binary"),
			list("C", zmq4, zmqwire+"/zsock", zmqwire+"/flow", module, tower, producer, consumer, store, program, interop, pebble, cli, gocmp, other)},
		{"zmqwire/a_test.go", list("testing", zmq4, gocmp, zmqwire),
			list("C", tower, producer, consumer, store, pebble, cli, other)},
		{"zmqwire/zsock/a.go", list("C", zmq4, zmqwire), list(zmqwire+"/flow", zmqwire+"/wiretest", tower, gocmp)},
		{"zmqwire/zsock/a_test.go", list(zmqwire+"/wiretest", zmq4, gocmp), list("C", zmqwire+"/flow", tower)},
		{"zmqwire/flow/a.go", list(zmqwire, zmqwire+"/zsock"), list("C", zmq4, zmqwire+"/wiretest", tower)},
		{"tower/a.go", list(zmqwire, zmqwire+"/zsock", zmqwire+"/flow", "net"),
			list("C", zmq4, producer, consumer, store, program, interop, pebble, cli, prom, gocmp, sys, other)},
		{"tower/rawtest/a.go", list(zmqwire, zmqwire+"/wiretest", zmq4, gocmp), list("C", tower, tower+"/node", pebble)},
		{"tower/b.go", nil, list(tower+"/node", tower+"/survey", tower+"/towertest")},
		{"tower/node/a.go", list(tower, zmqwire, zmqwire+"/zsock"), list(tower+"/survey", tower+"/towertest", producer)},
		{"tower/survey/a.go", list(tower, tower+"/node", zmqwire), list(tower+"/towertest", producer)},
		{"tower/a_test.go", list(zmqwire, tower, zmq4, gocmp),
			list("C", producer, consumer, store, pebble, cli, other)},
		{"producer/a.go", list(tower, zmqwire, "context"),
			list("C", consumer, store, program, interop, zmq4, pebble, cli, gocmp, other)},
		{"producer/a_test.go", list(tower, zmqwire, zmq4, gocmp),
			list("C", consumer, store, pebble, cli, other)},
		{"consumer/a.go", list(tower, zmqwire, "iter"),
			list("C", producer, store, program, interop, zmq4, pebble, cli, gocmp, other)},
		{"consumer/a_test.go", list(tower, zmqwire, zmq4, gocmp),
			list("C", producer, store, pebble, cli, other)},
		{"store/a.go", list(tower, zmqwire, pebble, vfs, sys, partdb, salvage),
			list("C", producer, consumer, program, interop, zmq4, cli, prom, gocmp, other, level, admin, cimport, storetest)},
		{"store/a_test.go", list(tower, zmqwire, zmq4, pebble, vfs, gocmp, partdb, salvage, admin, storetest),
			list("C", producer, consumer, cli, sys, other, level, cimport)},
		{"store/admin/a.go", list(zmqwire, pebble, sys, partdb, salvage), list(store, cimport, storetest, level)},
		{"store/admin/a_test.go", list(partdb, salvage, storetest, gocmp), list(store, cimport, level)},
		{"store/cimport/a.go", list(zmqwire, vfs, level, partdb, admin), list(store, salvage, storetest)},
		{"store/cimport/a_test.go", list(level, partdb, admin, storetest, gocmp), list(store, salvage)},
		{"store/internal/salvage/a.go", list(zmqwire, pebble, partdb), list(store, admin, cimport, storetest, level)},
		{"store/internal/partdb/a.go", list(zmqwire, pebble, vfs), list(store, salvage, admin, cimport, storetest, level)},
		{"cmd/dafka/a.go", list(producer, consumer, store, admin, cimport, tower, zmqwire, cli, prom, program+"/command"),
			list("C", interop, zmq4, pebble, vfs, level, gocmp, other)},
		{"cmd/dafka/c.go", list(program+"/cnames", program+"/terminal"), list(program+"/recordio", program+"/bench", program+"/serve")},
		{"cmd/dafka/command/a.go", list(program+"/bench", program+"/cnames", program+"/serve", program+"/recordio", store, cli),
			list(program, zmq4, pebble)},
		{"cmd/dafka/bench/a.go", list(program+"/settings", program+"/terminal", tower), list(program+"/command", program+"/cnames")},
		{"cmd/dafka/cnames/a.go", list(program+"/serve", program+"/recordio"), list(program+"/command", program+"/bench")},
		{"cmd/dafka/serve/a.go", list(program+"/settings", interop+"/dafkametrics"), list(program+"/command", program+"/recordio")},
		{"cmd/dafka/recordio/a.go", list(program+"/terminal", consumer), list(program+"/settings", program+"/serve")},
		{"cmd/dafka/settings/a.go", list(program+"/terminal", tower), list(program+"/command", program+"/recordio")},
		{"cmd/dafka/terminal/a.go", list("log/slog"), list(program, program+"/settings", program+"/recordio")},
		{"cmd/dafka/terminal/a_test.go", list(gocmp), list(program + "/settings")},
		{"cmd/dafka/b.go", list(interop + "/dafkametrics"), list(interop + "/demo")},
		{"interop/dafkametrics/a.go", list(producer, consumer, store, tower, zmqwire, prom), list("C", program, zmq4, pebble, cli, gocmp, other)},
		{"cmd/dafka/a_test.go", list(producer, consumer, store, cli, prom, zmq4, gocmp),
			list("C", interop, pebble, other)},
		{"interop/demo/a.go", list(producer, consumer, store, tower, zmqwire, interop),
			list("C", program, zmq4, pebble, cli, gocmp, other)},
		{"interop/a_test.go", list(producer, consumer, store, tower, zmqwire, zmq4, gocmp),
			list("C", program, pebble, cli, prom, other)},

		// Names that only begin alike are other things.
		{"producer/b.go", nil, list(module+"/zmqwire2", zmq4+"x", "github.com/godafka/dafka2")},
		{"store/b.go", nil, list("github.com/cockroachdb/pebblez")},
	} {
		if got := importFaults(test.file, test.keep); len(got) > 0 {
			t.Errorf("%s with imports that keep the rules: %s", test.file, strings.Join(got, "\n"))
		}
		for _, imported := range test.bite {
			if got := importFaults(test.file, []string{imported}); len(got) != 1 {
				t.Errorf("%s with import %q: %d faults, want 1", test.file, imported, len(got))
			}
		}
	}
}

// TestTreeRulesBite proves the rules on names, and that an import is found wherever Go would find it.
func TestTreeRulesBite(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string // on top of a good tree
		want  []string          // how each fault begins
	}{
		{name: "a good tree"},
		{name: "what git ignores",
			files: map[string]string{"bin/dafka": "", "cpu.prof": "", ".idea/util/a.go": "no Go"}},
		{name: "testdata is no code",
			files: map[string]string{"store/testdata/common/a.go": "no Go"}},
		{name: "entries at the top",
			files: map[string]string{"main.go": "package dafka", "docs/a.md": "", "notes.txt": "", "output": ""},
			want:  []string{"docs: not one", "main.go: not one", "main.go: Go code lives in", "notes.txt: not one", "output: not one"}},
		{name: "folders that say nothing",
			files: map[string]string{
				"store/internal/a.txt": "", "cmd/dafka/util/a.txt": "", "docker/common/a.txt": "", "tower/pkg/a.txt": ""},
			want: []string{"cmd/dafka/util: no folder", "docker/common: no folder", "tower/pkg: no folder"}},
		{name: "imports, grouped, named, for another system, in a test, deep down",
			files: map[string]string{
				"producer/a.go":         "package producer\nimport (\n\t_ \"fmt\"\n\tq `github.com/pebbe/zmq4`\n)",
				"consumer/a_windows.go": "//go:build never\n\npackage consumer\n// #include <zmq.h>\nimport \"C\"",
				"store/a_test.go":       "package store_test\nimport . \"github.com/godafka/dafka/producer\"",
				"cmd/dafka/deep/a.go":   "package deep\nimport _ \"github.com/cockroachdb/pebble/v2\"",
			},
			want: []string{
				`cmd/dafka/deep/a.go imports "github.com/cockroachdb/pebble/v2": only code in store may`,
				`consumer/a_windows.go imports "C": only code in zmqwire/zsock may`,
				`producer/a.go imports "github.com/pebbe/zmq4": only code in zmqwire/zsock may`,
				`store/a_test.go imports "github.com/godafka/dafka/producer": of ours, store may import only tower, zmqwire`,
			}},
		{name: "another module",
			files: map[string]string{"go.mod": "module github.com/godafka/dafka/v2\n"},
			want:  []string{"go.mod does not name"}},
		{name: "a file that is no Go",
			files: map[string]string{"tower/a.go": "pakcage tower"},
			want:  []string{"the tree cannot be read"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for file, text := range map[string]string{
				"go.mod":            "module " + module + "\n",
				".gitignore":        "# Build output\nbin/\n*.prof\n.idea/\n",
				".git/common/a.go":  "not looked at",
				"cmd/dafka/main.go": "package main\nimport _ \"" + module + "/tower\"",
			} {
				tree[file] = &fstest.MapFile{Data: []byte(text)}
			}
			for file, text := range test.files {
				tree[file] = &fstest.MapFile{Data: []byte(text)}
			}
			got := treeFaults(tree)
			for i := range min(len(got), len(test.want)) {
				if strings.HasPrefix(got[i], test.want[i]) {
					got[i] = test.want[i]
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
