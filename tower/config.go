package tower

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

// NodeConfig is what a node needs to take its place in a cluster. The zero value joins the tower of this machine.
type NodeConfig struct {
	// Pub and Sub are the towers' endpoints, "tcp://host:port": where they announce nodes, and where nodes announce
	// themselves. Default: DefaultPub and DefaultSub. Names are resolved here, and again when a tower is silent; of a name
	// with several addresses the one that answers first is used.
	Pub, Sub []string
	// Address is the node's name in the cluster, and a producer's partition; default: a new one. No two nodes may share
	// it. A producer counts from 0, so one that is given the address of an earlier producer is refused
	// (producer.ErrAddressUsed).
	Address string
	// Host is advertised as the host at which others reach this node: an IP address or a name that all of them can
	// resolve. Default: the address at which the tower sees it.
	Host string
	// Bind is where the node listens, as zmqwire.ParseListenEndpoint reads it; default "tcp://*:*", a free port on all
	// interfaces, for IPv6 and IPv4.
	Bind string
	// Interval is how often the node announces itself (default 1 s), Timeout after how much silence it takes a peer
	// to be gone (default 4 s).
	Interval, Timeout time.Duration
	// Limits bound what other nodes can make this one hold.
	Limits Limits
	// Logger receives what happens to the node: what it drops, for each reason, at most every 10 seconds; nothing but
	// debug messages for each peer and partition. Default: no log.
	Logger *slog.Logger
}

// maxTowers keeps the sockets of a node within one poller.
const maxTowers = 8

// maxOwnAddress is how long the address of a node here may be: others learn it from its subscriptions, and of longer ones
// libzmq makes something else (zsock.Socket.Subscribe).
const maxOwnAddress = 244

// WithDefaults returns the configuration with what is empty filled in. Its error names everything that is wrong.
func (c NodeConfig) WithDefaults() (NodeConfig, error) {
	if len(c.Pub) == 0 {
		c.Pub = []string{DefaultPub}
	}
	if len(c.Sub) == 0 {
		c.Sub = []string{DefaultSub}
	}
	if c.Address == "" {
		c.Address = zmqwire.NewAddress()
	}
	if c.Bind == "" {
		c.Bind = "tcp://*:*"
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 4 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	wrong := []error{zmqwire.CheckName("address", c.Address)}
	if n := len(c.Address); n > maxOwnAddress {
		wrong = append(wrong, fmt.Errorf("address of %d bytes: a node's own has at most %d", n, maxOwnAddress))
	}
	for _, tower := range append(append([]string(nil), c.Pub...), c.Sub...) {
		if _, err := zmqwire.ParseEndpoint(tower); err != nil {
			wrong = append(wrong, fmt.Errorf("tower: %w", err))
		}
	}
	if len(c.Pub) > maxTowers || len(c.Sub) > maxTowers {
		wrong = append(wrong, fmt.Errorf("%d towers: at most %d are possible", max(len(c.Pub), len(c.Sub)), maxTowers))
	}
	if c.Host != "" {
		// Brackets are how people write an IPv6 host; on the wire it stands without them.
		c.Host = strings.TrimSuffix(strings.TrimPrefix(c.Host, "["), "]")
		if _, err := zmqwire.ParseEndpoint(zmqwire.Endpoint{Host: c.Host, Port: 1}.String()); err != nil {
			wrong = append(wrong, fmt.Errorf("advertised host: %w", err))
		}
	}
	if _, err := zmqwire.ParseListenEndpoint(c.Bind); err != nil {
		wrong = append(wrong, fmt.Errorf("bind %s: %w (want %s)", c.Bind, err, WantBind))
	}
	if c.Interval < 0 || c.Timeout < 0 || c.Timeout < c.Interval {
		wrong = append(wrong, fmt.Errorf("interval %v, timeout %v: neither may be negative, and the timeout not below the interval",
			c.Interval, c.Timeout))
	}
	var err error
	c.Limits, err = c.Limits.WithDefaults()
	return c, errors.Join(append(wrong, err)...)
}

// WantBind is what Bind may be.
const WantBind = "tcp://interface:port, * for all interfaces or for any free port"
