package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/cnames"
	"github.com/godafka/dafka/cmd/dafka/command"
)

// commandNamed prepares the program as one that is called so.
func commandNamed(t *testing.T, line ...string) *exec.Cmd {
	t.Helper()
	c := commandLine(t, "program", line[1:]...)
	c.Args[0] = "/usr/bin/" + line[0]
	return c
}

// runNamed runs it.
func runNamed(t *testing.T, stdin string, line ...string) result {
	t.Helper()
	c := commandNamed(t, line...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestCUsage compares with what the C programs print.
func TestCUsage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"dafka_towerd":           "[-c config] [--pub tower-pub-address] [--sub tower-sub-address] [--verbose]",
		"dafka_stored":           "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address]",
		"dafka_console_producer": "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address] topic",
		"dafka_console_consumer": "topic [--verbose] [--from-beginning] [-c config] [--pub tower-pub-address] [--sub tower-sub-address]",
		"dafka_perf_store":       "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address] count size",
		"dafka_perf_consumer":    "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address] count size",
	} {
		if diff := cmp.Diff(result{Stdout: "Usage: " + name + " " + want + "\n"}, runNamed(t, "", name, "a", "--help", "--nope")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCProgramExitStatus(t *testing.T) {
	t.Parallel()
	file := configFile(t, "beacon\n   interval = 1\n")
	for _, test := range []struct {
		line   string
		status int
		says   string
	}{
		{"dafka_towerd word", 2, `unexpected argument "word"`},
		{"dafka_towerd --from-beginning", 2, "unknown flag --from-beginning"},
		{"dafka_towerd --pub tcp://a:1,tcp://b:1", 2, "--pub: "},
		{"dafka_towerd --pub tcp://192.0.2.1:5000", 1, "tower cannot bind"},
		{"dafka_stored word", 2, `unexpected argument "word"`},
		{"dafka_stored --verbose 1", 2, `unexpected argument "1"`},
		{"dafka_stored --version", 2, "unknown flag --version"},
		{"dafka_stored -c " + file, 2, file + ":2: indented by 3 spaces"},
		{"dafka_stored -c no/such/file", 2, "no/such/file: no such file"},
		{"dafka_stored -c", 2, "flag -c needs a value"},
		{"dafka_console_producer", 2, "topic is missing"},
		{"dafka_console_producer topic file", 2, `unexpected argument "file"`},
		{"dafka_console_producer --pub=127.0.0.1:1 topic", 2, "--pub: malformed endpoint"},
		{"dafka_console_consumer", 2, "topic is missing"},
		{"dafka_console_consumer --from-beginning topic other", 2, `unexpected argument "other"`},
		{"dafka_perf_store 1", 2, "size is missing"},
		{"dafka_perf_store 0 1", 2, `count "0": want a number`},
		{"dafka_perf_store 1 x", 2, `size "x": want a number`},
		{"dafka_perf_consumer 1 -1", 2, "unknown flag -1"},
		{"dafka_perf_consumer many 1", 2, `count "many": want a number`},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			line := strings.Fields(test.line)
			got := runNamed(t, "", line...)
			if got.Status != test.status || got.Stdout != "" {
				t.Errorf("exit status %d, stdout %q; want %d and nothing", got.Status, got.Stdout, test.status)
			}
			if !strings.HasPrefix(got.Stderr, line[0]+": error: ") || !strings.Contains(got.Stderr, test.says) {
				t.Errorf("stderr %q, want an error with %q", got.Stderr, test.says)
			}
			if usage := strings.Contains(got.Stderr, "\nUsage: "+line[0]+" "); usage != (test.status == 2) {
				t.Errorf("stderr %q: the usage belongs to status 2 only", got.Stderr)
			}
		})
	}
}

// C programs without a tower need kill -9.
func TestCSignal(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"dafka_stored", "dafka_console_producer topic", "dafka_console_consumer topic", "dafka_perf_store 1000 10", "dafka_perf_consumer 10 10",
	} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(line+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				c := commandNamed(t, append(strings.Fields(line), noTower...)...)
				c.Dir = t.TempDir() // of storedb
				s := startCommand(t, c)
				s.says("waiting for tower at tcp://127.0.0.1:1")
				s.signal(signal)
				want := 0
				if strings.HasPrefix(line, "dafka_perf_store") {
					want = 1 // no store has its records
				}
				if status := s.endsSoon(); status != want {
					t.Errorf("exit status %d, want %d; stderr %q", status, want, s.seen)
				}
			})
		}
	}
}

// Words of ours are no words of the C programs.
func TestCTopics(t *testing.T) {
	for _, topic := range []string{"help", "consume", "version"} {
		got, err := command.FlagsFirst(cnames.Named("./dafka_console_producer"), []string{"./dafka_console_producer", topic, "--verbose"})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"dafka_console_producer", "--verbose", "--", topic}, got); diff != "" {
			t.Errorf("arguments (-want +got):\n%s", diff)
		}
	}
}
