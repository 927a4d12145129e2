package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

// doctorCommand is `dafka doctor`: one look at a cluster, for what is wrong.
func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what is wrong with a cluster, and what to do about it",
		Description: "It looks for a few seconds. The exit status is 0 when all is well, 1 after warnings, 2 after errors, as health\n" +
			"checks want it.\n\n" +
			"Example: dafka doctor --format json",
		Flags: nodeFlags(
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json or yaml", Value: "text"},
		),
		Action: runDoctor,
	}
}

// secondLook is how long after the first picture the second is drawn: what is on its way has arrived by then.
const secondLook = 2 * time.Second

func runDoctor(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	format := c.String("format")
	if err := checkFormat(c, format); err != nil {
		return err
	}
	s, err := openSurvey(c, headFrame)
	if err != nil {
		return err
	}
	defer s.close()
	defer sayWaiting(s.config, s.node.Connected)()
	before := s.picture
	if err = s.settle(c.Context); err == nil {
		before = s.clone()
		err = errors.Join(s.watch(c.Context, secondLook), s.refresh(c.Context))
	}
	if c.Context.Err() != nil {
		return nil
	}
	if err != nil && !errors.As(err, new(*statusError)) { // that no tower is heard is a finding
		return err
	}
	d := diagnose(s.node.Links(), before, s.picture)
	if err := show(os.Stdout, format, false, view{d, d.print}); err != nil {
		return err
	}
	switch d.Status {
	case string(broken):
		return &statusError{status: 2}
	case string(warning):
		return &statusError{status: 1}
	}
	return nil
}

// print tells people.
func (d *diagnosis) print(w io.Writer) {
	for _, f := range d.Findings {
		colour := yellow
		if f.Level == broken {
			colour = red
		}
		fmt.Fprintf(w, "%s: %s\n    %s\n", inColour(colour, string(f.Level)), f.What, f.Do)
	}
	if len(d.Findings) == 0 {
		fmt.Fprintf(w, "%s: ", inColour(green, "all is well"))
	}
	n := func(n int, one, many string) string { return count(uint64(n), one, many) }
	fmt.Fprintf(w, "%s, %s, %s in all, %s, %s\n", n(d.Towers, "tower", "towers"), n(d.Stores, "store", "stores"),
		n(d.Peers, "node", "nodes"), n(d.Topics, "topic", "topics"), n(d.Partitions, "partition", "partitions"))
}

// Colours of terminals.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// inColour colours text that a person will see on stdout, unless the person does not want it (https://no-color.org).
func inColour(colour, text string) string {
	if os.Getenv("NO_COLOR") != "" || !isTerminal(os.Stdout) {
		return text
	}
	return "\x1b[1;" + colour + "m" + text + "\x1b[0m"
}
