package command

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/serve"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// storeCommand is `dafka store`: a store as a process.
func storeCommand() *cli.Command {
	return &cli.Command{
		Name:  "store",
		Usage: "run a store, which keeps all records of all topics on disk",
		Description: "A record is acked to its producer when it is on the disk. What a consumer missed it gets from here.\n" +
			"A store is two nodes: with a fixed port in --bind, it uses the next port as well.\n\n" +
			"Example: dafka store --db /var/lib/dafka",
		Flags: settings.NodeFlags(
			&cli.StringFlag{Name: "db", Usage: "`DIR` of the database, made when it is not there", Value: "storedb"},
			settings.HTTPFlag(),
		),
		Action: runStore,
		Subcommands: []*cli.Command{
			storeVerifyCommand(), storeRepairCommand(), storeBackupCommand(), storeRestoreCommand(),
			storeExportCommand(), storeImportCommand(),
		},
	}
}

// storePorts names the ports of a store's two nodes, where they are not free ones.
func storePorts(node tower.NodeConfig) string {
	endpoint, err := zmqwire.ParseListenEndpoint(node.Bind)
	if err != nil || endpoint.Port == 0 {
		return ""
	}
	return fmt.Sprintf(", its ports are %d and %d", endpoint.Port, endpoint.Port+1)
}

func runStore(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := settings.Read(c, "store")
	if err != nil {
		return err
	}
	dir, node := config.Text("store/db"), config.Node()
	s, err := store.Open(store.Config{Dir: dir, Node: node})
	if err != nil {
		return err
	}
	defer terminal.SayWaiting(node.Pub, s.Connected)()
	return serve.Nodes{Store: s}.Serve(c.Context, config, "store is running: records are kept in "+dir+storePorts(node))
}
