// Command dafka is Dafka on the command line: towers, stores, producers and consumers as processes, and a look at the
// bytes they exchange. Called by the name of a C program, such as dafka_towerd, it is that program.
//
// Stdout carries data only. The exit status is 0 when the work is done or one signal ended it, 1 after a failure, 2 when
// the command line is wrong, 3 when nobody could be reached in the time given or an answer may be incomplete, and 128 plus
// its number when a second signal ended it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

const (
	statusFailure   = 1
	statusUsage     = 2
	statusUnreached = 3
)

// exitStatus is one, as help shows it.
type exitStatus struct{ status, means string }

// exitStatuses are all that a user meets.
var exitStatuses = []exitStatus{
	{"0", "the work is done, or one signal ended it"},
	{"1", "a failure; for produce also records without an ACK"},
	{"2", "the command line, a variable or the configuration file is wrong"},
	{"3", "no tower or store was reached in the time given, or the end of the records is not certain"},
	{"128+N", "a second signal, of number N, ended it at once"},
}

// patience is how long a program that was told to end may take over it.
const patience = 1800 * time.Millisecond

// program is its name, unless it is called by that of a C program.
const program = "dafka"

func main() {
	status := run(os.Args)
	drainLogs(logPatience)
	os.Exit(status)
}

func run(args []string) int {
	// When the reader of stdout goes away, writing shall fail, not kill.
	signal.Ignore(syscall.SIGPIPE)
	app := cProgramNamed(args[0])
	if app == nil {
		app = newApp()
	}
	// Failures are reported here, all in one way.
	app.ExitErrHandler = func(*cli.Context, error) {}
	if args[len(args)-1] == completionFlag {
		return complete(app, args)
	}
	args, err := flagsFirst(app, args)
	if err == nil {
		err = app.RunContext(endOnSignal(app.Name), args)
	}
	return report(app.Name, err)
}

// newApp is the command line: a file for each command.
func newApp() *cli.App {
	app := &cli.App{
		Name:  program,
		Usage: "decentralised streaming over ZeroMQ",
		Description: "Try it in three terminals:\n\n" +
			"  dafka dev\n" +
			"  dafka produce hello\n" +
			"  dafka consume hello --from-beginning",
		UsageText:             "dafka COMMAND",
		CustomAppHelpTemplate: helpTemplate + helpFooter(),
		Version:               version(),
		HideHelpCommand:       true,
		OnUsageError:          wrongFlag,
		Commands: []*cli.Command{
			devCommand(), produceCommand(), consumeCommand(), towerCommand(), storeCommand(),
			topicsCommand(), partitionsCommand(), peersCommand(), storesCommand(), compareCommand(), sniffCommand(), doctorCommand(),
			topCommand(), configCommand(), wireCommand(), benchCommand(), versionCommand(), benchWorkerCommand(), manCommand(),
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
		c.OnUsageError = wrongFlag
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
	for _, e := range exitStatuses {
		fmt.Fprintf(&b, "  %-6s %s\n", e.status, e.means)
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
		return usageErrorf(c, "unknown command %q: want one of %s%s", c.Args().First(), want, didYouMean(c.Args().First(), names))
	}
	return usageErrorf(c, "which command? One of %s", want)
}

// usageError is a command line that cannot be carried out.
type usageError struct {
	message string
	usage   string // what it should look like
}

func (e *usageError) Error() string { return e.message }

// newUsageError is a usageError of a command line that should look like usage.
func newUsageError(usage, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), usage}
}

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

// report says on stderr what went wrong with the program and gives the exit status.
func report(name string, err error) int {
	if err == nil || err == errEnded || readerGone(err) {
		return 0
	}
	var status *statusError
	if errors.As(err, &status) && status.error == nil {
		return status.status // stdout says why
	}
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	if jsonLog != nil {
		jsonLog.Error(message)
	} else {
		fmt.Fprintf(stderr, "%s: error: %s\n", name, message)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		if jsonLog != nil {
			return statusUsage
		}
		line := "usage: %s (--help says more)\n"
		if name != program {
			line = "Usage: %s\n" // as C writes it; and there is no more
		}
		fmt.Fprintf(stderr, line, usage.usage)
		return statusUsage
	}
	if status != nil {
		return status.status
	}
	return statusFailure
}

// statusError is a failure with an exit status of its own. Without an error there is nothing to report.
type statusError struct {
	status int
	error
}

// withStatus gives a failure an exit status of its own. Without an error there is nothing to report.
func withStatus(status int, err error) error { return &statusError{status, err} }

// readerGone says that err is of writing to a program that has read enough, as head does: no reason to complain.
func readerGone(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(path, syscall.EPIPE)
}

// endOnSignal gives a context that ends with the first SIGINT, SIGTERM or SIGHUP. A second one ends the program at once,
// and so does the end of its patience: a node may hang on a disk, and output on a program that does not read it.
// A SIGHUP that was ignored when the program began, as nohup has it, stays ignored. It is never the second signal, for
// a terminal that goes away may send several.
func endOnSignal(name string) context.Context {
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		end()
		for timeout := time.After(patience); ; {
			select {
			case s := <-signals:
				if s != syscall.SIGHUP {
					drainLogs(logPatience / 10)
					os.Exit(128 + int(s.(syscall.Signal)))
				}
			case <-timeout:
				status := report(name, fmt.Errorf("still busy %v after the signal to end; ended all the same", patience))
				drainLogs(logPatience / 10)
				os.Exit(status)
			}
		}
	}()
	return ctx
}
