package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestManPages reads the pages as man shows them: each has all flags, and its example to copy.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if diff := cmp.Diff(result{}, runProgram(t, "", "man", dir)); diff != "" {
		t.Fatalf("dafka man (-want +got):\n%s", diff)
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
	for _, page := range manPages() {
		c := exec.Command(groff, "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=300n", filepath.Join(dir, page.name+".1"))
		c.Env = append(os.Environ(), "LC_ALL=C")
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v, groff says %q", page.name, err, stderr.String())
		}
		shown := strings.Join(strings.Fields(stdout.String()), " ")
		wants := []string{page.name + " - " + page.usage, page.synopsis}
		for paragraph := range strings.SplitSeq(page.description, "\n\n") {
			wants = append(wants, strings.TrimPrefix(paragraph, "Example: "))
		}
		for _, f := range page.flags {
			wants = append(wants, f.String())
		}
		for _, want := range wants {
			if want := strings.Join(strings.Fields(want), " "); !strings.Contains(shown, want) {
				t.Errorf("%s does not show %q:\n%s", page.name, want, stdout.String())
			}
		}
	}
}
