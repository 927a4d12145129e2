package command

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/bench"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// New is the command line: a file for each command.
func New() *cli.App {
	app := &cli.App{
		Name:  terminal.Program,
		Usage: "decentralised streaming over ZeroMQ",
		Description: "Try it in three terminals:\n\n" +
			"  dafka dev\n" +
			"  dafka produce hello\n" +
			"  dafka consume hello --from-beginning",
		UsageText:             "dafka COMMAND",
		CustomAppHelpTemplate: helpTemplate + helpFooter(),
		Version:               terminal.BuildVersion(),
		HideHelpCommand:       true,
		OnUsageError:          settings.WrongFlag,
		Commands: []*cli.Command{
			devCommand(), produceCommand(), consumeCommand(), towerCommand(), storeCommand(),
			topicsCommand(), partitionsCommand(), peersCommand(), storesCommand(), compareCommand(), sniffCommand(), doctorCommand(),
			topCommand(), configCommand(), wireCommand(), bench.Command(), versionCommand(), bench.WorkerCommand(), manCommand(),
		},
		Action: needCommand,
	}
	prepare(app.Name, app.Commands)
	return app
}

// prepare sets what all commands share. They have no "help" command of their own: that may be the name of a topic.
func prepare(parent string, commands []*cli.Command) {
	for _, c := range commands {
		name := parent + " " + c.Name
		c.UsageText = usageText(name, c)
		c.CustomHelpTemplate = helpTemplate
		c.HideHelpCommand = true
		c.OnUsageError = settings.WrongFlag
		if c.Action == nil {
			c.Action = needCommand
		}
		prepare(name, c.Subcommands)
	}
}

// usageText is what a command line of the command looks like.
func usageText(name string, c *cli.Command) string {
	if len(c.Subcommands) > 0 && c.Action == nil {
		return name + " COMMAND"
	}
	if len(c.Flags) > 0 {
		name += " [flags]"
	}
	if c.ArgsUsage != "" {
		name += " " + c.ArgsUsage
	}
	return name
}

const helpTemplate = `{{.HelpName}}: {{.Usage}}

usage: {{.UsageText}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
flags:{{range .VisibleFlags}}
  {{.}}{{end}}
`

// helpFooter is what the help of the whole program says besides.
func helpFooter() string {
	var b strings.Builder
	b.WriteString("\nsettings: a flag, else a DAFKA_* variable, else the file of -c, else the default\n" +
		"  dafka config show  which hold, and where they were said\n" +
		"  man dafka.cfg      what they mean\n\nexit status:\n")
	for _, e := range terminal.ExitStatuses {
		fmt.Fprintf(&b, "  %-6s %s\n", e.Status, e.Means)
	}
	return b.String()
}

// needCommand is what a group of commands does: it wants one of them.
func needCommand(c *cli.Context) error {
	var names []string
	for _, command := range c.Command.Subcommands {
		if !command.Hidden {
			names = append(names, command.Name)
		}
	}
	want := strings.Join(names, ", ")
	if c.Args().Present() {
		return settings.UsageErrorf(c, "unknown command %q: want one of %s%s", c.Args().First(), want, settings.DidYouMean(c.Args().First(), names))
	}
	return settings.UsageErrorf(c, "which command? One of %s", want)
}
