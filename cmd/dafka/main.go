// Command dafka is Dafka on the command line: towers, stores, producers and consumers as processes, and a look at the
// bytes they exchange. Called by the name of a C program, such as dafka_towerd, it is that program.
//
// Stdout carries data only. The exit status is 0 when the work is done or one signal ended it, 1 after a failure, 2 when
// the command line is wrong, 3 when nobody could be reached in the time given or an answer may be incomplete, and 128 plus
// its number when a second signal ended it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/cnames"
	"github.com/godafka/dafka/cmd/dafka/command"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// patience is how long a program that was told to end may take over it.
const patience = 1800 * time.Millisecond

func main() {
	status := run(os.Args)
	terminal.DrainLogs(terminal.LogPatience)
	os.Exit(status)
}

func run(args []string) int {
	// When the reader of stdout goes away, writing shall fail, not kill.
	signal.Ignore(syscall.SIGPIPE)
	app := cnames.Named(args[0])
	if app == nil {
		app = command.New()
	}
	// Failures are reported here, all in one way.
	app.ExitErrHandler = func(*cli.Context, error) {}
	if args[len(args)-1] == command.CompletionFlag {
		return command.Complete(app, args)
	}
	args, err := command.FlagsFirst(app, args)
	if err == nil {
		err = app.RunContext(endOnSignal(app.Name), args)
	}
	return terminal.Report(app.Name, err)
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
					terminal.DrainLogs(terminal.LogPatience / 10)
					os.Exit(128 + int(s.(syscall.Signal)))
				}
			case <-timeout:
				status := terminal.Report(name, fmt.Errorf("still busy %v after the signal to end; ended all the same", patience))
				terminal.DrainLogs(terminal.LogPatience / 10)
				os.Exit(status)
			}
		}
	}()
	return ctx
}
