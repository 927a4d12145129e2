package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/survey"
)

// doctorCommand is `dafka doctor`: one look at a cluster, for what is wrong.
func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what is wrong with a cluster, and what to do about it",
		Description: "It looks for a few seconds, and connects to every node for a moment to see whether others can. The exit status\n" +
			"is 0 when all is well, 1 after warnings, 2 after errors, as health checks want it. A note changes nothing.\n\n" +
			"A store that ended before the doctor came is not announced any more: only --stores finds out.\n\n" +
			"Example: dafka doctor --stores 3 --format json",
		Flags: settings.NodeFlags(
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json or yaml", Value: "text"},
			&cli.IntFlag{Name: "stores", Usage: "how many stores there should be: `N`", DefaultText: "unknown"},
			&cli.DurationFlag{
				Name: "timeout", Value: 5 * time.Second,
				Usage: "how long to wait for a tower and for the answers of stores: `TIME` such as 5s",
			},
		),
		Action: runDoctor,
	}
}

func runDoctor(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := surveyConfig(c)
	if err != nil {
		return err
	}
	stores := c.Int("stores")
	if c.IsSet("stores") && stores < 1 {
		return settings.UsageErrorf(c, "--stores %d: want 1 or more", stores)
	}
	s, err := survey.Open(config)
	if err != nil {
		return err
	}
	defer s.Close()
	defer terminal.SayWaiting(config.Node.Pub, s.Connected)()
	d, err := s.Diagnose(c.Context, stores)
	if c.Context.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	v := terminal.View{Data: d, Text: func(w io.Writer, _ int) error { return printDiagnosis(w, d) }}
	if err := terminal.Show(os.Stdout, c.String("format"), false, v); err != nil {
		return err
	}
	switch d.Status {
	case string(survey.Error):
		return terminal.WithStatus(2, nil)
	case string(survey.Warning):
		return terminal.WithStatus(1, nil)
	}
	return nil
}

// printDiagnosis prints a diagnosis for people.
func printDiagnosis(w io.Writer, d *survey.Diagnosis) error {
	var text strings.Builder
	for _, f := range d.Findings {
		colour := terminal.Yellow
		switch f.Level {
		case survey.Error:
			colour = terminal.Red
		case survey.Note:
			colour = terminal.Green
		}
		fmt.Fprintf(&text, "%s: %s\n    %s\n", terminal.InColour(colour, string(f.Level)), f.What, f.Do)
	}
	if d.Status == "ok" {
		fmt.Fprintf(&text, "%s: ", terminal.InColour(terminal.Green, "all is well"))
	}
	n := func(n int, one string) string { return terminal.Plural(uint64(n), one) }
	fmt.Fprintf(&text, "%s, %s, %s in all, %s, %s\n", n(d.Towers, "tower"), n(d.Stores, "store"), n(d.Peers, "node"),
		n(d.Topics, "topic"), n(d.Partitions, "partition"))
	_, err := io.WriteString(w, text.String())
	return err
}
