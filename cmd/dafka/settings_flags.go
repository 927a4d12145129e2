package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
)

// nodeFlags are those of every command that joins a cluster, after the command's own.
func nodeFlags(own ...cli.Flag) []cli.Flag {
	return append(append(own, towerFlag(), pubFlag(), subFlag(), addressFlag("", "as the tower sees it"), bindFlag("", "any free port"),
		limitFlag(), configFlag(), strictFlag()), logFlags()...)
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

func limitFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "limit",
		Usage:       "what others may make this node hold, `NAME=N`: " + strings.Join(limitNames(), ", "),
		DefaultText: "see dafka config show",
	}
}

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "c", Usage: "read the settings that no flag and no variable gives from `FILE`", TakesFile: true}
}

func strictFlag() cli.Flag {
	return &cli.BoolFlag{
		Name: "strict-config", Usage: "refuse names in FILE and DAFKA_* variables that do not exist, instead of warning",
		DisableDefaultText: true,
	}
}

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Usage: "`FORMAT` of what goes to stderr: text, or json for one object a line", DefaultText: "text"},
		&cli.StringFlag{Name: "log-level", Usage: "what to log to stderr, `LEVEL` and above: debug, info, warn or error", DefaultText: "warn"},
		&cli.BoolFlag{Name: "verbose", Usage: "log to stderr all that happens, as --log-level debug", DisableDefaultText: true},
	}
}

func httpFlag() cli.Flag {
	return &cli.StringFlag{
		Name:        "http",
		Usage:       "serve /metrics, /healthz, /readyz and /debug/pprof at `[HOST:]PORT`; without HOST for this machine only",
		DefaultText: "not served",
	}
}

func fromBeginningFlag() cli.Flag {
	return &cli.BoolFlag{Name: "from-beginning", Usage: "begin with the oldest records, not with the next ones", DisableDefaultText: true}
}
