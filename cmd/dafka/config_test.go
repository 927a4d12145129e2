package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// readConfigOf gives what a command line makes readConfig read, and its error.
func readConfigOf(t *testing.T, role string, line ...string) (config *config, err error) {
	t.Helper()
	app := newApp()
	for _, c := range app.Commands {
		c.Action = func(c *cli.Context) error {
			config, err = readConfig(c, role)
			return nil
		}
	}
	args, flagErr := flagsFirst(app, append([]string{"dafka"}, line...))
	if flagErr != nil {
		t.Fatal(flagErr)
	}
	if runErr := app.RunContext(context.Background(), args); runErr != nil {
		t.Fatal(runErr)
	}
	return config, err
}

// configFile writes a configuration file.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dafka.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigOrder(t *testing.T) {
	file := configFile(t, `beacon
    address = 10.0.0.3
    pub_address = tcp://10.0.0.3:1
    sub_address = tcp://10.0.0.3:2
    interval = 300
tower
    pub_address = tcp://10.0.0.3:3
    http = 9090
store
    db = from file
consumer
    offset
        reset = earliest
limits
    peers = 7
    topics = 8
    requests = 9
`)
	t.Setenv("DAFKA_BEACON_ADDRESS", "10.0.0.2")
	t.Setenv("DAFKA_BEACON_PUB_ADDRESS", "tcp://10.0.0.2:1, tcp://10.0.0.2:2")
	t.Setenv("DAFKA_CONSUMER_OFFSET_RESET", "latest")
	t.Setenv("DAFKA_BEACON_VERBOSE", "1")
	t.Setenv("DAFKA_LIMITS_TOPICS", "80")
	for _, test := range []struct {
		role string
		line string
		want map[string]value // beside those from the file and the environment
	}{
		{"producer", "produce topic -c FILE", nil},
		{"producer", "produce -c FILE topic --address 10.0.0.1 --verbose=false", map[string]value{
			"beacon/address": {"10.0.0.1", "--address"}, "beacon/verbose": {"0", "--verbose"}, "producer/verbose": {"0", "--verbose"},
		}},
		{"consumer", "consume topic --from-beginning --pub tcp://10.0.0.1:1 -c FILE --verbose", map[string]value{
			"beacon/pub_address": {"tcp://10.0.0.1:1", "--pub"}, "beacon/verbose": {"1", "--verbose"},
			"consumer/verbose": {"1", "--verbose"}, "consumer/offset/reset": {"earliest", "--from-beginning"},
			"log/level": {"debug", "--verbose"},
		}},
		{"store", "store --verbose --log-level info --log-format json --http :0 -c FILE", map[string]value{
			"beacon/verbose": {"1", "--verbose"}, "store/verbose": {"1", "--verbose"},
			"log/level": {"info", "--log-level"}, "log/format": {"json", "--log-format"}, "store/http": {":0", "--http"},
		}},
		{"store", "store -c FILE --limit requests=900 --limit topics=1,frame=2048 --limit topics=2", map[string]value{
			"limits/requests": {"900", "--limit requests"}, "limits/topics": {"2", "--limit topics"},
			"limits/frame": {"2048", "--limit frame"},
		}},
		{"tower", "dev -c FILE --limit=topics=3", map[string]value{
			"tower/sub_address": {tower.DefaultSub, byDefault}, "beacon/bind": {"127.0.0.1", byDefault},
			"limits/topics": {"3", "--limit topics"},
		}},
		{"tower", "tower --pub tcp://10.0.0.1:1 -c FILE", map[string]value{"tower/pub_address": {"tcp://10.0.0.1:1", "--pub"}}},
		{"store", "store --db --verbose -c FILE", map[string]value{"store/db": {"--verbose", "--db"}}},
		{"tower", "dev -c FILE", map[string]value{
			"tower/sub_address": {tower.DefaultSub, byDefault}, "beacon/bind": {"127.0.0.1", byDefault},
		}},
	} {
		t.Run(test.line, func(t *testing.T) {
			line := strings.Fields(strings.ReplaceAll(test.line, "FILE", file))
			config, err := readConfigOf(t, test.role, line...)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]value{
				"beacon/address":        {"10.0.0.2", "DAFKA_BEACON_ADDRESS"},
				"beacon/pub_address":    {"tcp://10.0.0.2:1, tcp://10.0.0.2:2", "DAFKA_BEACON_PUB_ADDRESS"},
				"beacon/sub_address":    {"tcp://10.0.0.3:2", file + ":4"},
				"beacon/interval":       {"300", file + ":5"},
				"beacon/verbose":        {"1", "DAFKA_BEACON_VERBOSE"},
				"tower/pub_address":     {"tcp://10.0.0.3:3", file + ":7"},
				"tower/http":            {"9090", file + ":8"},
				"store/db":              {"from file", file + ":10"},
				"consumer/offset/reset": {"latest", "DAFKA_CONSUMER_OFFSET_RESET"},
				"limits/peers":          {"7", file + ":15"},
				"limits/topics":         {"80", "DAFKA_LIMITS_TOPICS"},
				"limits/requests":       {"9", file + ":17"},
			}
			for _, s := range settings {
				if v, ok := test.want[s.key]; ok {
					want[s.key] = v
				} else if _, ok := want[s.key]; !ok {
					want[s.key] = value{s.byDefault, byDefault}
				}
			}
			if diff := cmp.Diff(want, config.values, cmp.AllowUnexported(value{})); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

// What the settings say is what a node is opened with.
func TestConfigOfNode(t *testing.T) {
	config, err := readConfigOf(t, "producer", "produce", "topic", "-c", configFile(t, `beacon
    pub_address = tcp://10.0.0.1:1, tcp://10.0.0.2:1
    sub_address = tcp://10.0.0.1:2
    address = "[::1]"
    bind = 127.0.0.1:7000
    interval = 100
    timeout = 400
limits
    peers = 2000
    frame = 2048
    topics = 3000
    requests = 4000
    peer_bytes = 5000
    bytes = 6000
    subscriptions = 7000
`))
	if err != nil {
		t.Fatal(err)
	}
	got := config.node()
	got.Logger = nil
	want := tower.NodeConfig{
		Pub: []string{"tcp://10.0.0.1:1", "tcp://10.0.0.2:1"}, Sub: []string{"tcp://10.0.0.1:2"},
		Host: "::1", Bind: "tcp://127.0.0.1:7000", Interval: 100 * time.Millisecond, Timeout: 400 * time.Millisecond,
		Limits: tower.Limits{Peers: 2000, Frame: 2048, Topics: 3000, Requests: 4000, PeerBytes: 5000, Bytes: 6000, Subscriptions: 7000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
}

// The limits that hold when nothing is said are the library's.
func TestLimitsByDefault(t *testing.T) {
	config, err := readConfigOf(t, "store", "store")
	if err != nil {
		t.Fatal(err)
	}
	node, err := node.Join(tower.NodeConfig{Bind: "tcp://127.0.0.1:*"}, node.Sockets{Publish: zsock.XPUB})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if diff := cmp.Diff(node.Limits(), config.node().Limits); diff != "" {
		t.Errorf("limits (-library +program):\n%s", diff)
	}
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
	tree, err := parseZPL("shown", shown.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	config, err := readConfigOf(t, "store", "store", "-c", file)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range config.values {
		if item := tree.find(key); item == nil || item.value != want.text {
			t.Errorf("%s is shown as %+v, want %q", key, item, want.text)
		}
	}
}

// TestExampleConfig: what make install leaves is harmless, and whoever takes away a # finds the default there.
func TestExampleConfig(t *testing.T) {
	const file = "install/dafka.cfg"
	example, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := readConfigOf(t, "store", "store", "-c", file)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parseZPL(file, strings.ReplaceAll(string(example), "\n#    ", "\n    "))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if got := config.values[s.key]; got.source != byDefault {
			t.Errorf("%s: the example says %+v", s.key, got)
		}
		if item := tree.find(s.key); item == nil || item.value != s.byDefault {
			t.Errorf("%s: behind a # stands %+v, want %q", s.key, item, s.byDefault)
		}
	}
	tree.each("", func(path string, item *zplItem) {
		if _, known := config.values[path]; !known && len(item.children) == 0 {
			t.Errorf("line %d: %s is no setting", item.line, path)
		}
	})
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
				args = append([]string{program}, args...)
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

// A tower's host is enough to find it; what says more comes first, and what is said in a place that comes before.
func TestTowers(t *testing.T) {
	type endpoints struct{ Pub, Sub []string }
	list := func(endpoints ...string) []string { return endpoints }
	defaults := endpoints{list(tower.DefaultPub), list(tower.DefaultSub)}
	at := func(host string) endpoints {
		return endpoints{list("tcp://" + host + ":5557"), list("tcp://" + host + ":5556")}
	}
	for _, test := range []struct {
		name, file, variable string
		flags                []string
		want                 endpoints
	}{
		{name: "nothing", want: defaults},
		{name: "host", flags: list("--tower", "10.0.0.1"), want: at("10.0.0.1")},
		{name: "name with a dot", flags: list("--tower", "tower.example.org."), want: at("tower.example.org.")},
		{name: "IPv6", flags: list("--tower", "2001:db8::1"), want: at("[2001:db8::1]")},
		{name: "IPv6 in brackets", flags: list("--tower", "[2001:db8::1]"), want: at("[2001:db8::1]")},
		{name: "port", flags: list("--tower", "a:7000"), want: endpoints{list("tcp://a:7001"), list("tcp://a:7000")}},
		{name: "IPv6 and port", flags: list("--tower", "[::1]:7000"), want: endpoints{list("tcp://[::1]:7001"), list("tcp://[::1]:7000")}},
		{name: "several", flags: list("--tower", "a, b:7000", "--tower", "c"), want: endpoints{
			list("tcp://a:5557", "tcp://b:7001", "tcp://c:5557"), list("tcp://a:5556", "tcp://b:7000", "tcp://c:5556")}},
		{name: "several endpoints", flags: list("--pub", "tcp://a:1", "--sub", "tcp://a:2", "--pub", "tcp://b:1", "--sub=tcp://b:2"),
			want: endpoints{list("tcp://a:1", "tcp://b:1"), list("tcp://a:2", "tcp://b:2")}},
		{name: "file", file: "beacon\n    tower = a", want: at("a")},
		{name: "variable", variable: "a", want: at("a")},
		{name: "variable before the file", file: "beacon\n    tower = a", variable: "b", want: at("b")},
		{name: "flag before all", file: "beacon\n    tower = a", variable: "b", flags: list("--tower", "c"), want: at("c")},
		{name: "flag before endpoints in the file", file: "beacon\n    pub_address = tcp://a:1\n    sub_address = tcp://a:2",
			flags: list("--tower", "c"), want: at("c")},
		{name: "endpoints before the host", file: "beacon\n    tower = a\n    pub_address = tcp://b:1",
			want: endpoints{list("tcp://b:1"), list("tcp://a:5556")}},
		{name: "endpoints of flags before the host of a variable", variable: "a", flags: list("--pub", "tcp://b:1", "--sub", "tcp://b:2"),
			want: endpoints{list("tcp://b:1"), list("tcp://b:2")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.variable != "" {
				t.Setenv("DAFKA_TOWER", test.variable)
			}
			config, err := readConfigOf(t, "store", append([]string{"store", "-c", configFile(t, test.file)}, test.flags...)...)
			if err != nil {
				t.Fatal(err)
			}
			node := config.node()
			if diff := cmp.Diff(test.want, endpoints{node.Pub, node.Sub}); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
	for _, flags := range []string{
		"--tower=", "--tower a:", "--tower a:0", "--tower a:65535", "--tower a:65536", "--tower a:x", "--tower tcp://a:1", "--tower a/",
		"--tower *", "--tower ::", "--tower [a]", "--tower a,", "--tower 1.2.3", "--tower a --pub tcp://b:1", "--sub tcp://b:1 --tower a",
	} {
		got := runProgram(t, "", append([]string{"produce", "topic"}, strings.Fields(flags)...)...)
		if got.Status != 2 || !strings.Contains(got.Stderr, "--tower") {
			t.Errorf("%s: %+v", flags, got)
		}
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
