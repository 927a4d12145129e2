package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The program goes by two sets of names: its own, and those of the C programs.

// cNames are the programs of C Dafka.
var cNames = []string{
	"dafka_console_consumer", "dafka_console_producer", "dafka_perf_consumer", "dafka_perf_store", "dafka_stored", "dafka_towerd",
}

// TestCUserScript runs a C user's script with both.
func TestCUserScript(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, name := range append(cNames, "dafka") {
		if err := os.Symlink(program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("testdata/c-user.sh")
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, variables ...string) (dir string) {
		t.Helper()
		dir = t.TempDir()
		// Its ports are known to be free: a tower had them.
		tw, c := startTower(t)
		tw.end(syscall.SIGTERM, 0)
		config := fmt.Sprintf(`# The configuration of a C user
tower
    pub_address = %[1]s
    sub_address = %[2]s
beacon
    pub_address = "%[1]s"
    sub_address = '%[2]s'
    address = 127.0.0.1     # no other machine
    interval = 200
    bind = 127.0.0.1
producer
    head_interval = 200
`, c.pub[0], c.sub[0])
		if err := os.WriteFile(filepath.Join(dir, "dafka.cfg"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), script)
		cmd.Dir = dir
		cmd.Env = slices.Concat(os.Environ(), []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, variables)
		cmd.WaitDelay = time.Second
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
			for _, log := range logs {
				fmt.Fprintf(&said, "== %s\n%s", filepath.Base(log), abridged(textOf(t, log)))
			}
			t.Fatalf("%v:\n%s", err, said.String())
		}
		want := strings.Split(textOf(t, filepath.Join(dir, "records")), "\n")
		for _, file := range []string{"live", "replayed"} {
			var got []string
			partition := ""
			for line := range strings.Lines(textOf(t, filepath.Join(dir, file))) {
				parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
				if len(parts) != 3 || parts[0] != "hello" || partition != "" && parts[1] != partition {
					t.Fatalf("%s: line %q", file, line)
				}
				partition = parts[1]
				got = append(got, parts[2])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-published +consumed):\n%s", file, abridged(diff))
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "storedb")); err != nil {
			t.Error(err)
		}
		return dir
	}

	t.Run("our names", func(t *testing.T) {
		t.Parallel()
		run(t, "TOWERD=dafka tower", "STORED=dafka store", "PRODUCER=dafka produce", "CONSUMER=dafka consume --format c")
	})
	t.Run("C names", func(t *testing.T) {
		t.Parallel()
		dir := run(t, "TOWERD=dafka_towerd", "STORED=dafka_stored", "PRODUCER=dafka_console_producer",
			"CONSUMER=dafka_console_consumer", "PERF_STORE=dafka_perf_store", "PERF_CONSUMER=dafka_perf_consumer")
		for file, lines := range map[string][]string{
			"tower.log": {`^I: TIME Tower: tower is running\.\.\.$`, `^I: TIME Tower: tower stopped$`},
			"store.log": {`^I: TIME Store: running\.\.\.$`, `^I: TIME Store Writer Beacon: connected to tower$`,
				`^I: TIME Store: Acked hello [0-9A-F]{32} 1001$`, `^I: TIME Store: stopped$`},
			"perf_store.log": {`^Done publishing$`, `^message size: 100 \[B\]$`, `^message count: 20000$`,
				`^mean throughput: \d+ \[msg/s\]$`, `^mean throughput: \d+\.\d{3} \[Mb/s\]$`},
			"perf_consumer.log": {`^I: TIME Consumer: running\.\.\.$`, `^Received first$`, `^message size: 100 \[B\]$`,
				`^message count: 20000$`, `^mean throughput: \d+ \[msg/s\]$`, `^mean throughput: \d+\.\d{3} \[Mb/s\]$`},
		} {
			text := textOf(t, filepath.Join(dir, file))
			for _, line := range lines {
				line = strings.Replace(line, "TIME", `\d\d-\d\d-\d\d \d\d:\d\d:\d\d`, 1)
				if !regexp.MustCompile("(?m)" + line).MatchString(text) {
					t.Errorf("%s has no line %s:\n%s", file, line, abridged(text))
				}
			}
		}
		for _, file := range []string{"producer.log", "quiet_tower.log", "quiet_store.log"} {
			if text := textOf(t, filepath.Join(dir, file)); text != "" {
				t.Errorf("%s: %q, want nothing", file, text)
			}
		}
	})
}

// textOf is a file's text.
func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
