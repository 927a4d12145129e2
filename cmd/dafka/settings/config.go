package settings

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/tower"
)

// Config is what holds for one run of a command: the value of each setting by its key.
type Config struct {
	Role   string // whose settings they are: tower, store, producer or consumer
	values map[string]value
	unused []unused // what is given and has no effect
}

// unused is a name that is given and has no effect.
type unused struct {
	text   string
	theirs bool // it seems to be another program's
}

// value is a setting's, and where it was said.
type value struct{ text, source string }

// mostConfig is the size in bytes of the largest configuration file.
const mostConfig = 1 << 20

// byDefault is the source of what was said nowhere.
const byDefault = "default"

// flagKeys says which flags are settings, for each role. A tower's --pub and --sub are where it listens, those of all
// others where they find it.
func flagKeys(role string) map[string]string {
	where := "beacon"
	if role == "tower" {
		where = "tower"
	}
	keys := map[string]string{
		"pub": where + "/pub_address", "sub": where + "/sub_address",
		"address": "beacon/address", "bind": "beacon/bind", "db": "store/db",
		"log-format": "log/format", "log-level": "log/level",
	}
	if role != "tower" {
		keys["tower"] = "beacon/tower"
	}
	if role == "tower" || role == "store" {
		keys["http"] = role + "/http"
	}
	return keys
}

// Read gives what holds for a command: a flag, else a variable of the environment, else the file, else the
// default, which is the command's own where its flag has one.
func Read(c *cli.Context, role string) (*Config, error) {
	file := c.String("c")
	tree := &zplItem{}
	if c.IsSet("c") {
		text, err := terminal.ReadFile(c.Context, file, mostConfig)
		if err == terminal.ErrEnded {
			return nil, err
		}
		if err != nil {
			return nil, UsageErrorf(c, "-c: %v", err)
		}
		if tree, err = parseZPL(file, string(text)); err != nil {
			return nil, UsageErrorf(c, "%v", err)
		}
	}
	defaults, said, err := fromFlags(c, role)
	if err != nil {
		return nil, UsageErrorf(c, "%v", err)
	}
	config := &Config{Role: role, values: make(map[string]value)}
	for _, s := range All {
		v := value{s.ByDefault, byDefault}
		if text := defaults[s.Key]; text != "" {
			v.text = text
		}
		if item := tree.find(s.Key); item != nil {
			v = value{item.value, fmt.Sprintf("%s:%d", file, item.line)}
		}
		if text, ok := os.LookupEnv(s.Variable()); ok {
			v = value{text, s.Variable()}
		}
		if flag, ok := said[s.Key]; ok {
			v = flag
		}
		if s.check != nil && v.source != byDefault {
			if err := s.check(v.text); err != nil {
				return nil, UsageErrorf(c, "%s: %v", v.place(s.Key), err)
			}
		}
		config.values[s.Key] = v
	}
	if err := config.findTowers(); err != nil {
		return nil, UsageErrorf(c, "%v", err)
	}
	if interval, timeout := config.duration("beacon/interval"), config.duration("beacon/timeout"); timeout < interval {
		key := "beacon/timeout"
		if config.values[key].source == byDefault {
			key = "beacon/interval"
		}
		return nil, UsageErrorf(c, "%s: the interval (%v) is longer than the timeout (%v): nodes would lose each other",
			config.values[key].place(key), interval, timeout)
	}
	if node := config.Node(); (role == "store" || c.Command.Name == "dev") && strings.HasSuffix(node.Bind, ":65535") {
		return nil, UsageErrorf(c, "%s: a store listens on its port and on the next: want 1 to 65534",
			config.values["beacon/bind"].place("beacon/bind"))
	}
	if c.App.Name == terminal.Program && config.Text("log/format") == "json" {
		terminal.SayInJSON()
	}
	config.unused = append(tree.unused(file), unusedVariables()...)
	return config, config.complain(c)
}

// findTowers makes endpoints of beacon/tower, where they are not given themselves in a place that comes before it.
func (c *Config) findTowers() error {
	towers := c.values["beacon/tower"]
	if towers.text == "" {
		return nil
	}
	pub, sub, err := towerEndpoints(towers.text)
	if err != nil {
		return err
	}
	for key, endpoints := range map[string][]string{"beacon/pub_address": pub, "beacon/sub_address": sub} {
		given := c.values[key]
		if given.rank() > 2 && towers.rank() > 2 {
			return fmt.Errorf("--tower and %s: want either --tower, or --pub and --sub", given.source)
		}
		if given.source == byDefault || given.rank() < towers.rank() {
			c.values[key] = value{strings.Join(endpoints, ","), towers.source}
		}
	}
	return nil
}

// rank says which of two values comes first: a flag's (3), a variable's, a file's, the default (0).
func (v value) rank() int {
	switch {
	case v.source == byDefault:
		return 0
	case strings.HasPrefix(v.source, "-"):
		return 3
	case strings.HasPrefix(v.source, "DAFKA_"):
		return 2
	}
	return 1
}

// unused lists what the file holds without effect.
func (i *zplItem) unused(file string) (list []unused) {
	i.each("", func(path string, item *zplItem) {
		note := func(theirs bool, format string, args ...any) {
			list = append(list, unused{fmt.Sprintf("%s:%d: ", file, item.line) + fmt.Sprintf(format, args...), theirs})
		}
		top, _, deeper := strings.Cut(path, "/")
		switch {
		case isSetting(path):
			if i.find(path) != item {
				note(false, "%s is hidden by what stands above it", path)
			}
		case len(item.children) > 0 || item.value == "" && isSection(path):
		case slices.Contains(sections(), top):
			note(false, "%s is no setting%s", path, DidYouMean(path, settingKeys()))
		case deeper: // a section that does not exist
			meant := nearest(top, sections())
			question := ""
			if meant != "" {
				question = DidYouMean(meant+path[len(top):], settingKeys())
				if question == "" {
					question = "; did you mean the section " + meant + "?"
				}
			}
			note(meant == "", "%s is no setting%s", path, question)
		default:
			meant := nearest(top, append(settingKeys(), sections()...))
			for _, key := range settingKeys() {
				if meant == "" && strings.HasSuffix(key, "/"+top) {
					meant = key
				}
			}
			question := ""
			if meant != "" {
				question = "; did you mean " + meant + "?"
			}
			note(meant == "", "%s is no setting%s", path, question)
		}
	})
	return list
}

func isSetting(key string) bool { return slices.Contains(settingKeys(), key) }

func isSection(path string) bool {
	return slices.ContainsFunc(All, func(s Setting) bool { return strings.HasPrefix(s.Key, path+"/") })
}

// settingKeys are the keys of all settings, sections the first names of them.
func settingKeys() []string {
	keys := make([]string, len(All))
	for i, s := range All {
		keys[i] = s.Key
	}
	return keys
}

func sections() (names []string) {
	for _, s := range All {
		name, _, _ := strings.Cut(s.Key, "/")
		names = append(names, name)
	}
	return slices.Compact(names)
}

// others are variables that are no settings and yet belong there: those of Kubernetes for each service whose name begins
// with dafka, and those of our tests.
var others = regexp.MustCompile(`^DAFKA_(([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_[A-Z]+(_[A-Z]+)?)?)|` +
	`TEST_.*|C_BIN|C_IMAGE|INTEROP_.*|TORTURE|SOAK|SEED)$`)

// unusedVariables lists those of the environment that look like settings.
func unusedVariables() (list []unused) {
	var known []string
	for _, s := range All {
		known = append(known, s.Variable())
	}
	for _, text := range os.Environ() {
		name, _, _ := strings.Cut(text, "=")
		if strings.HasPrefix(name, "DAFKA_") && !slices.Contains(known, name) && !others.MatchString(name) {
			list = append(list, unused{text: name + " is the variable of no setting" + DidYouMean(name, known)})
		}
	}
	slices.SortFunc(list, func(a, b unused) int { return strings.Compare(a.text, b.text) })
	return list
}

// complain warns of what has no effect, or refuses it.
func (c *Config) complain(context *cli.Context) error {
	if context.Command.Name == "show" && !context.Bool("strict-config") {
		return nil // it prints all of that, other programs' too
	}
	var wrongs []string
	for _, u := range c.unused {
		switch {
		case u.theirs:
		case context.Bool("strict-config"):
			wrongs = append(wrongs, u.text)
		default:
			terminal.Warn(context.App.Name, u.text)
		}
	}
	if len(wrongs) > 0 {
		return UsageErrorf(context, "%s", strings.Join(wrongs, "; "))
	}
	return nil
}

// fromFlags gives the command's own defaults, and what the command line says, by key.
func fromFlags(c *cli.Context, role string) (defaults map[string]string, said map[string]value, err error) {
	defaults, said = make(map[string]string), make(map[string]value)
	for flag, key := range flagKeys(role) {
		if c.IsSet(flag) {
			said[key] = value{flagText(c, flag), "--" + flag}
		} else {
			defaults[key] = flagText(c, flag)
		}
	}
	if t, ok := said["beacon/tower"]; ok && t.text == "" {
		return nil, nil, errors.New("--tower is empty: want HOST or HOST:PORT")
	}
	for _, limit := range c.StringSlice("limit") {
		name, n, ok := strings.Cut(limit, "=")
		if !ok || !slices.Contains(LimitNames(), name) {
			return nil, nil, fmt.Errorf("--limit %s: want NAME=N, and for NAME one of %s", limit, strings.Join(LimitNames(), ", "))
		}
		said["limits/"+name] = value{n, "--limit " + name}
	}
	if c.IsSet("from-beginning") {
		v := value{"latest", "--from-beginning"}
		if c.Bool("from-beginning") {
			v.text = "earliest"
		}
		said["consumer/offset/reset"] = v
	}
	if c.IsSet("verbose") {
		v := value{"0", "--verbose"}
		if c.Bool("verbose") {
			v.text = "1"
			if _, ok := said["log/level"]; !ok {
				said["log/level"] = value{"debug", "--verbose"}
			}
		}
		said["beacon/verbose"], said[role+"/verbose"] = v, v
	}
	return defaults, said, nil
}

// flagText is a flag's value; a list's with commas.
func flagText(c *cli.Context, flag string) string {
	if _, list := c.Value(flag).(cli.StringSlice); list {
		return strings.Join(c.StringSlice(flag), ",")
	}
	return c.String(flag)
}

// place is how an error names what holds a wrong value.
func (v value) place(key string) string {
	if strings.HasPrefix(v.source, "-") || strings.HasPrefix(v.source, "DAFKA_") {
		return v.source
	}
	return v.source + ": " + key
}

// Place is how an error names what holds the setting's value.
func (c *Config) Place(key string) string { return c.values[key].place(key) }

// Text is the value of a setting.
func (c *Config) Text(key string) string { return c.values[key].text }

// Source is where the setting's value was said: a flag, a variable, a line of the file, or byDefault.
func (c *Config) Source(key string) string { return c.values[key].source }

// IsOn reports whether a switch is on.
func (c *Config) IsOn(key string) bool { return isOn(c.Text(key)) }

func (c *Config) duration(key string) time.Duration {
	d, _ := parseMilliseconds(c.Text(key))
	return d
}

func (c *Config) number(key string) int64 {
	n, _ := strconv.ParseInt(c.Text(key), 10, 64)
	return n
}

// Node is how a node joins the cluster.
func (c *Config) Node() tower.NodeConfig {
	node := tower.NodeConfig{
		Pub:      splitList(c.Text("beacon/pub_address")),
		Sub:      splitList(c.Text("beacon/sub_address")),
		Host:     unbracket(c.Text("beacon/address")),
		Interval: c.duration("beacon/interval"),
		Timeout:  c.duration("beacon/timeout"),
		Limits: tower.Limits{
			Peers:         int(c.number("limits/peers")),
			Frame:         c.number("limits/frame"),
			Topics:        int(c.number("limits/topics")),
			Requests:      int(c.number("limits/requests")),
			PeerBytes:     c.number("limits/peer_bytes"),
			Bytes:         c.number("limits/bytes"),
			Subscriptions: int(c.number("limits/subscriptions")),
		},
		Logger: c.Logger(),
	}
	if where := c.Text("beacon/bind"); where != "" {
		node.Bind, _ = bindEndpoint(where)
	}
	return node
}

// Tower is where a tower listens.
func (c *Config) Tower() tower.Config {
	return tower.Config{Pub: c.Text("tower/pub_address"), Sub: c.Text("tower/sub_address"), Logger: c.Logger()}
}

// PrintUnused prints, a line each, what is given and has no effect.
func (c *Config) PrintUnused(w io.Writer) {
	for _, u := range c.unused {
		fmt.Fprintln(w, u.text)
	}
}

// Print prints the settings as a configuration file.
func (c *Config) Print(w io.Writer) error {
	var above []string
	for _, s := range All {
		names := strings.Split(s.Key, "/")
		for level, name := range names {
			if level < len(above) && above[level] == name {
				continue
			}
			above = above[:min(level, len(above))]
			indent := strings.Repeat(" ", level*zplIndent)
			if level < len(names)-1 {
				above = append(above, name)
				fmt.Fprintf(w, "%s%s\n", indent, name)
				continue
			}
			line := indent + name + " = " + quoteZPL(c.Text(s.Key))
			if _, err := fmt.Fprintf(w, "%-47s # %s\n", line, c.Source(s.Key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Logger writes to stderr what log/level says, or everything when only the role or its part in discovery is said to be
// verbose.
func (c *Config) Logger() *slog.Logger {
	level, _ := parseLevel(c.Text("log/level"))
	if c.values["log/level"].source == byDefault && (c.IsOn("beacon/verbose") || c.IsOn(c.Role+"/verbose")) {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Text("log/format") == "json" {
		return slog.New(slog.NewJSONHandler(terminal.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(terminal.Stderr, options))
}

// Producer is how a producer works.
func (c *Config) Producer(topic string, node tower.NodeConfig) producer.Config {
	return producer.Config{
		Topic: topic, HeadInterval: c.duration("producer/head_interval"),
		TerminateUnacked: c.IsOn("producer/terminate_unacked"), Node: node,
	}
}

// Reset is where a consumer begins. Any word but latest is earliest, as for C consumers.
func (c *Config) Reset() consumer.Reset {
	if c.Text("consumer/offset/reset") == "latest" {
		return consumer.Latest
	}
	return consumer.Earliest
}
