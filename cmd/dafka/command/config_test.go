package command

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// readConfigOf gives what a command line makes settings.Read return, and its error.
func readConfigOf(t *testing.T, role string, line ...string) (config *settings.Config, err error) {
	t.Helper()
	app := New()
	for _, c := range app.Commands {
		c.Action = func(c *cli.Context) error {
			config, err = settings.Read(c, role)
			return nil
		}
	}
	args, flagErr := FlagsFirst(app, append([]string{"dafka"}, line...))
	if flagErr != nil {
		t.Fatal(flagErr)
	}
	if runErr := app.RunContext(context.Background(), args); runErr != nil {
		t.Fatal(runErr)
	}
	return config, err
}

// held is a setting's value, and where it was said.
type held struct{ text, source string }

// allOf has every setting.
func allOf(config *settings.Config) map[string]held {
	all := make(map[string]held)
	for _, s := range settings.All {
		all[s.Key] = held{config.Text(s.Key), config.Source(s.Key)}
	}
	return all
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
		want map[string]held // beside those from the file and the environment
	}{
		{"producer", "produce topic -c FILE", nil},
		{"producer", "produce -c FILE topic --address 10.0.0.1 --verbose=false", map[string]held{
			"beacon/address": {"10.0.0.1", "--address"}, "beacon/verbose": {"0", "--verbose"}, "producer/verbose": {"0", "--verbose"},
		}},
		{"consumer", "consume topic --from-beginning --pub tcp://10.0.0.1:1 -c FILE --verbose", map[string]held{
			"beacon/pub_address": {"tcp://10.0.0.1:1", "--pub"}, "beacon/verbose": {"1", "--verbose"},
			"consumer/verbose": {"1", "--verbose"}, "consumer/offset/reset": {"earliest", "--from-beginning"},
			"log/level": {"debug", "--verbose"},
		}},
		{"store", "store --verbose --log-level info --log-format json --http :0 -c FILE", map[string]held{
			"beacon/verbose": {"1", "--verbose"}, "store/verbose": {"1", "--verbose"},
			"log/level": {"info", "--log-level"}, "log/format": {"json", "--log-format"}, "store/http": {":0", "--http"},
		}},
		{"store", "store -c FILE --limit requests=900 --limit topics=1,frame=2048 --limit topics=2", map[string]held{
			"limits/requests": {"900", "--limit requests"}, "limits/topics": {"2", "--limit topics"},
			"limits/frame": {"2048", "--limit frame"},
		}},
		{"tower", "dev -c FILE --limit=topics=3", map[string]held{
			"tower/sub_address": {tower.DefaultSub, "default"}, "beacon/bind": {"127.0.0.1", "default"},
			"limits/topics": {"3", "--limit topics"},
		}},
		{"tower", "tower --pub tcp://10.0.0.1:1 -c FILE", map[string]held{"tower/pub_address": {"tcp://10.0.0.1:1", "--pub"}}},
		{"store", "store --db --verbose -c FILE", map[string]held{"store/db": {"--verbose", "--db"}}},
		{"tower", "dev -c FILE", map[string]held{
			"tower/sub_address": {tower.DefaultSub, "default"}, "beacon/bind": {"127.0.0.1", "default"},
		}},
	} {
		t.Run(test.line, func(t *testing.T) {
			line := strings.Fields(strings.ReplaceAll(test.line, "FILE", file))
			config, err := readConfigOf(t, test.role, line...)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]held{
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
			for _, s := range settings.All {
				if v, ok := test.want[s.Key]; ok {
					want[s.Key] = v
				} else if _, ok := want[s.Key]; !ok {
					want[s.Key] = held{s.ByDefault, "default"}
				}
			}
			if diff := cmp.Diff(want, allOf(config), cmp.AllowUnexported(held{})); diff != "" {
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
	got := config.Node()
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
	if diff := cmp.Diff(node.Limits(), config.Node().Limits); diff != "" {
		t.Errorf("limits (-library +program):\n%s", diff)
	}
}

// TestExampleConfig: what make install leaves is harmless, and whoever takes away a # finds the default there.
func TestExampleConfig(t *testing.T) {
	const file = "../install/dafka.cfg"
	example, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := readConfigOf(t, "store", "store", "-c", file)
	if err != nil {
		t.Fatal(err)
	}
	without := configFile(t, strings.ReplaceAll(string(example), "\n#    ", "\n    "))
	uncommented, err := readConfigOf(t, "store", "store", "-c", without)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings.All {
		if got := allOf(config)[s.Key]; got.source != "default" {
			t.Errorf("%s: the example says %+v", s.Key, got)
		}
		got := allOf(uncommented)[s.Key]
		if got.text != s.ByDefault || !strings.HasPrefix(got.source, without) {
			t.Errorf("%s: behind a # stands %+v, want %q", s.Key, got, s.ByDefault)
		}
	}
	var unused strings.Builder
	if uncommented.PrintUnused(&unused); unused.Len() > 0 {
		t.Errorf("the example has what is no setting: %s", unused.String())
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
			node := config.Node()
			if diff := cmp.Diff(test.want, endpoints{node.Pub, node.Sub}); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
	for _, flags := range []string{
		"--tower=", "--tower a:", "--tower a:0", "--tower a:65535", "--tower a:65536", "--tower a:x", "--tower tcp://a:1", "--tower a/",
		"--tower *", "--tower ::", "--tower [a]", "--tower a,", "--tower 1.2.3", "--tower a --pub tcp://b:1", "--sub tcp://b:1 --tower a",
	} {
		_, err := readConfigOf(t, "producer", append([]string{"produce", "topic"}, strings.Fields(flags)...)...)
		if err == nil || !strings.Contains(err.Error(), "--tower") {
			t.Errorf("%s: error %v", flags, err)
		}
	}
}

// TestLogLevel: what is said nearest to the command holds, and --verbose says less than --log-level.
func TestLogLevel(t *testing.T) {
	verbose := configFile(t, "store\n    verbose = 1\n")
	quiet := configFile(t, "beacon\n    verbose = 1\nlog\n    level = error\n")
	for _, test := range []struct {
		line string
		want slog.Level
	}{
		{"store", slog.LevelWarn},
		{"store --verbose", slog.LevelDebug},
		{"store --verbose=false -c " + verbose, slog.LevelWarn},
		{"store -c " + verbose, slog.LevelDebug},
		{"store -c " + quiet, slog.LevelError},
		{"store --verbose -c " + quiet, slog.LevelDebug},
		{"store --verbose --log-level info", slog.LevelInfo},
		{"store --log-level error -c " + verbose, slog.LevelError},
	} {
		config, err := readConfigOf(t, "store", strings.Fields(test.line)...)
		if err != nil {
			t.Fatal(err)
		}
		log := config.Logger()
		if !log.Enabled(context.Background(), test.want) || log.Enabled(context.Background(), test.want-1) {
			t.Errorf("%s: level is not %v", test.line, test.want)
		}
	}
}
