package command

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/serve"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

const devDir = "dafka-data"

// devCommand is `dafka dev`: all that a program under development needs of a cluster, in one process on loopback.
func devCommand() *cli.Command {
	return &cli.Command{
		Name:  "dev",
		Usage: "run a tower and a store in one process, on this machine only",
		Description: "The other commands find it without any flag. By default nothing of it can be reached from elsewhere.\n\n" +
			"Example: dafka dev",
		Flags: append(append(settings.TowerFlags(tower.DefaultPub, tower.DefaultSub),
			&cli.StringFlag{Name: "db", Usage: "`DIR` of the database, made when it is not there", Value: devDir},
			settings.AddressFlag("127.0.0.1", ""), settings.BindFlag("127.0.0.1", "any free port on 127.0.0.1"), settings.HTTPFlag(),
			settings.LimitFlag(), settings.ConfigFlag(), settings.StrictFlag(),
		), settings.LogFlags()...),
		Action: runDev,
	}
}

func runDev(c *cli.Context) error {
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
	dir, node := config.Text("store/db"), config.Node()
	node.Pub, node.Sub = []string{reachable(t.Pub())}, []string{reachable(t.Sub())}
	s, err := store.Open(store.Config{Dir: dir, Node: node})
	if err != nil {
		return errors.Join(err, t.Close())
	}
	running := fmt.Sprintf("tower and store are running: records are kept in %s%s, nodes join with %s", dir, storePorts(node), joinFlags(t))
	return serve.Nodes{Tower: t, Store: s}.Serve(c.Context, config, running)
}
