package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// All are all that can be said in a configuration file, under the names and with the defaults that the C programs
// know; beacon/tower, beacon/bind, limits, http and log are ours.
var All = []Setting{
	{"beacon/tower", "", checkTowers,
		"Hosts of the towers, HOST or HOST:PORT, a list with commas: nodes announce themselves at PORT, 5556 by default, and learn of each other at the next. pub_address and sub_address come before it. C ignores it."},
	{"beacon/pub_address", tower.DefaultPub, checkEndpoints,
		"Endpoints where nodes learn of each other at the towers, a list with commas."},
	{"beacon/sub_address", tower.DefaultSub, checkEndpoints,
		"Endpoints where nodes announce themselves to the towers, a list with commas."},
	{"beacon/address", "", checkHost,
		"IP address or name at which other nodes reach the nodes of this machine. Empty: the address at which the tower sees them."},
	{"beacon/bind", "", checkBind,
		"Where a node listens: PORT, HOST:PORT or HOST. Empty: a free port on all interfaces. A store also uses the next port. C ignores it."},
	{"beacon/interval", "1000", checkMilliseconds,
		"How often a node announces itself, in milliseconds."},
	{"beacon/timeout", "4000", checkMilliseconds,
		"After how much silence a node takes another to be gone, in milliseconds; not below the interval."},
	{"beacon/verbose", "0", checkSwitch,
		"1 logs how nodes find each other."},
	{"limits/peers", "1024", between(1, math.MaxInt32),
		"Other nodes that a node knows and listens to."},
	{"limits/frame", "1073741824", between(1<<10, 1<<30),
		"Bytes of the largest record; all nodes should have the same."},
	{"limits/topics", "1024", between(1, math.MaxInt32),
		"Topics that a store takes from one consumer's hello."},
	{"limits/requests", "16384", between(1, math.MaxInt32),
		"Requests for records that are answered at a time."},
	{"limits/peer_bytes", "16777216", between(1, 1<<40),
		"Bytes of records on their way to one requester."},
	{"limits/bytes", "268435456", between(1, 1<<40),
		"Bytes of records on their way to all requesters."},
	{"limits/subscriptions", "1048576", between(1<<10, 1<<30),
		"Bytes of what one peer subscribes to, 32 more for each subscription."},
	{"tower/pub_address", "tcp://*:5557", checkListen,
		"Endpoint where a tower listens for nodes to learn of each other."},
	{"tower/sub_address", "tcp://*:5556", checkListen,
		"Endpoint where a tower listens for nodes to announce themselves."},
	{"tower/http", "", checkHTTP,
		"Where a tower, and dafka dev, serve HTTP: PORT for this machine, HOST:PORT, or *:PORT for all interfaces. Empty: nowhere. C ignores it."},
	{"tower/verbose", "0", checkSwitch,
		"1 logs all that a tower does."},
	{"store/db", "storedb", checkFolder,
		"Folder of the records, made when it is not there."},
	{"store/high_watermark", "1000000", between(0, math.MaxInt32),
		"Read for the sake of C, without effect."},
	{"store/http", "", checkHTTP,
		"Where a store serves HTTP, as tower/http."},
	{"store/verbose", "0", checkSwitch,
		"1 logs all that a store does."},
	{"producer/head_interval", "1000", checkMilliseconds,
		"How often a producer announces which record was its last, in milliseconds."},
	{"producer/terminate_unacked", "0", checkSwitch,
		"1 ends a producer when all is sent, without waiting for ACKs."},
	{"producer/high_watermark", "1000000", between(0, math.MaxInt32),
		"Read for the sake of C, without effect."},
	{"producer/verbose", "0", checkSwitch,
		"1 logs all that a producer does."},
	{"consumer/offset/reset", "latest", nil,
		"Where a consumer begins: latest, with new records, or earliest, with the oldest."},
	{"consumer/high_watermark", "1000000", between(0, math.MaxInt32),
		"Read for the sake of C, without effect."},
	{"consumer/verbose", "0", checkSwitch,
		"1 logs all that a consumer does."},
	{"log/format", "text", checkLogFormat,
		"What goes to stderr: text, or json for one object a line. C ignores it."},
	{"log/level", "warn", checkLogLevel,
		"What to log, and above: debug, info, warn or error. C ignores it."},
}

// Setting is one of them.
type Setting struct {
	Key       string // its path in the file
	ByDefault string
	check     func(text string) error // nil where anything will do
	Means     string
}

// Variable is its name in the environment.
func (s Setting) Variable() string {
	if s.Key == "beacon/tower" {
		return "DAFKA_TOWER"
	}
	return "DAFKA_" + strings.ToUpper(strings.ReplaceAll(s.Key, "/", "_"))
}

// checkEndpoints wants what nodes connect to.
func checkEndpoints(text string) error {
	for _, endpoint := range splitList(text) {
		if _, err := zmqwire.ParseEndpoint(endpoint); err != nil {
			return err
		}
	}
	return nil
}

// checkTowers wants hosts of towers, or nothing.
func checkTowers(text string) error {
	if text == "" {
		return nil
	}
	_, _, err := towerEndpoints(text)
	return err
}

// checkListen wants what a tower binds.
func checkListen(text string) error {
	if _, err := zmqwire.ParseListenEndpoint(text); err != nil {
		return fmt.Errorf("%w; want one endpoint such as tcp://*:5557", err)
	}
	return nil
}

func checkHost(text string) error {
	if text == "" {
		return nil
	}
	_, err := zmqwire.ParseEndpoint(zmqwire.Endpoint{Host: unbracket(text), Port: 1}.String())
	return err
}

func checkBind(text string) error {
	if text == "" {
		return nil
	}
	_, err := bindEndpoint(text)
	return err
}

func checkFolder(text string) error {
	if text == "" {
		return errors.New("where to keep the records? Want the name of a folder")
	}
	return nil
}

func checkMilliseconds(text string) error {
	_, err := parseMilliseconds(text)
	return err
}

func parseMilliseconds(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q: want milliseconds, 1 to 2147483647", text)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// between wants a whole number.
func between(least, most int64) func(text string) error {
	return func(text string) error {
		if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < least || n > most {
			return fmt.Errorf("%q: want a number, %d to %d", text, least, most)
		}
		return nil
	}
}

// LimitNames are those of the settings in limits.
func LimitNames() (names []string) {
	for _, s := range All {
		if name, ok := strings.CutPrefix(s.Key, "limits/"); ok {
			names = append(names, name)
		}
	}
	return names
}

func checkSwitch(text string) error {
	if _, err := strconv.ParseUint(text, 10, 31); err != nil {
		return fmt.Errorf("%q: want 0 for no, 1 for yes", text)
	}
	return nil
}

// isOn reads what checkSwitch let pass, as C does: all but 0 is yes.
func isOn(text string) bool {
	n, _ := strconv.ParseUint(text, 10, 31)
	return n != 0
}

func checkLogFormat(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("%q: want text or json", text)
	}
	return nil
}

func checkLogLevel(text string) error {
	_, err := parseLevel(text)
	return err
}

func parseLevel(text string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if text == strings.ToLower(level.String()) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%q: want debug, info, warn or error", text)
}

func checkHTTP(text string) error {
	if text == "" {
		return nil
	}
	_, err := HTTPAddress(text)
	return err
}
