package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestCompletion asks the shells themselves, those that are installed.
func TestCompletion(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	dev := start(t, "program", "dev", "--db", filepath.Join(bin, "db"), "--pub", "tcp://127.0.0.1:*", "--sub", "tcp://127.0.0.1:*")
	dev.says("nodes join with ")
	_, join, _ := strings.Cut(dev.seen[len(dev.seen)-1], "nodes join with ")
	for _, topic := range []string{"apples", "pears"} {
		if got := runProgram(t, "a record\n", append([]string{"produce", topic, "--address", "127.0.0.1"}, strings.Fields(join)...)...); got.Status != 0 {
			t.Fatalf("%+v", got)
		}
	}
	for _, name := range []string{"dafka", "dafka_console_consumer"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for shell, script := range map[string]string{
		"bash": `source install/dafka.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dafka; printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `compadd() { print -l -- ${(M)found:#${words[CURRENT]}*} }; _files() { }
			words=("$@"); CURRENT=$#; _dafka() { source install/dafka.zsh }; _dafka`,
		"fish": `source install/dafka.fish; complete -C "$argv" | string match -v -- '*.*'`,
	} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("there is no %s", shell)
			continue
		}
		for _, test := range []struct {
			line string // the word to complete is behind the last space
			want []string
		}{
			{"dafka con", []string{"config", "consume"}},
			{"dafka wire ", []string{"decode", "encode"}},
			{"dafka consume hello --f", []string{"--format", "--from-beginning"}},
			{"dafka consume --pub tcp: hello --v", []string{"--verbose"}},
			{"dafka tower --", []string{"--help", "--http", "--log-format", "--log-level", "--pub", "--strict-config", "--sub", "--verbose"}},
			{"dafka consume -- --f", nil},
			{"dafka consume hello --format ", []string{"c", "hex", "json", "length", "raw", "text"}},
			{"dafka consume hello --format j", []string{"json"}},
			{"dafka topics --format y", []string{"yaml"}},
			{"dafka consume hello --log-level ", []string{"debug", "error", "info", "warn"}},
			{"dafka tower --log-format ", []string{"json", "text"}},
			{"dafka sniff --kind direct", []string{"direct-head", "direct-record"}},
			{"dafka store --limit peer", []string{"peer_bytes=", "peers="}},
			{"dafka consume " + join + " apples p", []string{"pears"}},
			{"dafka sniff " + join + " --topic p", []string{"pears"}},
			{"dafka_console_consumer hello --f", []string{"--from-beginning"}},
		} {
			words := strings.Split(test.line, " ")
			args := slices.Concat(map[string][]string{
				"bash": {"--norc", "-c", script, "bash"}, "zsh": {"-f", "-c", script, "zsh"}, "fish": {"-N", "-c", script},
			}[shell], words)
			var got []string
			// On a machine with other work, topics may come later than a shell waits for them.
			for again := 0; again == 0 || again < 20 && len(got) < len(test.want) && strings.Contains(test.line, join); again++ {
				c := exec.Command(path, args...)
				c.Env = append(os.Environ(), actAs+"=program", "PATH="+bin+":"+os.Getenv("PATH"))
				out, err := c.Output()
				if len(test.want) > 0 && err != nil {
					t.Errorf("%s, %q: %v", shell, test.line, err)
				}
				got = strings.Fields(string(out))
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %q (-want +got):\n%s", shell, test.line, diff)
			}
		}
	}
}
