package interop

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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

// A clock that is set, by an hour or a day, changes nothing: all that decides goes by times of time.Now, which carry a
// monotonic reading, and by the differences between them. What loses that reading, or never had it, is refused here.
//
// The rule goes by names alone, as Go code without its types has nothing else, and so refuses a little more than it
// must: for that, and for what people are to read, there is wallClockAllowed.

// wallClockFuncs are the functions of package time that make a time without a monotonic reading.
var wallClockFuncs = only("Date", "Parse", "ParseInLocation", "Unix", "UnixMicro", "UnixMilli")

// wallClockMethods are the methods that read the wall clock out of a time, drop its monotonic reading, or give a time
// of somebody else's clock.
var wallClockMethods = only(
	"AppendFormat", "Clock", "Date", "Day", "Format", "Hour", "In", "ISOWeek", "Local", "MarshalBinary", "MarshalJSON",
	"MarshalText", "Minute", "ModTime", "Month", "Nanosecond", "Round", "Second", "Truncate", "UTC", "Unix", "UnixMicro",
	"UnixMilli", "UnixNano", "UnmarshalBinary", "UnmarshalJSON", "UnmarshalText", "Weekday", "Year", "YearDay",
)

// wallClockOfC is what reads the wall clock in C, or waits by it.
var wallClockOfC = regexp.MustCompile(
	`\b(time|gettimeofday|ftime|timespec_get|pthread_cond_timedwait|sem_timedwait)\s*\(|\bCLOCK_REALTIME\w*|\bTIME_UTC\b`)

// wallClockAllowed is where nothing is decided.
var wallClockAllowed = []struct{ file, name, why string }{
	{"cmd/dafka/cnames/log.go", "Format", "people read when a line was logged"},
	{"cmd/dafka/command/sniff.go", "Format", "people read when a message came"},
	{"cmd/dafka/command/rows.go", "Round", "of a duration, for people"},
	{"cmd/dafka/command/inspect.go", "Format", "people read when a partition began"},
	{"cmd/dafka/command/inspect.go", "Local", "people read when a partition began"},
	{"consumer/ending.go", "Round", "of a duration, for people"},
	{"zmqwire/name.go", "UnixMilli", "addresses sort by the time they were made, as far as the clock goes; nothing is decided by it"},
	{"zmqwire/name.go", "time.UnixMilli", "people read when a partition began"},
	{"zmqwire/name.go", "UTC", "people read when a partition began"},
	{"zmqwire/name.go", "Year", "people read when a partition began"},
	{"cmd/dafka/bench/worker.go", "UnixNano", "the latency between two processes, which share no other clock"},
}

func TestClockRule(t *testing.T) {
	faults, used := clockFaults(os.DirFS(".."))
	for _, fault := range faults {
		t.Error(fault)
	}
	for _, allowed := range wallClockAllowed {
		if !used[allowed.file+" "+allowed.name] {
			t.Errorf("%s does not use %s any more: remove its row", allowed.file, allowed.name)
		}
	}
}

// clockFaults holds the code at fsys, tests apart, against the rule. It returns what breaks it, and what is allowed to.
func clockFaults(fsys fs.FS) (faults []string, used map[string]bool) {
	used = make(map[string]bool)
	check := func(file string, line int, name string) {
		for _, allowed := range wallClockAllowed {
			if allowed.file == file && allowed.name == name {
				used[file+" "+name] = true
				return
			}
		}
		faults = append(faults, fmt.Sprintf("%s:%d: %s is of the wall clock: decide by time.Now, Sub, Add, Before and After", file, line, name))
	}
	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		switch path.Ext(file) {
		case ".c", ".h":
			src, err := fs.ReadFile(fsys, file)
			if err != nil {
				return err
			}
			checkC(file, string(src), 1, check)
		case ".go":
			src, err := fs.ReadFile(fsys, file)
			if err != nil {
				return err
			}
			return checkGo(file, src, check)
		}
		return nil
	})
	if err != nil {
		faults = append(faults, fmt.Sprintf("the tree cannot be read: %v", err))
	}
	return faults, used
}

var commentOfC = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)

func checkC(file, src string, line int, check func(file string, line int, name string)) {
	// Lines keep their numbers.
	src = commentOfC.ReplaceAllStringFunc(src, func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) })
	for _, at := range wallClockOfC.FindAllStringIndex(src, -1) {
		check(file, line+strings.Count(src[:at[0]], "\n"), strings.TrimRight(src[at[0]:at[1]], "( \t\n"))
	}
}

func checkGo(file string, src []byte, check func(file string, line int, name string)) error {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, src, parser.ParseComments)
	if err != nil {
		return err
	}
	packages := make(map[string]string) // by the names they have in this file
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = imported
		if imported == "time" && name == "." {
			check(file, set.Position(spec.Pos()).Line, "import . \"time\"")
		}
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.GenDecl:
			// The C in front of import "C".
			if len(node.Specs) == 1 && node.Doc != nil {
				if spec, ok := node.Specs[0].(*ast.ImportSpec); ok && spec.Path.Value == `"C"` {
					checkC(file, node.Doc.Text(), set.Position(node.Doc.Pos()).Line, check)
				}
			}
		case *ast.SelectorExpr:
			name := node.Sel.Name
			line := set.Position(node.Sel.Pos()).Line
			if x, ok := node.X.(*ast.Ident); ok && packages[x.Name] != "" {
				imported := packages[x.Name]
				if imported == "time" && slices.Contains(wallClockFuncs, name) ||
					imported == "C" && wallClockOfC.MatchString(name+"(") || name == "Gettimeofday" || name == "ClockGettime" {
					check(file, line, x.Name+"."+name)
				}
				return true
			}
			if slices.Contains(wallClockMethods, name) {
				check(file, line, name)
			}
		}
		return true
	})
	return nil
}

// TestClockRuleBites proves the rule on code that keeps it and code that breaks it.
func TestClockRuleBites(t *testing.T) {
	for _, test := range []struct {
		file, code string
		want       string // what is found; nothing in code that keeps the rule
	}{
		{"tower/a.go", `now := time.Now(); _ = now.Sub(last) > time.Second && now.After(last.Add(time.Minute))`, ""},
		{"tower/a.go", `time.Sleep(time.Until(end)); _ = time.Since(begin).Seconds(); select { case <-time.After(time.Hour): }`, ""},
		{"tower/a.go", `_ = math.Round(1.5); _ = os.Truncate("a", 0)`, ""},
		{"tower/a_test.go", `_ = time.Now().Unix()`, ""},
		{"zmqwire/a.c", "/* time(0) */ // CLOCK_REALTIME\nint f(void) { return clock_gettime(CLOCK_MONOTONIC, &t) + runtime(0) + time_left; }", ""},
		{"cmd/dafka/command/sniff.go", `_ = time.Now().Format("15:04")`, ""},

		{"cmd/dafka/command/sniff.go", `_ = time.Now().Unix()`, "Unix"},
		{"cmd/dafka/command/top.go", `_ = time.Now().Format("15:04")`, "Format"},
		{"tower/a.go", `now := time.Now().Round(0)`, "Round"},
		{"tower/a.go", `now := time.Now().Truncate(time.Second)`, "Truncate"},
		{"tower/a.go", `now := time.Now().UTC()`, "UTC"},
		{"tower/a.go", `now := time.Now().In(place)`, "In"},
		{"tower/a.go", `now := time.Now().Local()`, "Local"},
		{"store/a.go", `if time.Now().Unix() > p.until {}`, "Unix"},
		{"store/a.go", `p.until = clock().UnixNano()`, "UnixNano"},
		{"store/a.go", `read := time.Time.UnixMilli; _ = read`, "UnixMilli"},
		{"store/a.go", `if now.Day() != p.day {}`, "Day"},
		{"store/a.go", `if info.ModTime().Before(now) {}`, "ModTime"},
		{"store/a.go", `at, _ := time.Parse(time.RFC3339, s)`, "time.Parse"},
		{"store/a.go", `at := time.Unix(s, 0)`, "time.Unix"},
		{"store/a.go", `at := time.Date(2026, 1, 1, 0, 0, 0, 0, nil)`, "time.Date"},
		{"store/a.go", `at := clock.UnixMilli(s)`, "clock.UnixMilli"},
		{"store/a.go", `syscall.Gettimeofday(&tv)`, "syscall.Gettimeofday"},
		{"zmqwire/a.go", `at := C.time(nil)`, "C.time"},
		{"zmqwire/a.c", "int f(void)\n{\n    return time(0);\n}", "time"},
		{"zmqwire/a.c", "void f(void) { gettimeofday (&tv, 0); }", "gettimeofday"},
		{"zmqwire/a.h", "#define NOW clock_gettime(CLOCK_REALTIME, &t)", "CLOCK_REALTIME"},
		{"zmqwire/a.c", "void f(void) { pthread_cond_timedwait(&c, &m, &t); }", "pthread_cond_timedwait"},
	} {
		src := test.code
		if path.Ext(test.file) == ".go" {
			src = "package a\n\nimport (\n\t\"C\"\n\t\"math\"\n\t\"os\"\n\t\"syscall\"\n\t\"time\"\n\tclock \"time\"\n)\n\nfunc f() {\n" + src + "\n}\n"
		}
		var want []string
		if test.want != "" {
			want = []string{test.want}
		}
		faults, _ := clockFaults(fstest.MapFS{test.file: &fstest.MapFile{Data: []byte(src)}})
		var got []string
		for _, fault := range faults {
			_, say, _ := strings.Cut(fault, ": ")
			name, _, _ := strings.Cut(say, " is of the wall clock")
			got = append(got, name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s: (-want +got)\n%s", test.file, test.code, diff)
		}
	}
	// And in the C in front of import "C".
	preamble := "package zmqwire\n\n// static long now(void) { return time(0); }\nimport \"C\"\n"
	faults, _ := clockFaults(fstest.MapFS{"zmqwire/a.go": &fstest.MapFile{Data: []byte(preamble)}})
	if len(faults) != 1 || !strings.HasPrefix(faults[0], "zmqwire/a.go:3: time is") {
		t.Errorf("in the C of a Go file: %q", faults)
	}
}
