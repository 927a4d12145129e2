package command

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// versionCommand is `dafka version`, and `dafka --version`: what to write into a bug report.
func versionCommand() *cli.Command {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the versions of dafka, Go and libzmq", DisableDefaultText: true}
	cli.VersionPrinter = func(*cli.Context) { printVersions() }
	return &cli.Command{
		Name:        "version",
		Usage:       "print the versions of dafka, Go and libzmq",
		Description: "Example: dafka version",
		Action: func(c *cli.Context) error {
			if err := settings.WantArgs(c, 0); err != nil {
				return err
			}
			return printVersions()
		},
	}
}

func printVersions() error {
	_, err := fmt.Fprintf(os.Stdout, "dafka %s\ngo %s\nlibzmq %s\n",
		terminal.BuildVersion(), strings.TrimPrefix(runtime.Version(), "go"), zsock.LibraryVersion())
	return err
}
