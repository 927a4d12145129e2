package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/cnames"
	"github.com/godafka/dafka/cmd/dafka/command"
	"github.com/godafka/dafka/cmd/dafka/settings"
)

// Tests run the program as a process: the test binary is the program when it finds this variable.
const actAs = "DAFKA_TEST_ACT_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "":
		// Whoever runs the tests may have settings of his own.
		for _, s := range settings.All {
			os.Unsetenv(s.Variable())
		}
		os.Exit(m.Run())
	case "program":
		main()
	case "stuck": // a program that is told to end and does not
		ctx := endOnSignal("dafka")
		fmt.Fprintln(os.Stderr, "ready")
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "told to end")
		select {}
	}
}

// noTower is where no tower is.
var noTower = []string{"--pub", "tcp://127.0.0.1:1", "--sub", "tcp://127.0.0.1:1"}

// anyTower is where a tower of a test is: anywhere on loopback.
var anyTower = []string{"--pub", "tcp://127.0.0.1:*", "--sub", "tcp://127.0.0.1:*"}

// The bounds of the tests: how soon a signal ends the program, and how long anything is waited for.
const (
	soon   = 2 * time.Second
	atMost = 20 * time.Second
)

// commandLine prepares the program as a process.
func commandLine(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), actAs+"="+as)
	return c
}

// result is what is seen of a process that has ended.
type result struct {
	Status         int
	Stdout, Stderr string
}

func runProgram(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	c := commandLine(t, "program", args...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// started is a process under way.
type started struct {
	*exec.Cmd
	t      *testing.T
	stdin  io.WriteCloser
	stderr chan string // its lines; closed at its end
	seen   []string
}

func start(t *testing.T, as string, args ...string) *started {
	t.Helper()
	return startCommand(t, commandLine(t, as, args...))
}

func startCommand(t *testing.T, c *exec.Cmd) *started {
	t.Helper()
	s := &started{Cmd: c, t: t, stderr: make(chan string, 100)}
	var err error
	if s.stdin, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stderr, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill() })
	go func() {
		defer close(s.stderr)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.stderr <- lines.Text()
		}
	}()
	return s
}

// says waits for a line on stderr that holds text.
func (s *started) says(text string) {
	s.t.Helper()
	timeout := time.After(atMost)
	for {
		select {
		case line, ok := <-s.stderr:
			if !ok {
				s.t.Fatalf("it ended and never said %q, but %q", text, s.seen)
			}
			s.seen = append(s.seen, line)
			if strings.Contains(line, text) {
				return
			}
		case <-timeout:
			s.t.Fatalf("it did not say %q, but %q", text, s.seen)
		}
	}
}

func (s *started) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// endsSoon waits for the end and returns the exit status.
func (s *started) endsSoon() int {
	s.t.Helper()
	began := time.Now()
	for line := range s.stderr {
		s.seen = append(s.seen, line)
	}
	if err := s.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatal(err)
	}
	if took := time.Since(began); took > soon {
		s.t.Errorf("ended %v after the signal, want %v at most", took, soon)
	}
	return s.ProcessState.ExitCode()
}

func TestExitStatus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   string // on stderr; nothing when empty
	}{
		{"command with a slip", []string{"prodcue"}, 2, "did you mean produce?"},
		{"flag with a slip", []string{"consume", "topic", "--from-begining"}, 2, "did you mean --from-beginning?"},
		{"subcommand with a slip", []string{"store", "verfy"}, 2, "did you mean verify?"},
		{"negative count", []string{"consume", "topic", "-n", "-3"}, 2, `-n: invalid value "-3": want a whole number, 0 or more`},
		{"time without a unit", []string{"consume", "topic", "--skip-after", "30"}, 2,
			`--skip-after: invalid value "30": want a time with its unit, such as 500ms, 30s or 5m`},
		{"rate with a unit", []string{"produce", "topic", "--rate", "5x"}, 2, `--rate: invalid value "5x": want a number`},
		{"no command", nil, 2, "which command?"},
		{"unknown command", []string{"prodcue"}, 2, `unknown command "prodcue"`},
		{"group without a command", []string{"wire"}, 2, "One of decode, encode"},
		{"unknown command of a group", []string{"wire", "x"}, 2, `unknown command "x"`},
		{"unknown flag", []string{"produce", "topic", "--nope"}, 2, "unknown flag --nope"},
		{"unknown flag before any command", []string{"--nope"}, 2, "unknown flag --nope"},
		{"flag without value", []string{"consume", "topic", "--format"}, 2, "flag --format needs a value"},
		{"value for a boolean", []string{"consume", "topic", "--verbose=perhaps"}, 2, "invalid boolean value"},
		{"no topic", []string{"produce"}, 2, "TOPIC is missing"},
		{"no topic to consume", []string{"consume", "--verbose"}, 2, "TOPIC is missing"},
		{"empty topic", []string{"produce", ""}, 2, "TOPIC is empty"},
		{"topic too long", []string{"consume", strings.Repeat("t", 256)}, 2, "256 bytes"},
		{"surplus argument", []string{"produce", "topic", "file", "more"}, 2, `unexpected argument "more"`},
		{"surplus argument of a tower", []string{"tower", "more"}, 2, `unexpected argument "more"`},
		{"bad count", []string{"consume", "topic", "-n", "-1"}, 2, `invalid value "-1"`},
		{"no count", []string{"consume", "topic", "-n", "0"}, 2, "want 1 or more"},
		{"bad format", []string{"consume", "topic", "--format", "xml"}, 2, "want c, hex, json, length, raw, text"},
		{"template and format", []string{"consume", "topic", "-f", "%c", "--format", "json"}, 2, "want one of them"},
		{"bad template", []string{"consume", "topic", "-f", "%q"}, 2, "-f: %q"},
		{"bad start", []string{"consume", "topic", "-o", "middle"}, 2, `-o: "middle"`},
		{"two starts", []string{"consume", "topic", "-o", "-3", "--from-beginning"}, 2, "want one of them"},
		{"empty partition", []string{"consume", "topic", "--partition", ""}, 2, "--partition is empty"},
		{"bad kind", []string{"sniff", "--kind", "head,heads"}, 2, `unknown kind "heads"`},
		{"bad format of a table", []string{"topics", "--format", "xml"}, 2, "want text, json or yaml"},
		{"empty topic to list", []string{"partitions", ""}, 2, "TOPIC is empty"},
		{"surplus argument of a table", []string{"stores", "topic"}, 2, `unexpected argument "topic"`},
		{"top without a terminal", append([]string{"top"}, noTower...), 1, "top needs a terminal"},
		{"bad delimiter", []string{"produce", "topic", "--delimiter", `\q`}, 2, "--delimiter"},
		{"empty delimiter", []string{"produce", "topic", "--delimiter", ""}, 2, "--delimiter"},
		{"delimiter of a whole", []string{"produce", "topic", "--delimiter", "|", "--whole"}, 2, "not --whole"},
		{"bad format of the input", []string{"produce", "topic", "--format", "hex"}, 2, "want json, length, text"},
		{"a whole of lengths", []string{"produce", "topic", "--format", "length", "--whole"}, 2, "want no --delimiter and no --whole"},
		{"endless configuration", []string{"produce", "topic", "-c", "/dev/zero"}, 2, "/dev/zero is larger than 1048576 bytes"},
		{"no rate", []string{"produce", "topic", "--rate", "0"}, 2, "more than 0"},
		{"no timeout", []string{"produce", "topic", "--timeout", "0s"}, 2, "more than 0"},
		{"bad tower", []string{"consume", "topic", "--pub", "127.0.0.1:5557"}, 2, "--pub: malformed endpoint"},
		{"bad tower in a list", []string{"store", "--db", "x", "--sub", "tcp://a:1,tcp://b:0"}, 2, "--sub: malformed endpoint"},
		{"bad host", []string{"produce", "topic", "--address", "*"}, 2, "--address: malformed endpoint"},
		{"bad port", []string{"produce", "topic", "--bind", "65536"}, 2, "--bind: port"},
		{"tower bound to several endpoints", []string{"tower", "--pub", "tcp://a:1,tcp://b:1"}, 2, "want one endpoint"},
		{"store without folder", []string{"store", "--db", ""}, 2, "--db: where to keep the records?"},
		{"bad place for metrics", []string{"store", "--http", "localhost"}, 2, "--http: \"localhost\": want PORT"},
		{"metrics of a consumer", []string{"consume", "topic", "--http", "9090"}, 2, "unknown flag --http"},
		{"metrics where nothing can listen", append([]string{"tower", "--http", "192.0.2.1:0"}, anyTower...), 1, "--http: listen tcp 192.0.2.1:0"},
		{"store's subcommand misspelt", []string{"store", "verfy"}, 2, `unexpected argument "verfy"`},
		{"verify without folder", []string{"store", "verify"}, 2, "--db DIR"},
		{"backup without a place", []string{"store", "backup", "--db", "x"}, 2, "DEST is missing"},
		{"restore without a backup", []string{"store", "restore", "--db", "x"}, 2, "BACKUP is missing"},
		{"export without topic", []string{"store", "export", "--db", "x"}, 2, "TOPIC is missing"},
		{"import from nowhere", []string{"store", "import", "--db", "x"}, 2, "--leveldb DIR and --ndjson FILE"},
		{"import from two places", []string{"store", "import", "--db", "x", "--leveldb", "y", "--ndjson", "z"}, 2, "One of"},

		{"no such input", append([]string{"produce", "topic", "no/such/file"}, noTower...), 1, "no such file"},
		{"no such interface", []string{"produce", "topic", "--bind", "192.0.2.1:5000"}, 1, "bind tcp://192.0.2.1:5000"},
		{"tower that cannot be bound", []string{"tower", "--pub", "tcp://192.0.2.1:5000"}, 1, "tower cannot bind"},
		{"no such store", []string{"store", "verify", "--db", "no/such/folder"}, 1, "there is no folder no/such/folder"},
		{"no such C store", []string{"store", "import", "--db", "x", "--leveldb", "no/such/folder"}, 1, "holds no C store's database"},
		{"database that is a file", append([]string{"store", "--db", file}, noTower...), 1, file},

		{"nothing to produce", append([]string{"produce", "topic", "-"}, noTower...), 0, ""},
		{"help", []string{"help"}, 0, ""},
		{"help on a command", []string{"help", "consume"}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := runProgram(t, "", test.args...)
			if got.Status != test.status {
				t.Errorf("exit status %d, want %d", got.Status, test.status)
			}
			switch {
			case test.says == "" && got.Stderr != "":
				t.Errorf("stderr %q, want nothing", got.Stderr)
			case test.says != "" && (!strings.HasPrefix(got.Stderr, "dafka: error: ") || !strings.Contains(got.Stderr, test.says)):
				t.Errorf("stderr %q, want \"dafka: error: \" and %q", got.Stderr, test.says)
			}
			if hint := strings.Contains(got.Stderr, "\nusage: dafka "); hint != (test.status == 2) {
				t.Errorf("stderr %q: a hint at the usage belongs to status 2 only", got.Stderr)
			}
			if test.status != 0 && got.Stdout != "" {
				t.Errorf("stdout %q, want nothing", got.Stdout)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, test := range []struct {
		args  []string
		shows string
	}{
		{[]string{"--help"}, "dafka: decentralised streaming over ZeroMQ\n\nusage: dafka COMMAND\n"},
		{[]string{"-h"}, "usage: dafka COMMAND\n"},
		{[]string{"help", "produce"}, "usage: dafka produce [flags] TOPIC [FILE]\n"},
		{[]string{"produce", "topic", "--help"}, "Example: dafka produce"},
		{[]string{"wire", "--help"}, "usage: dafka wire COMMAND\n"},
		{[]string{"wire", "encode", "-h"}, "usage: dafka wire encode [FILE]\n"},
		{[]string{"--version"}, "\nlibzmq 4."},
		{[]string{"version"}, "\nlibzmq 4."},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := runProgram(t, "", test.args...)
			if got.Status != 0 || got.Stderr != "" || !strings.Contains(got.Stdout, test.shows) {
				t.Errorf("got %+v, want %q on stdout", got, test.shows)
			}
		})
	}
}

// TestHelpExamples holds every command to its promise of an example.
func TestHelpExamples(t *testing.T) {
	var look func(commands []*cli.Command)
	look = func(commands []*cli.Command) {
		for _, c := range commands {
			if !c.Hidden && len(c.Subcommands) == 0 && !strings.Contains(c.Description, "Example: ") {
				t.Errorf("%s: no example in its help", c.UsageText)
			}
			look(c.Subcommands)
		}
	}
	look(command.New().Commands)
	for _, c := range cnames.Programs() {
		if !strings.Contains(c.Description, "Example: "+c.Name) {
			t.Errorf("%s: no example in its man page", c.Name)
		}
	}
}

func TestSignalEndsProgram(t *testing.T) {
	tower := append([]string{"tower", "--http", ":0"}, anyTower...)
	for _, test := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		says   string
	}{
		{"tower", tower, syscall.SIGTERM, "tower is running"},
		{"tower hung up on", tower, syscall.SIGHUP, "tower is running"},
		{"store hung up on", append([]string{"store", "--db", "DB"}, noTower...), syscall.SIGHUP, "store is running"},
		{"consume hung up on", append([]string{"consume", "topic"}, noTower...), syscall.SIGHUP, "waiting for tower"},
		{"tower interrupted", tower, syscall.SIGINT, "tower is running"},
		{"store", append([]string{"store", "--db", "DB"}, noTower...), syscall.SIGTERM, "store is running"},
		{"store without a tower", append([]string{"store", "--db", "DB"}, noTower...), syscall.SIGINT, "waiting for tower at tcp://127.0.0.1:1"},
		{"dev", append([]string{"dev", "--db", "DB"}, tower[1:]...), syscall.SIGTERM, "tower and store are running"},
		{"consume", append([]string{"consume", "topic"}, noTower...), syscall.SIGTERM, "waiting for tower at tcp://127.0.0.1:1"},
		{"consume interrupted", append([]string{"consume", "topic", "-e"}, noTower...), syscall.SIGINT, "waiting for tower"},
		{"topics", append([]string{"topics"}, noTower...), syscall.SIGINT, "waiting for tower at tcp://127.0.0.1:1"},
		{"stores watched", append([]string{"stores", "--watch"}, noTower...), syscall.SIGTERM, "waiting for tower at tcp://127.0.0.1:1"},
		{"sniff", append([]string{"sniff"}, noTower...), syscall.SIGTERM, "waiting for tower at tcp://127.0.0.1:1"},
		{"doctor", append([]string{"doctor"}, noTower...), syscall.SIGINT, "waiting for tower at tcp://127.0.0.1:1"},
		{"produce", append([]string{"produce", "topic"}, noTower...), syscall.SIGTERM, "waiting for tower at tcp://127.0.0.1:1"},
		{"produce interrupted", append([]string{"produce", "topic"}, noTower...), syscall.SIGINT, "waiting for tower"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for i, arg := range test.args {
				if arg == "DB" {
					test.args = append([]string(nil), test.args...)
					test.args[i] = filepath.Join(t.TempDir(), "db")
				}
			}
			s := start(t, "program", test.args...)
			s.says(test.says)
			s.signal(test.signal)
			if status := s.endsSoon(); status != 0 {
				t.Errorf("exit status %d, want 0; stderr %q", status, s.seen)
			}
		})
	}
}

// TestSignalWithUnackedRecords: what no store is known to hold must not be passed over in silence.
func TestSignalWithUnackedRecords(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, "program", append([]string{"produce", "topic"}, noTower...)...)
			if _, err := io.WriteString(s.stdin, "one\ntwo\nthree\nnot whole"); err != nil {
				t.Fatal(err)
			}
			s.says("waiting for tower")
			s.signal(signal)
			if status := s.endsSoon(); status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			want := "dafka: error: 3 of 3 records were not acked"
			if last := s.seen[len(s.seen)-1]; !strings.HasPrefix(last, want) {
				t.Errorf("last line of stderr %q, want %q", last, want)
			}
		})
	}
}

// TestSecondHangup: a terminal that goes away may send several SIGHUPs, which are no impatience.
func TestSecondHangup(t *testing.T) {
	t.Parallel()
	s := start(t, "program", append([]string{"produce", "topic"}, noTower...)...)
	if _, err := io.WriteString(s.stdin, "a record\n"); err != nil {
		t.Fatal(err)
	}
	s.says("waiting for tower")
	s.signal(syscall.SIGHUP)
	s.says("ending: 1 of 1 records")
	s.signal(syscall.SIGHUP)
	if status := s.endsSoon(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if last := s.seen[len(s.seen)-1]; !strings.Contains(last, "1 of 1 records were not acked") {
		t.Errorf("last line of stderr %q", last)
	}
}

// TestIgnoredHangup: nohup has it ignored, and it stays so. Only the second of the other signals ends the program at once.
func TestIgnoredHangup(t *testing.T) {
	t.Parallel()
	c := commandLine(t, "program", append([]string{"produce", "topic"}, noTower...)...)
	c.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	s := startCommand(t, c)
	if _, err := io.WriteString(s.stdin, "a record\n"); err != nil {
		t.Fatal(err)
	}
	s.says("waiting for tower")
	s.signal(syscall.SIGHUP)
	s.signal(syscall.SIGINT)
	s.says("ending: 1 of 1 records")
	s.signal(syscall.SIGTERM)
	if status := s.endsSoon(); status != 143 {
		t.Errorf("exit status %d, want 143", status)
	}
}

// TestTimeout: with a record, or while it waits for one.
func TestTimeout(t *testing.T) {
	t.Parallel()
	want := "dafka: error: no tower was heard at tcp://127.0.0.1:1 for 50ms (is one running? dafka tower): %s\n"
	args := append([]string{"produce", "topic", "--timeout", "50ms"}, noTower...)
	got := runProgram(t, "a record\n", args...)
	if diff := cmp.Diff(result{3, "", fmt.Sprintf(want, "1 record sent, 0 acked, 1 unacked")}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := start(t, "program", args...) // its stdin stays open
	if status := s.endsSoon(); status != 3 {
		t.Errorf("exit status %d, want 3", status)
	}
	want = strings.TrimSpace(fmt.Sprintf(want, "0 records sent, 0 acked, 0 unacked"))
	if diff := cmp.Diff([]string{want}, s.seen); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

// TestSignalUnderLoad has the producer blocked in the middle of an endless input.
func TestSignalUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, "program", append([]string{"produce", "topic"}, noTower...)...)
	go func() {
		lines := bytes.Repeat([]byte("a line among very many\n"), 10_000)
		for {
			if _, err := s.stdin.Write(lines); err != nil {
				return
			}
		}
	}()
	s.says("waiting for tower")
	s.signal(syscall.SIGINT)
	if status := s.endsSoon(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		second syscall.Signal
		status int
	}{
		{syscall.SIGINT, 130},
		{syscall.SIGTERM, 143},
	} {
		t.Run(test.second.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, "program", append([]string{"produce", "topic"}, noTower...)...)
			if _, err := io.WriteString(s.stdin, "a record\n"); err != nil {
				t.Fatal(err)
			}
			s.says("waiting for tower")
			s.signal(syscall.SIGINT)
			s.says("ending: 1 of 1 records")
			s.signal(test.second)
			if status := s.endsSoon(); status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
		})
	}
}

// TestStuckProgramEnds: even one that does not see the signal is gone in time.
func TestStuckProgramEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "stuck")
	s.says("ready")
	s.signal(syscall.SIGTERM)
	if status := s.endsSoon(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if last := s.seen[len(s.seen)-1]; !strings.HasPrefix(last, "dafka: error: ") {
		t.Errorf("last line of stderr %q, want an error", last)
	}
}

// TestReaderGoneWhileIdle: the reader of stdout goes away while there is nothing to write.
func TestReaderGoneWhileIdle(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"dafka consume topic", "dafka consume topic -e", "dafka sniff", "dafka_console_consumer topic", "dafka wire decode",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(line)
			isWire := words[1] == "wire"
			if !isWire {
				words = append(words, noTower...)
			}
			c := commandNamed(t, words...)
			c.Stdout = w
			s := startCommand(t, c)
			w.Close()
			if isWire { // it shows that it reads by what it prints
				if _, err := io.WriteString(s.stdin, "[]\n"); err != nil {
					t.Fatal(err)
				}
				if line, err := bufio.NewReader(r).ReadString('\n'); err != nil {
					t.Fatal(line, err)
				}
			} else {
				s.says("waiting for tower")
			}
			r.Close()
			want := 0
			if isWire {
				want = 1 // a message without frames is malformed
			}
			if status := s.endsSoon(); status != want {
				t.Errorf("exit status %d, want %d; stderr %q", status, want, s.seen)
			}
		})
	}
}

// TestReaderGone: a reader of stdout that has read enough, as head does, is no failure.
func TestReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c := commandLine(t, "program", "wire", "decode")
	var stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(strings.Repeat("[]\n", 100_000)), w, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff("", stderr.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}
