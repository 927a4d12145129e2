package command

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/serve"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// towerCommand is `dafka tower`: the meeting point as a process.
func towerCommand() *cli.Command {
	return &cli.Command{
		Name:  "tower",
		Usage: "run a tower, where nodes learn of each other",
		Description: "Every other command finds the cluster through a tower. Records do not pass through it.\n\n" +
			"Example: dafka tower --pub 'tcp://*:5557' --sub 'tcp://*:5556'",
		Flags: append(append(settings.TowerFlags("tcp://*:5557", "tcp://*:5556"), settings.HTTPFlag(), settings.ConfigFlag(),
			settings.StrictFlag()), settings.LogFlags()...),
		Action: runTower,
	}
}

func runTower(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := settings.Read(c, "tower")
	if err != nil {
		return err
	}
	t, err := tower.Open(config.Tower())
	if err != nil {
		return err
	}
	return serve.Nodes{Tower: t}.Serve(c.Context, config, "tower is running: nodes join with "+joinFlags(t))
}

// joinFlags are the flags by which nodes find the tower: those of other machines too, if it listens for them.
func joinFlags(t *tower.Tower) string {
	return fmt.Sprintf("--pub %s --sub %s", outward(t.Pub()), outward(t.Sub()))
}

// outward is where other machines connect to a bound endpoint, as far as this machine knows.
func outward(bound string) string {
	endpoint, err := zmqwire.ParseListenEndpoint(bound)
	if err != nil {
		return bound
	}
	if ip, err := netip.ParseAddr(endpoint.Host); err != nil || !ip.IsUnspecified() {
		return bound
	}
	own := tower.OwnAddress(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if six := tower.OwnAddress(netip.IPv6Loopback()); own.IsLoopback() && !six.IsLoopback() {
		own = six
	}
	endpoint.Host = own.String()
	return endpoint.String()
}

// reachable is where a program on this machine connects to a bound endpoint.
func reachable(bound string) string {
	return strings.NewReplacer("//0.0.0.0:", "//127.0.0.1:", "//[::]:", "//127.0.0.1:").Replace(bound)
}
