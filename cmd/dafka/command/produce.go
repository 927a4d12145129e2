package command

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/zmqwire"
)

// produceCommand is `dafka produce`: lines become records.
func produceCommand() *cli.Command {
	return &cli.Command{
		Name:      "produce",
		Usage:     "publish each line of stdin, or of a file, as a record",
		ArgsUsage: "TOPIC [FILE]",
		Description: "The line ending (\\n or \\r\\n) is not part of the record; an empty line is an empty record. Ends when a store\n" +
			"has acked all records, or as many stores as --min-acks says. Each run is a partition of its own.\n" +
			"A record is as large as --limit frame=N at most.\n\n" +
			"Formats of the input, as dafka consume prints them:\n" +
			"  text    a record in each line\n" +
			"  length  the length of the record in 4 bytes, the highest first, and the record\n" +
			"  json    an object in each line. Its content is the record; \"content_base64\": true says that it is in base64.\n" +
			"          Without TOPIC each record goes to the topic that its object names, a partition for each of them, and 64\n" +
			"          topics at most. The object's partition and sequence are not looked at.\n\n" +
			"Example: dafka produce packages /var/log/dpkg.log\n\n" +
			"Example: find . -print0 | dafka produce files --delimiter '\\0' --rate 1000\n\n" +
			"Example: dafka consume packages --from-beginning -e --format json | dafka produce copies --format json\n\n" +
			"Example: dafka produce pictures cat.jpg --whole --timeout 10s || echo nobody has it",
		Flags: settings.NodeFlags(
			&cli.StringFlag{Name: "delimiter", Usage: "`TEXT` that ends each record, with \\n, \\t, \\0, \\xHH as in C", DefaultText: "the line ending"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the input: text, length or json", Value: "text"},
			&cli.BoolFlag{Name: "whole", Usage: "publish the whole input as one record", DisableDefaultText: true},
			&cli.Float64Flag{Name: "rate", Usage: "publish so many `RECORDS` a second at most; a pause is not made up for", DefaultText: "no limit"},
			&cli.DurationFlag{Name: "timeout", Usage: "end with status 3 when no tower is heard, or no store acks, for so long: `TIME` such as 10s", DefaultText: "none"},
			&cli.IntFlag{Name: "min-acks", Usage: "how many different stores must have a record: `COUNT`", Value: 1},
		),
		Action: runProduce,
	}
}

func runProduce(c *cli.Context) error {
	format := c.String("format")
	open := recordio.Sources[format]
	required := 1
	switch {
	case open == nil:
		return settings.UsageErrorf(c, "--format %s: want %s", format, strings.Join(slices.Sorted(maps.Keys(recordio.Sources)), ", "))
	case format == "json":
		required = 0 // the records name it
	}
	if err := settings.WantArgs(c, required, "TOPIC", "FILE"); err != nil {
		return err
	}
	topic := c.Args().First()
	if c.Args().Present() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return settings.UsageErrorf(c, "%v", err)
		}
	}
	delimiter, err := recordio.Unescape(c.String("delimiter"))
	switch {
	case err != nil:
		return settings.UsageErrorf(c, "--delimiter: %v", err)
	case c.IsSet("delimiter") && (delimiter == "" || c.Bool("whole")):
		return settings.UsageErrorf(c, "--delimiter: want some text, and not --whole")
	case format != "text" && (c.IsSet("delimiter") || c.Bool("whole")):
		return settings.UsageErrorf(c, "--format %s: want no --delimiter and no --whole", format)
	case c.IsSet("rate") && !(c.Float64("rate") > 0):
		return settings.UsageErrorf(c, "--rate %v: want more than 0", c.Float64("rate"))
	case c.IsSet("timeout") && c.Duration("timeout") <= 0:
		return settings.UsageErrorf(c, "--timeout %v: want more than 0", c.Duration("timeout"))
	}
	config, err := settings.Read(c, "producer")
	if err != nil {
		return err
	}
	if c.Int("min-acks") < 1 {
		return settings.UsageErrorf(c, "--min-acks %d: want 1 or more", c.Int("min-acks"))
	}
	in, err := recordio.OpenInput(c.Context, c, 1)
	if err != nil {
		return err
	}
	defer in.Close()
	node := config.Node()
	publishing := config.Producer(topic, node)
	publishing.MinAcks = c.Int("min-acks")
	p, err := recordio.OpenPublisher(publishing)
	if err != nil {
		return err
	}
	ctx, giveUp := context.WithCancelCause(c.Context)
	defer giveUp(nil)
	if timeout := c.Duration("timeout"); timeout > 0 {
		go recordio.AwaitContact(ctx, p, timeout, giveUp)
	}
	progress := recordio.StartProgress(p, node, terminal.IsTerminal(os.Stderr), terminal.IsTerminal(in))
	most := node.Limits.Frame
	records := open(ctx, in, most)
	switch {
	case c.Bool("whole"):
		records = recordio.WholeOf(ctx, in, most)
	case delimiter != "":
		lines := recordio.NewLines(ctx, in, most)
		lines.Delimiter = delimiter
		records = recordio.LinesOf(lines)
	}
	readErr, closeErr := recordio.ProduceAll(ctx, p, progress, records, &recordio.Pace{Rate: c.Float64("rate")})
	if errors.Is(context.Cause(ctx), recordio.ErrUnreached) && (readErr != nil || closeErr != nil) {
		return recordio.Unreached(p.Stats(), node, c.Duration("timeout"))
	}
	return recordio.AfterEnd(readErr, closeErr)
}
