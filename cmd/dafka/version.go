package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

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
			if err := wantArgs(c, 0); err != nil {
				return err
			}
			return printVersions()
		},
	}
}

func printVersions() error {
	_, err := fmt.Fprintf(os.Stdout, "dafka %s\ngo %s\nlibzmq %s\n",
		version(), strings.TrimPrefix(runtime.Version(), "go"), zsock.LibraryVersion())
	return err
}

// version is the module's version, and the commit where the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	build := make(map[string]string)
	for _, s := range info.Settings {
		build[s.Key] = s.Value
	}
	if commit := build["vcs.revision"]; len(commit) >= 12 && !strings.Contains(v, commit[:12]) {
		v += " commit " + commit[:12]
		if build["vcs.modified"] == "true" {
			v += " with changes"
		}
	}
	return v
}
