package command

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// FlagsFirst brings a command line into the order that urfave/cli reads: the command, its flags, then "--" and its
// arguments. People write flags after the topic as well. It knows each flag of the command, and so which word is a
// flag's value: a boolean flag never takes one, unless as --flag=value. "--" ends the flags and "-" is an argument.
func FlagsFirst(app *cli.App, args []string) ([]string, error) {
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "help" && len(app.Commands) > 0 {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	command, path, rest := commandOf(app, rest)
	var flags, words []string
	given := make(map[cli.Flag]string) // the flags that have one value, and which
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		if arg == "--" {
			words = append(words, rest...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			words = append(words, arg)
			continue
		}
		name, value, assigned := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if slices.Contains(cli.HelpFlag.Names(), name) {
			return append(path, "--help"), nil // whatever else was typed
		}
		if len(path) == 1 && !app.HideVersion && slices.Contains(cli.VersionFlag.Names(), name) {
			return append(path, "--version"), nil
		}
		flag := settings.FlagNamed(command.Flags, name)
		if flag == nil {
			return nil, terminal.NewUsageError(command.UsageText, "unknown flag %s (what begins with - and is no flag goes after --)%s", arg,
				settings.DidYouMean("--"+name, flagNames(command.Flags)))
		}
		flags = append(flags, arg)
		switch {
		case assigned:
		case takesValue(flag):
			if len(rest) == 0 {
				return nil, terminal.NewUsageError(command.UsageText, "flag %s needs a value", arg)
			}
			value = rest[0]
			flags = append(flags, value)
			rest = rest[1:]
		default:
			value = "true"
		}
		if before, again := given[flag]; again && before != value && mayOverride(flag) {
			fmt.Fprintf(os.Stderr, "dafka: warning: flag --%s is given twice: %q holds, not %q\n", flag.Names()[0], value, before)
		} else if again && before != value && !isList(flag) {
			return nil, terminal.NewUsageError(command.UsageText, "flag --%s is given twice, with %q and with %q: it has one value",
				flag.Names()[0], before, value)
		}
		given[flag] = value
	}
	line := append(path, flags...)
	if len(words) > 0 {
		line = append(append(line, "--"), words...)
	}
	return line, nil
}

// commandOf returns the command that the words of a command line name, the names up to it, and the words behind.
func commandOf(app *cli.App, words []string) (command *cli.Command, path, rest []string) {
	command, path = &cli.Command{Subcommands: app.Commands, Flags: app.Flags, UsageText: app.UsageText}, []string{app.Name}
	for len(words) > 0 {
		sub := command.Command(words[0])
		if sub == nil {
			break
		}
		command, path, words = sub, append(path, sub.Name), words[1:]
	}
	return command, path, words
}

// flagNames are the long names of flags, as they are typed.
func flagNames(flags []cli.Flag) []string {
	names := []string{"--help"}
	for _, f := range flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, "--"+name)
			}
		}
	}
	return names
}

func takesValue(f cli.Flag) bool {
	_, boolean := f.(*cli.BoolFlag)
	return !boolean
}

// mayOverride reports whether a second value of a flag holds in place of the first, with a warning. Scripts have one line
// of flags that place a node, and append what differs for one of the nodes.
func mayOverride(f cli.Flag) bool {
	return slices.Contains([]string{"address", "bind"}, f.Names()[0])
}

// isList says whether a flag may be given several times.
func isList(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.StringSliceFlag:
		return true
	case *cli.GenericFlag:
		_, words := f.Value.(*list)
		return words
	}
	return false
}
