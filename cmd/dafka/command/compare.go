package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/survey"
	"github.com/godafka/dafka/zmqwire"
)

// compareCommand is `dafka compare`: do the stores of a cluster hold the same?
func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "compare what the stores hold, record by record",
		ArgsUsage: "[TOPIC...]",
		Description: "All stores, in Go or in C, are asked for the records that two or more of them say they have, and everything they\n" +
			"give is compared. The exit status is 1 when any of it differs, or when a store does not give what it has. So much\n" +
			"is read and sent: on a busy cluster, name the topics.\n\n" +
			completeHelp + " Unless told, two are wanted.\n\n" +
			"Example: dafka compare packages",
		Flags:  surveyFlags(),
		Action: runCompare,
	}
}

func runCompare(c *cli.Context) error {
	for _, topic := range c.Args().Slice() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return settings.UsageErrorf(c, "%v", err)
		}
	}
	config, err := surveyConfig(c)
	if err != nil {
		return err
	}
	if !c.IsSet("min-stores") {
		config.MinStores = 2 // one has nothing to be compared with
	}
	s, err := survey.OpenComparing(config)
	if err != nil {
		return err
	}
	defer s.Close()
	stopSaying := terminal.SayWaiting(config.Node.Pub, s.Connected)
	results, snapshot, err := s.Compare(c.Context, c.Args().Slice()...)
	stopSaying()
	if c.Context.Err() != nil {
		return nil
	}
	if err != nil {
		return surveyError(err)
	}
	err = showComparison(os.Stdout, c.String("format"), results)
	var status *terminal.StatusError
	if err != nil && !errors.As(err, &status) {
		return err
	}
	doubt := incomplete(snapshot, config)
	for _, topic := range c.Args().Slice() {
		doubt = errors.Join(doubt, known(snapshot, topic))
	}
	if status != nil && doubt != nil {
		terminal.Say("%v", doubt) // that records differ is certain
		return err
	}
	return errors.Join(err, doubt)
}

// compareRow is what a comparison tells of one partition. The names in JSON are part of what programs rely on.
type compareRow struct {
	Topic           string   `json:"topic"`
	TopicBase64     bool     `json:"topic_base64,omitempty"`
	Partition       string   `json:"partition"`
	PartitionBase64 bool     `json:"partition_base64,omitempty"`
	Stores          []string `json:"stores"`             // those that hold some of it
	Compared        uint64   `json:"compared"`           // records that two of them gave
	Differ          uint64   `json:"differ"`             // of these, how many are not the same
	First           *uint64  `json:"first,omitempty"`    // the sequence of the first that is not
	Sides           string   `json:"sides,omitempty"`    // who agrees about it
	Failures        []string `json:"failures,omitempty"` // stores that did not give what they have
}

// showComparison prints what was found. What is wrong is an error too.
func showComparison(out io.Writer, format string, results []survey.Comparison) error {
	rows, wrong := make([]compareRow, 0, len(results)), 0
	for _, p := range results {
		row := compareRow{
			Stores: append(make([]string, 0), p.Stores...), Compared: p.Compared, Differ: p.Differ, Sides: p.Sides,
		}
		row.Topic, row.TopicBase64 = recordio.TextOrBase64(p.Topic)
		row.Partition, row.PartitionBase64 = recordio.TextOrBase64(p.Address)
		for _, f := range p.Failures {
			failure := fmt.Sprintf("%s does not give record %d of %d", f.Endpoint, f.Sequence, f.Records)
			row.Failures = append(row.Failures, failure)
		}
		if p.Differ > 0 {
			row.First = &p.First
		}
		if p.Differ > 0 || len(row.Failures) > 0 {
			wrong++
		}
		rows = append(rows, row)
	}
	err := terminal.Show(out, format, false, terminal.View{Data: rows, Text: func(w io.Writer, columns int) error {
		t := terminal.Table{Heading: []string{"TOPIC", "PARTITION", "STORES", "COMPARED", "RESULT"}, Names: 2}
		for _, r := range rows {
			result := "same"
			if len(r.Stores) < 2 {
				result = "nothing to compare with"
			}
			if r.Differ > 0 {
				differs := "records differ"
				if r.Differ == 1 {
					differs = "record differs"
				}
				result = fmt.Sprintf("%d %s from %d on: %s", r.Differ, differs, *r.First, r.Sides)
			} else if len(r.Failures) > 0 {
				result = strings.Join(r.Failures, ", ")
			}
			t.Add(terminal.Printable(r.Topic, r.TopicBase64), terminal.Printable(r.Partition, r.PartitionBase64),
				strconv.Itoa(len(r.Stores)), number(r.Compared), result)
		}
		return t.Print(w, columns)
	}})
	if err == nil && wrong > 0 {
		err = terminal.WithStatus(terminal.StatusFailure, nil)
	}
	return err
}
