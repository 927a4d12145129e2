package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// nodeFlags are those of every command that joins a cluster, after the command's own.
func nodeFlags(own ...cli.Flag) []cli.Flag {
	return append(append(own, towerFlag(), pubFlag(), subFlag(), addressFlag("", "as the tower sees it"), bindFlag("", "any free port"),
		limitFlag(), configFlag(), strictFlag()), logFlags()...)
}

func limitFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "limit",
		Usage:       "what others may make this node hold, `NAME=N`: " + strings.Join(limitNames(), ", "),
		DefaultText: "see dafka config show",
	}
}

// towerFlag is where to find a tower, in one word.
func towerFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "tower",
		Usage: "`HOST[:PORT]` of the tower: nodes announce themselves at PORT, 5556 by default, and learn of each other at the " +
			"next; for several towers a list with commas",
		DefaultText: "this machine",
	}
}

func pubFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "pub",
		Usage:       "instead of --tower, `ENDPOINT` where nodes learn of each other; for several towers a list with commas",
		DefaultText: tower.DefaultPub,
	}
}

func subFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "sub",
		Usage:       "instead of --tower, `ENDPOINT` where nodes announce themselves; likewise",
		DefaultText: tower.DefaultSub,
	}
}

// towerFlags are where a tower listens.
func towerFlags(pub, sub string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "pub", Usage: "where the tower listens for nodes to hear of each other: `ENDPOINT`", Value: pub},
		&cli.StringFlag{Name: "sub", Usage: "where the tower listens for nodes to announce themselves: `ENDPOINT`", Value: sub},
	}
}

func addressFlag(value, byDefault string) cli.Flag {
	return &cli.StringFlag{
		Name:        "address",
		Usage:       "IP address or name at which other nodes reach this one: `HOST`",
		Value:       value,
		DefaultText: byDefault,
	}
}

func bindFlag(value, byDefault string) cli.Flag {
	return &cli.StringFlag{
		Name:        "bind",
		Usage:       "where this node listens: `[HOST:]PORT`, or HOST for any free port there",
		Value:       value,
		DefaultText: byDefault,
	}
}

// bindEndpoint makes of "[HOST:]PORT" or "HOST" the endpoint to bind. HOST is an IP address, an interface's name or *;
// PORT is a number, or * (as is 0) for a free one.
func bindEndpoint(where string) (string, error) {
	host, port := where, "*"
	if _, err := netip.ParseAddr(unbracket(where)); err != nil {
		if i := strings.LastIndexByte(where, ':'); i >= 0 {
			host, port = where[:i], where[i+1:]
		} else if where != "" && where[0] >= '0' && where[0] <= '9' {
			host, port = "*", where
		}
	}
	endpoint, err := zmqwire.ParseListenEndpoint("tcp://" + bracket(host) + ":" + port)
	if err != nil {
		return "", fmt.Errorf("%s (of %q: want PORT, HOST:PORT or HOST, such as 5558 or 127.0.0.1:5558)", reason(err), where)
	}
	return endpoint.String(), nil
}

// bracket puts brackets around an IPv6 address, if it has none yet.
func bracket(host string) string {
	if strings.Contains(host, ":") && host[0] != '[' {
		return "[" + host + "]"
	}
	return host
}

// unbracket takes off the brackets that people put around IPv6 addresses.
func unbracket(host string) string {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}

// towerPatience is how long a node looks for its tower in silence.
const towerPatience = time.Second

// sayWaiting tells the user, once, when a node that has just been opened does not find one of its towers.
func sayWaiting(towers []string, connected func() int) (stop func() bool) {
	return time.AfterFunc(towerPatience, func() {
		if connected() == 0 {
			say("waiting for tower at %s", strings.Join(towers, ", "))
		}
	}).Stop
}

// nodes are those that one process serves with until it is ended; nil where there is none.
type nodes struct {
	tower *tower.Tower
	store *store.Store
}

// server is one of them.
type server interface {
	Wait(context.Context) error
	io.Closer
}

func (n nodes) servers() (servers []server) {
	if n.tower != nil {
		servers = append(servers, n.tower)
	}
	if n.store != nil {
		servers = append(servers, n.store)
	}
	return servers
}

// serve runs the nodes until ctx ends them, which is no error, or one of them fails: the others are of no use then.
// running is what the user is told about them, if anything.
func (n nodes) serve(ctx context.Context, config *config, running string) error {
	web, failure := n.listen(config)
	ctx, end := context.WithCancel(ctx)
	defer end()
	if failure != nil {
		end()
	} else {
		if running != "" {
			say("%s", running)
		}
		notify(ready)
	}
	servers := n.servers()
	ended := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			failure := s.Wait(ctx)
			if ctx.Err() != nil {
				failure = nil
			}
			end()
			if err := s.Close(); err != nil {
				failure = err
			}
			ended <- failure
		}()
	}
	<-ctx.Done()
	notify(stopping)
	for range servers {
		failure = errors.Join(failure, <-ended)
	}
	if web != nil {
		web.Close()
	}
	return failure
}

// isTerminal says whether a person looks at the file. /dev/null is a character device too.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
