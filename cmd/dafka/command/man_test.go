package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// TestManPages reads the pages as man shows them: each has all flags, and its example to copy.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	five := t.TempDir()
	for _, folders := range [][]string{{dir}, {dir, five}} {
		if err := New().Run(append([]string{"dafka", "man"}, folders...)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := len(manPages()); len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("there is no groff to show the pages")
	}
	read := func(file string) string {
		c := exec.Command(groff, "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=300n", file)
		c.Env = append(os.Environ(), "LC_ALL=C")
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v, groff says %q", file, err, stderr.String())
		}
		return strings.Join(strings.Fields(stdout.String()), " ")
	}
	shown := read(filepath.Join(five, "dafka.cfg.5"))
	for _, s := range settings.All {
		if s.Means == "" || !strings.Contains(shown, s.Key+", "+s.Variable()+" "+s.Means+" Default: ") {
			t.Errorf("dafka.cfg(5) does not show %s with its variable and its meaning:\n%s", s.Key, shown)
		}
	}
	shown = read(filepath.Join(dir, "dafka.1"))
	for _, want := range []string{"EXIT STATUS", "ENVIRONMENT", "DAFKA_TOWER", "FILES", "dafka.cfg(5)"} {
		if !strings.Contains(shown, want) {
			t.Errorf("dafka(1) does not show %q", want)
		}
	}
	var help bytes.Buffer
	app := New()
	app.Writer = &help
	if err := app.Run([]string{"dafka", "--help"}); err != nil {
		t.Fatal(err)
	}
	for _, e := range terminal.ExitStatuses {
		if !strings.Contains(shown, e.Status+" "+e.Means+".") || !strings.Contains(help.String(), e.Means+"\n") {
			t.Errorf("exit status %s is not in dafka(1), or not in the help", e.Status)
		}
	}
	for _, page := range manPages() {
		shown := read(filepath.Join(dir, page.name+".1"))
		wants := []string{page.name + " - " + page.usage, page.synopsis}
		for paragraph := range strings.SplitSeq(page.description, "\n\n") {
			wants = append(wants, strings.TrimPrefix(paragraph, "Example: "))
		}
		for _, f := range page.flags {
			wants = append(wants, f.String())
		}
		for _, want := range wants {
			if want := strings.Join(strings.Fields(want), " "); !strings.Contains(shown, want) {
				t.Errorf("%s does not show %q:\n%s", page.name, want, shown)
			}
		}
	}
}
