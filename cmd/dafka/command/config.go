package command

import (
	"bufio"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

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
				"Names in the file and variables that do not exist are printed on stderr.\n\n" +
				"Example: dafka config show -c dafka.cfg",
			Flags:  []cli.Flag{settings.ConfigFlag(), settings.StrictFlag()},
			Action: runConfigShow,
		}},
	}
}

func runConfigShow(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := settings.Read(c, "")
	if err != nil {
		return err
	}
	config.PrintUnused(terminal.Stderr)
	out := bufio.NewWriter(os.Stdout)
	return errors.Join(config.Print(out), out.Flush())
}
