package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
)

// towerCommand is `dafka tower`: the meeting point as a process.
func towerCommand() *cli.Command {
	return &cli.Command{
		Name:  "tower",
		Usage: "run a tower, where nodes learn of each other",
		Description: "Every other command finds the cluster through a tower. Records do not pass through it.\n\n" +
			"Example: dafka tower --pub 'tcp://*:5557' --sub 'tcp://*:5556'",
		Flags:  append(append(towerFlags("tcp://*:5557", "tcp://*:5556"), httpFlag(), configFlag(), strictFlag()), logFlags()...),
		Action: runTower,
	}
}

func runTower(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	config, err := readConfig(c, "tower")
	if err != nil {
		return err
	}
	t, err := tower.Open(config.tower())
	if err != nil {
		return err
	}
	return nodes{tower: t}.serve(c.Context, config, "tower is running: nodes join with "+joinFlags(t))
}

// joinFlags is what a node on this machine is given to find the tower.
func joinFlags(t *tower.Tower) string {
	return fmt.Sprintf("--pub %s --sub %s", reachable(t.Pub()), reachable(t.Sub()))
}

// reachable is where a program on this machine connects to a bound endpoint.
func reachable(bound string) string {
	return strings.NewReplacer("//0.0.0.0:", "//127.0.0.1:", "//[::]:", "//127.0.0.1:").Replace(bound)
}
