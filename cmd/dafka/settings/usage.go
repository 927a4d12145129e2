package settings

import (
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// UsageErrorf is a usage error of the command that runs.
func UsageErrorf(c *cli.Context, format string, args ...any) error {
	return terminal.NewUsageError(c.Command.UsageText, format, args...)
}

// badValue is how Go tells of a flag's value.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-+([^:]+): `)

// WrongFlag is how urfave/cli tells of a flag without, or with a bad value.
func WrongFlag(c *cli.Context, err error, _ bool) error {
	bad := badValue.FindStringSubmatch(err.Error())
	if bad == nil {
		return UsageErrorf(c, "%v", err)
	}
	flag := FlagNamed(c.Command.Flags, bad[2])
	want, what := "", "value"
	switch flag.(type) {
	case *cli.Uint64Flag:
		want = "a whole number, 0 or more"
	case *cli.IntFlag:
		want = "a whole number"
	case *cli.Float64Flag:
		want = "a number"
	case *cli.DurationFlag:
		want = "a time with its unit, such as 500ms, 30s or 5m"
	case *cli.BoolFlag:
		want, what = "true or false", "boolean value"
	default:
		return UsageErrorf(c, "%v", err)
	}
	dashes := "--"
	if len(bad[2]) == 1 {
		dashes = "-"
	}
	return UsageErrorf(c, "%s%s: invalid %s %s: want %s", dashes, bad[2], what, bad[1], want)
}

// WantArgs checks how many arguments a command has against the names of those it takes, of which so many are required.
func WantArgs(c *cli.Context, required int, names ...string) error {
	if n := c.NArg(); n < required {
		return UsageErrorf(c, "%s is missing", names[n])
	}
	if c.NArg() > len(names) {
		var commands []string
		for _, sub := range c.Command.Subcommands {
			commands = append(commands, sub.Name)
		}
		word := c.Args().Get(len(names))
		return UsageErrorf(c, "unexpected argument %q%s", word, DidYouMean(word, commands))
	}
	return nil
}

// FlagNamed returns the flag that has the name, or nil.
func FlagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}
