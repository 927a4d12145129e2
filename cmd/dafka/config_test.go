package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// configFile writes a configuration file.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dafka.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLimitsWrong(t *testing.T) {
	for flag, says := range map[string]string{
		"peers":          "--limit peers: want NAME=N, and for NAME one of peers, frame, topics, requests, peer_bytes, bytes, subscriptions",
		"peer=1":         "--limit peer=1: want NAME=N, and for NAME one of peers, ",
		"=1":             "--limit =1: want NAME=N",
		"peers=":         `--limit peers: "": want a number, 1 to 2147483647`,
		"peers=0":        `--limit peers: "0": want a number, 1 to 2147483647`,
		"frame=1000":     `--limit frame: "1000": want a number, 1024 to 1073741824`,
		"bytes=16MB":     `--limit bytes: "16MB": want a number, 1 to 1099511627776`,
		"peers=1,topics": "--limit topics: want NAME=N",
	} {
		got := runProgram(t, "", "produce", "topic", "--limit", flag)
		if got.Status != 2 || !strings.HasPrefix(got.Stderr, "dafka: error: "+says) {
			t.Errorf("--limit %s: status %d, stderr %q; want 2 and %q", flag, got.Status, got.Stderr, says)
		}
	}
}

func TestConfigWrong(t *testing.T) {
	for _, test := range []struct {
		text string
		says string // after the file's name
	}{
		{"beacon\n   interval = 1", ":2: indented by 3 spaces"},
		{"beacon\n    interval = 1s", `:2: beacon/interval: "1s": want milliseconds`},
		{"beacon\n    interval = 0", ":2: beacon/interval: "},
		{"beacon\n    interval", ":2: beacon/interval: "},
		{"\nbeacon\n    interval = 5000", ":3: beacon/interval: the interval (5s) is longer than the timeout (4s)"},
		{"beacon\n    timeout = 500", ":2: beacon/timeout: the interval (1s) is longer"},
		{"beacon\n    verbose = yes", `:2: beacon/verbose: "yes": want 0 for no, 1 for yes`},
		{"beacon\n    pub_address = 127.0.0.1:5557", ":2: beacon/pub_address: malformed endpoint"},
		{"beacon\n    sub_address = tcp://a:1,", ":2: beacon/sub_address: malformed endpoint"},
		{"beacon\n    address = *", ":2: beacon/address: malformed endpoint"},
		{"beacon\n    bind = tcp://a:1", ":2: beacon/bind: "},
		{"tower\n    pub_address = tcp://a:1,tcp://b:1", ":2: tower/pub_address: "},
		{"store\n    db", ":2: store/db: where to keep"},
		{"store\n    http = localhost", `:2: store/http: "localhost": want PORT or HOST:PORT`},
		{"limits\n    topics = many", `:2: limits/topics: "many": want a number, 1 to 2147483647`},
		{"log\n    format = xml", `:2: log/format: "xml": want text or json`},
		{"log\n    level = trace", `:2: log/level: "trace": want debug, info, warn or error`},
		{"store\n    high_watermark = -1", `:2: store/high_watermark: "-1": want a number`},
	} {
		file := configFile(t, test.text)
		got := runProgram(t, "", "produce", "topic", "-c", file)
		if want := "dafka: error: " + file + test.says; got.Status != 2 || !strings.HasPrefix(got.Stderr, want) {
			t.Errorf("%q: status %d, stderr %q; want 2 and %q", test.text, got.Status, got.Stderr, want)
		}
	}
	t.Setenv("DAFKA_BEACON_INTERVAL", "soon")
	got := runProgram(t, "", "config", "show")
	if want := `dafka: error: DAFKA_BEACON_INTERVAL: "soon": want milliseconds`; got.Status != 2 || !strings.HasPrefix(got.Stderr, want) {
		t.Errorf("status %d, stderr %q; want 2 and %q", got.Status, got.Stderr, want)
	}
}

// TestConfigShow reads what is shown as a file, and shows it again.
func TestConfigShow(t *testing.T) {
	t.Setenv("DAFKA_STORE_DB", " 'a' #b ")
	t.Setenv("DAFKA_BEACON_TIMEOUT", "8000")
	file := configFile(t, "beacon\n    interval = 500\n    adress = 10.0.0.1\nproducer\n    terminate_unacked = 1\nproducer\n    verbose = 1\n")
	shown := runProgram(t, "", "config", "show", "-c", file)
	if shown.Status != 0 {
		t.Fatalf("%+v", shown)
	}
	unused := file + ":3: beacon/adress is no setting; did you mean beacon/address?\n" +
		file + ":7: producer/verbose is hidden by what stands above it\n"
	if diff := cmp.Diff(unused, shown.Stderr); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"    interval = 500                              # " + file + ":2\n",
		"    timeout = 8000                              # DAFKA_BEACON_TIMEOUT\n",
		"    db = \" 'a' #b \"                             # DAFKA_STORE_DB\n",
		"consumer\n    offset\n        reset = latest                          # default\n",
	} {
		if !strings.Contains(shown.Stdout, want) {
			t.Errorf("%q is not in\n%s", want, shown.Stdout)
		}
	}
	os.Unsetenv("DAFKA_STORE_DB")
	os.Unsetenv("DAFKA_BEACON_TIMEOUT")
	again := runProgram(t, "", "config", "show", "-c", configFile(t, shown.Stdout))
	if again.Status != 0 || again.Stderr != "" {
		t.Fatalf("%+v", again)
	}
	// Apart from where it was said.
	said := regexp.MustCompile(`(?m) *# \S+$`)
	if diff := cmp.Diff(said.ReplaceAllString(shown.Stdout, ""), said.ReplaceAllString(again.Stdout, "")); diff != "" {
		t.Errorf("settings (-shown +read and shown again):\n%s", diff)
	}
}

// Whatever could never work is refused as a wrong command line, wherever it is written. libzmq would take some of it for
// another port.
func TestEndpointsWrong(t *testing.T) {
	for _, endpoint := range []string{
		"tcp://127.0.0.1:108666", "tcp://127.0.0.1:43130abc", "tcp://127.0.0.1:-22406", "tcp://127.0.0.1:43130/", "tcp://127.0.0.1",
		"tcp://127.0.0.1:", "127.0.0.1:43130", "tcp://[127.0.0.1]:43130", "tcp://a b:43130", "tcp://127.0.0.300:43130", "ipc:///tmp/tower", "",
	} {
		after := strings.TrimPrefix(endpoint, "tcp://")
		lines := [][]string{
			{"tower", "--pub", endpoint}, {"tower", "--sub", endpoint}, {"dev", "--pub", endpoint}, {"dafka_towerd", "--sub", endpoint},
			{"produce", "topic", "--pub", endpoint}, {"topics", "--sub", endpoint}, {"dafka_stored", "--pub", endpoint},
			{"tower", "-c", configFile(t, "tower\n    pub_address = "+endpoint)},
			{"produce", "topic", "-c", configFile(t, "beacon\n    sub_address = "+endpoint)},
		}
		if strings.Contains(after, ":") && after != "127.0.0.1:43130" && !strings.Contains(after, "//") {
			lines = append(lines, []string{"produce", "topic", "--bind", after}, []string{"tower", "--http", after})
		}
		for _, args := range lines {
			if !strings.HasPrefix(args[0], "dafka_") {
				args = append([]string{terminal.Program}, args...)
			}
			got := runNamed(t, "", args...)
			if got.Status != 2 || got.Stderr == "" {
				t.Errorf("%q: status %d, stderr %q; want 2", args, got.Status, got.Stderr)
			}
		}
	}
	for _, args := range [][]string{{"store", "--bind", "65535"}, {"dev", "--bind", "127.0.0.1:65535"}} {
		got := runProgram(t, "", args...)
		if got.Status != 2 || !strings.Contains(got.Stderr, "a store listens on its port and on the next") {
			t.Errorf("%q: status %d, stderr %q; want 2", args, got.Status, got.Stderr)
		}
	}
	t.Setenv("DAFKA_TOWER_SUB_ADDRESS", "tcp://127.0.0.1:0x10")
	if got := runProgram(t, "", "tower"); got.Status != 2 {
		t.Errorf("a variable: %+v", got)
	}
}

// Names that do not exist are warned of, with what was probably meant, by every command and not only by config show;
// those of other programs are not.
func TestUnusedNames(t *testing.T) {
	const mine = "beacon\n    adress = 10.0.0.1\n    nonsense = 1\nstor\n    db = there\nconsumer\n    offset\n        rest = earliest\n" +
		"beacon.interval = 500\ninterval = 500\nbeacon/timeout = 8000\nTower\n    pub_adress = tcp://*:1\n"
	const theirs = "malamute\n    timeout = 1\nsecurity = null\nmlm_server/verbose = 1\nstore\n    high_watermark = 5\n"
	file := configFile(t, mine+theirs)
	want := []string{
		file + ":2: beacon/adress is no setting; did you mean beacon/address?",
		file + ":3: beacon/nonsense is no setting",
		file + ":5: stor/db is no setting; did you mean store/db?",
		file + ":8: consumer/offset/rest is no setting; did you mean consumer/offset/reset?",
		file + ":9: beacon.interval is no setting; did you mean beacon/interval?",
		file + ":10: interval is no setting; did you mean beacon/interval?",
		file + ":13: Tower/pub_adress is no setting; did you mean tower/pub_address?",
		"DAFKA_STOR_DB is the variable of no setting; did you mean DAFKA_STORE_DB?",
		"DAFKA_VERBOSITY is the variable of no setting",
	}
	t.Setenv("DAFKA_STOR_DB", "there")
	t.Setenv("DAFKA_VERBOSITY", "9")
	t.Setenv("DAFKA_TOWER_SERVICE_HOST", "10.0.0.1") // Kubernetes sets these
	t.Setenv("DAFKA_TOWER_PORT", "tcp://10.0.0.1:5557")
	t.Setenv("DAFKA_TOWER_PORT_5557_TCP_ADDR", "10.0.0.1")

	warnings := func(name string) (text string) {
		for _, w := range want {
			text += name + ": warning: " + w + "\n"
		}
		return text
	}
	for name, line := range map[string][]string{
		"dafka":        {"dafka", "tower", "--pub", "tcp://192.0.2.1:5557"}, // not an address of this machine: it ends
		"dafka_towerd": {"dafka_towerd", "--pub", "tcp://192.0.2.1:5557"},
	} {
		got := runNamed(t, "", append(line, "-c", file)...)
		said, _, _ := strings.Cut(got.Stderr, name+": error: ")
		if diff := cmp.Diff(warnings(name), said); diff != "" || got.Status != 1 {
			t.Errorf("%s, status %d (-want +got):\n%s", name, got.Status, diff)
		}
	}
	got := runProgram(t, "", "tower", "-c", file, "--strict-config")
	if says := "dafka: error: " + strings.Join(want, "; ") + "\n"; got.Status != 2 || !strings.HasPrefix(got.Stderr, says) {
		t.Errorf("strict: status %d, stderr %q; want 2 and %q", got.Status, got.Stderr, says)
	}
	got = runProgram(t, "", "config", "show", "-c", file)
	if got.Status != 0 || !strings.Contains(got.Stderr, file+":15: malamute/timeout is no setting\n") ||
		!strings.Contains(got.Stdout, "    timeout = 8000 ") {
		t.Errorf("config show: %+v", got)
	}
	if got := runProgram(t, "", "config", "show", "-c", configFile(t, theirs), "--strict-config"); got.Status != 2 {
		t.Errorf("variables alone, strict: %+v", got)
	}
	os.Unsetenv("DAFKA_STOR_DB")
	os.Unsetenv("DAFKA_VERBOSITY")
	if got := runProgram(t, "", "config", "show", "-c", configFile(t, theirs), "--strict-config"); got.Status != 0 {
		t.Errorf("other programs' names, strict: %+v", got)
	}
}
