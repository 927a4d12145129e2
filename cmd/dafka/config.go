package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
)

// config is what holds for one run of a command: the value of each setting by its key.
type config struct {
	role   string // whose settings they are: tower, store, producer or consumer
	values map[string]value
	unused []string // what the file holds in vain
}

// value is a setting's, and where it was said.
type value struct{ text, source string }

// mostConfig is the size in bytes of the largest configuration file.
const mostConfig = 1 << 20

// byDefault is the source of what was said nowhere.
const byDefault = "default"

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "c", Usage: "read the settings that no flag and no variable gives from `FILE`", TakesFile: true}
}

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
	if role == "tower" || role == "store" {
		keys["http"] = role + "/http"
	}
	return keys
}

// readConfig gives what holds for a command: a flag, else a variable of the environment, else the file, else the
// default, which is the command's own where its flag has one.
func readConfig(c *cli.Context, role string) (*config, error) {
	file := c.String("c")
	tree := &zplItem{}
	if c.IsSet("c") {
		text, err := readFile(c.Context, file, mostConfig)
		if err == errEnded {
			return nil, err
		}
		if err != nil {
			return nil, wrong(c, "-c: %v", err)
		}
		if tree, err = parseZPL(file, string(text)); err != nil {
			return nil, wrong(c, "%v", err)
		}
	}
	defaults, said, err := fromFlags(c, role)
	if err != nil {
		return nil, wrong(c, "%v", err)
	}
	config := &config{role: role, values: make(map[string]value)}
	for _, s := range settings {
		v := value{s.byDefault, byDefault}
		if text := defaults[s.key]; text != "" {
			v.text = text
		}
		if item := tree.find(s.key); item != nil {
			v = value{item.value, fmt.Sprintf("%s:%d", file, item.line)}
		}
		if text, ok := os.LookupEnv(s.variable()); ok {
			v = value{text, s.variable()}
		}
		if flag, ok := said[s.key]; ok {
			v = flag
		}
		if s.check != nil && v.source != byDefault {
			if err := s.check(v.text); err != nil {
				return nil, wrong(c, "%s: %v", v.place(s.key), err)
			}
		}
		config.values[s.key] = v
	}
	if interval, timeout := config.duration("beacon/interval"), config.duration("beacon/timeout"); timeout < interval {
		key := "beacon/timeout"
		if config.values[key].source == byDefault {
			key = "beacon/interval"
		}
		return nil, wrong(c, "%s: the interval (%v) is longer than the timeout (%v): nodes would lose each other",
			config.values[key].place(key), interval, timeout)
	}
	if node := config.node(); (role == "store" || c.Command.Name == "dev") && strings.HasSuffix(node.Bind, ":65535") {
		return nil, wrong(c, "%s: a store listens on its port and on the next: want 1 to 65534",
			config.values["beacon/bind"].place("beacon/bind"))
	}
	if c.App.Name == program && config.text("log/format") == "json" {
		jsonLog = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	tree.each("", func(path string, item *zplItem) {
		_, known := config.values[path]
		switch {
		case !known && len(item.children) == 0:
			config.unused = append(config.unused, fmt.Sprintf("%s:%d: %s is no setting", file, item.line, path))
		case known && tree.find(path) != item:
			config.unused = append(config.unused, fmt.Sprintf("%s:%d: %s is hidden by what stands above it", file, item.line, path))
		}
	})
	return config, nil
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
	for _, limit := range c.StringSlice("limit") {
		name, n, ok := strings.Cut(limit, "=")
		if !ok || !slices.Contains(limitNames(), name) {
			return nil, nil, fmt.Errorf("--limit %s: want NAME=N, and for NAME one of %s", limit, strings.Join(limitNames(), ", "))
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

func (c *config) text(key string) string { return c.values[key].text }

func (c *config) isOn(key string) bool { return isOn(c.text(key)) }

func (c *config) duration(key string) time.Duration {
	d, _ := parseMilliseconds(c.text(key))
	return d
}

func (c *config) number(key string) int64 {
	n, _ := strconv.ParseInt(c.text(key), 10, 64)
	return n
}

// node is how a node joins the cluster.
func (c *config) node() tower.NodeConfig {
	node := tower.NodeConfig{
		Pub:      splitList(c.text("beacon/pub_address")),
		Sub:      splitList(c.text("beacon/sub_address")),
		Host:     unbracket(c.text("beacon/address")),
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
		Logger: c.logger(),
	}
	if where := c.text("beacon/bind"); where != "" {
		node.Bind, _ = bindEndpoint(where)
	}
	return node
}

// tower is where a tower listens.
func (c *config) tower() tower.Config {
	return tower.Config{Pub: c.text("tower/pub_address"), Sub: c.text("tower/sub_address"), Logger: c.logger()}
}

// configCommand is `dafka config`: what the commands would go by.
func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "look at the settings",
		Subcommands: []*cli.Command{{
			Name:  "show",
			Usage: "print every setting, its value and where it was said",
			Description: "A flag comes before a variable of the environment, which comes before the file that -c names, which comes\n" +
				"before the default. The variable of beacon/interval is DAFKA_BEACON_INTERVAL, and so on. What is printed is\n" +
				"such a file: four spaces for each level, name = value, # before a comment; 1 is yes and 0 is no.\n\n" +
				"What the file holds in vain is told on stderr.\n\n" +
				"Example: dafka config show -c dafka.cfg",
			Flags:  []cli.Flag{configFlag()},
			Action: runConfigShow,
		}},
	}
}

func runConfigShow(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	config, err := readConfig(c, "")
	if err != nil {
		return err
	}
	for _, what := range config.unused {
		fmt.Fprintln(os.Stderr, what)
	}
	out := bufio.NewWriter(os.Stdout)
	return errors.Join(config.print(out), out.Flush())
}

// print prints the settings as a configuration file.
func (c *config) print(w io.Writer) error {
	var above []string
	for _, s := range settings {
		names := strings.Split(s.key, "/")
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
			v := c.values[s.key]
			if _, err := fmt.Fprintf(w, "%-47s # %s\n", indent+name+" = "+quoteZPL(v.text), v.source); err != nil {
				return err
			}
		}
	}
	return nil
}
