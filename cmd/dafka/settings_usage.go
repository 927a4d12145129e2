package main

import (
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"
)

// usageErrorf is a usage error of the command that runs.
func usageErrorf(c *cli.Context, format string, args ...any) error {
	return newUsageError(c.Command.UsageText, format, args...)
}

// badValue is how Go tells of a flag's value.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-+([^:]+): `)

// wrongFlag is how urfave/cli tells of a flag without, or with a bad value.
func wrongFlag(c *cli.Context, err error, _ bool) error {
	bad := badValue.FindStringSubmatch(err.Error())
	if bad == nil {
		return usageErrorf(c, "%v", err)
	}
	flag := flagNamed(c.Command.Flags, bad[2])
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
		return usageErrorf(c, "%v", err)
	}
	dashes := "--"
	if len(bad[2]) == 1 {
		dashes = "-"
	}
	return usageErrorf(c, "%s%s: invalid %s %s: want %s", dashes, bad[2], what, bad[1], want)
}

// wantArgs checks how many arguments a command has against the names of those it takes, of which so many are required.
func wantArgs(c *cli.Context, required int, names ...string) error {
	if n := c.NArg(); n < required {
		return usageErrorf(c, "%s is missing", names[n])
	}
	if c.NArg() > len(names) {
		var commands []string
		for _, sub := range c.Command.Subcommands {
			commands = append(commands, sub.Name)
		}
		word := c.Args().Get(len(names))
		return usageErrorf(c, "unexpected argument %q%s", word, didYouMean(word, commands))
	}
	return nil
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}
