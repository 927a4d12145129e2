package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/zmqwire"
)

// consumeCommand is `dafka consume`: records become output.
func consumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "consume",
		Usage:     "print the records of topics",
		ArgsUsage: "TOPIC...",
		Description: "Formats:\n" +
			"  text  the content and a newline\n" +
			"  raw   the content alone\n" +
			"  hex   the content in hexadecimal, and a newline\n" +
			"  c     topic, partition and content with spaces between them, and a newline, as the C console consumer\n" +
			"  length  the length of the content in 4 bytes, the highest first, and the content\n" +
			"  json  an object a line: topic, partition, sequence, content. A value that is not UTF-8 is given in base64,\n" +
			"        and a further key says so: \"topic_base64\", \"partition_base64\" or \"content_base64\": true\n" +
			"        \"skipped\": N, with --skip-after, when N records before it were given up\n" +
			"Or -f gives a template, in which %t is the topic, %p the partition, %s the sequence, %S the length of the content\n" +
			"in bytes, %c the content, %% a %, and \\n, \\r, \\t, \\0, \\\\ and \\xHH are as in C.\n\n" +
			"Example: dafka consume packages --from-beginning --until-end --format json\n\n" +
			"Example: dafka consume --prefix log. -o -10 -f '%t %p %s %c\\n'",
		Flags: nodeFlags(
			&cli.BoolFlag{Name: "prefix", Usage: "read every topic that begins like a TOPIC", DisableDefaultText: true},
			&cli.StringFlag{Name: "partition", Usage: "read this partition only: `ADDRESS`", DefaultText: "all"},
			&cli.StringFlag{Name: "o", Usage: "begin each partition at `WHERE`: start, end (new records only), a sequence, or -N for the newest N", DefaultText: "end"},
			fromBeginningFlag(),
			&cli.Uint64Flag{Name: "n", Usage: "end after `COUNT` records", DefaultText: "no end"},
			&cli.BoolFlag{Name: "until-end", Aliases: []string{"e"}, Usage: "end when all records known to exist were printed", DisableDefaultText: true},
			&cli.DurationFlag{Name: "skip-after", Usage: "give up records that nobody has for so `LONG`, and say so: 30s", DefaultText: "never"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json, raw, length, hex or c", Value: "text"},
			&cli.StringFlag{Name: "f", Usage: "`TEMPLATE` of the output, instead of a format"},
		),
		Action: runConsume,
	}
}

func fromBeginningFlag() cli.Flag {
	return &cli.BoolFlag{Name: "from-beginning", Usage: "begin with the oldest records, not with the next ones", DisableDefaultText: true}
}

func runConsume(c *cli.Context) error {
	if c.NArg() == 0 {
		return wrong(c, "TOPIC is missing")
	}
	for _, topic := range c.Args().Slice() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return wrong(c, "%v", err)
		}
	}
	format := formats[c.String("format")]
	if format == nil {
		return wrong(c, "unknown format %q: want %s", c.String("format"),
			strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	if template := c.String("f"); template != "" {
		if c.IsSet("format") {
			return wrong(c, "-f or --format: want one of them")
		}
		var err error
		if format, err = parseTemplate(template); err != nil {
			return wrong(c, "-f: %v", err)
		}
	}
	if c.IsSet("n") && c.Uint64("n") == 0 {
		return wrong(c, "-n 0: want 1 or more")
	}
	if c.IsSet("partition") {
		if err := zmqwire.CheckName("--partition", c.String("partition")); err != nil {
			return wrong(c, "%v", err)
		}
	}
	if c.IsSet("skip-after") && c.Duration("skip-after") <= 0 {
		return wrong(c, "--skip-after %v: want a duration such as 30s", c.Duration("skip-after"))
	}
	if c.IsSet("o") && c.Bool("from-beginning") {
		return wrong(c, "-o or --from-beginning: want one of them")
	}
	config, err := readConfig(c, "consumer")
	if err != nil {
		return err
	}
	node := config.node()
	settings := consumer.Config{
		Topics: c.Args().Slice(), Prefix: c.Bool("prefix"), Partition: c.String("partition"), Reset: config.reset(),
		UntilEnd: c.Bool("until-end"), SkipAfter: c.Duration("skip-after"), Node: node,
	}
	if c.IsSet("o") {
		if err := beginAt(c.String("o"), &settings); err != nil {
			return wrong(c, "-o: %v", err)
		}
	}
	consumed, err := consumer.Open(settings)
	if err != nil {
		return err
	}
	stopSaying := sayWaiting(node, consumed.Connected)
	out := newPrinter(os.Stdout)
	ctx, stop := untilReaderGone(c.Context)
	defer stop()
	err = printRecords(ctx, consumed, out, format, c.Uint64("n"))
	stopSaying()
	return errors.Join(err, consumed.Close())
}

// reset is where a consumer begins. Any word but latest is earliest, as for C consumers.
func (c *config) reset() consumer.Reset {
	if c.text("consumer/offset/reset") == "latest" {
		return consumer.Latest
	}
	return consumer.Earliest
}

// beginAt sets where partitions begin.
func beginAt(where string, config *consumer.Config) error {
	switch where {
	case "end":
		config.Reset = consumer.Latest
		return nil
	case "start":
		config.Reset = consumer.Earliest
		return nil
	}
	digits, newest := strings.CutPrefix(where, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("%q: want start, end, a sequence such as 1000, or -10 for the newest 10", where)
	}
	config.Start = func(_, _ string, head uint64) uint64 {
		if !newest {
			return n
		}
		return head + 1 - min(n, head+1)
	}
	return nil
}

// printRecords prints count records (0: all there are) until the end or until ctx ends. It flushes when the next record
// has to be waited for: what is known is seen at once, and what is plenty is written in large pieces. When it returns,
// all that it printed is written, unless that failed.
func printRecords(ctx context.Context, from *consumer.Consumer, out *printer, format format, count uint64) (err error) {
	defer func() {
		if failure := out.Flush(); err == nil {
			err = failure
		}
	}()
	for n := uint64(0); count == 0 || n < count; n++ {
		record, err := from.Next(ctx)
		if err == io.EOF || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if record.Skipped > 0 {
			fmt.Fprintf(os.Stderr, "skipped records %d to %d of topic %s, partition %s: nobody has them\n",
				record.Sequence-record.Skipped, record.Sequence-1, printable(textOrBase64(record.Topic)), printable(textOrBase64(record.Partition)))
		}
		if err := out.print(format, &record); err != nil {
			return err
		}
		if !from.Buffered() {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
