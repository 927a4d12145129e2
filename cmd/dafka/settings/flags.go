package settings

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
)

// NodeFlags are those of every command that joins a cluster, after the command's own.
func NodeFlags(own ...cli.Flag) []cli.Flag {
	return append(append(own, towerFlag(), PubFlag(), SubFlag(), AddressFlag("", "as the tower sees it"), BindFlag("", "any free port"),
		LimitFlag(), ConfigFlag(), StrictFlag()), LogFlags()...)
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

// PubFlag is where nodes learn of each other.
func PubFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "pub",
		Usage:       "instead of --tower, `ENDPOINT` where nodes learn of each other; for several towers a list with commas",
		DefaultText: tower.DefaultPub,
	}
}

// SubFlag is where nodes announce themselves.
func SubFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "sub",
		Usage:       "instead of --tower, `ENDPOINT` where nodes announce themselves; likewise",
		DefaultText: tower.DefaultSub,
	}
}

// TowerFlags are where a tower listens.
func TowerFlags(pub, sub string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "pub", Usage: "where the tower listens for nodes to hear of each other: `ENDPOINT`", Value: pub},
		&cli.StringFlag{Name: "sub", Usage: "where the tower listens for nodes to announce themselves: `ENDPOINT`", Value: sub},
	}
}

// AddressFlag is where other nodes reach this one.
func AddressFlag(value, byDefault string) cli.Flag {
	return &cli.StringFlag{
		Name:        "address",
		Usage:       "IP address or name at which other nodes reach this one: `HOST`",
		Value:       value,
		DefaultText: byDefault,
	}
}

// BindFlag is where this node listens.
func BindFlag(value, byDefault string) cli.Flag {
	return &cli.StringFlag{
		Name:        "bind",
		Usage:       "where this node listens: `[HOST:]PORT`, or HOST for any free port there",
		Value:       value,
		DefaultText: byDefault,
	}
}

// LimitFlag bounds what other nodes make this one hold.
func LimitFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name:        "limit",
		Usage:       "what others may make this node hold, `NAME=N`: " + strings.Join(LimitNames(), ", "),
		DefaultText: "see dafka config show",
	}
}

// ConfigFlag names the configuration file.
func ConfigFlag() cli.Flag {
	return &cli.StringFlag{Name: "c", Usage: "read the settings that no flag and no variable gives from `FILE`", TakesFile: true}
}

// StrictFlag refuses what has no effect.
func StrictFlag() cli.Flag {
	return &cli.BoolFlag{
		Name: "strict-config", Usage: "refuse names in FILE and DAFKA_* variables that do not exist, instead of warning",
		DisableDefaultText: true,
	}
}

// LogFlags are those of the log on stderr.
func LogFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Usage: "`FORMAT` of what goes to stderr: text, or json for one object a line", DefaultText: "text"},
		&cli.StringFlag{Name: "log-level", Usage: "what to log to stderr, `LEVEL` and above: debug, info, warn or error", DefaultText: "warn"},
		&cli.BoolFlag{Name: "verbose", Usage: "log to stderr all that happens, as --log-level debug", DisableDefaultText: true},
	}
}

// HTTPFlag is where metrics and health are served.
func HTTPFlag() cli.Flag {
	return &cli.StringFlag{
		Name:        "http",
		Usage:       "serve /metrics, /healthz, /readyz and /debug/pprof at `[HOST:]PORT`; without HOST for this machine only",
		DefaultText: "not served",
	}
}

// FromBeginningFlag begins with the oldest records.
func FromBeginningFlag() cli.Flag {
	return &cli.BoolFlag{Name: "from-beginning", Usage: "begin with the oldest records, not with the next ones", DisableDefaultText: true}
}
