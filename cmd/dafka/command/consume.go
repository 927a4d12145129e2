package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// consumeCommand is `dafka consume`: records become output.
func consumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "consume",
		Usage:     "print the records of topics",
		ArgsUsage: "TOPIC...",
		Description: "A record that is printed live may be in no store yet, and may never be, as when its producer is killed.\n" +
			"--stored prints what --min-stores different stores are known to have, as soon as they do.\n\n" +
			"Formats:\n" +
			"  text    the content and a newline\n" +
			"  raw     the content alone\n" +
			"  hex     the content in hexadecimal, and a newline\n" +
			"  c       topic, partition and content with spaces between them, and a newline, as the C console consumer\n" +
			"  length  the length of the content in 4 bytes, the highest first, and the content\n" +
			"  json    an object a line: topic, partition, sequence, content. A value that is not UTF-8 is given in base64,\n" +
			"          and a further key says so: \"topic_base64\", \"partition_base64\" or \"content_base64\": true\n" +
			"          \"skipped\": N, with --skip-after, when N records before it were given up\n" +
			"Or -f gives a template, in which %t is the topic, %p the partition, %s the sequence, %S the length of the content\n" +
			"in bytes, %c the content, %% a %, and \\n, \\r, \\t, \\0, \\\\ and \\xHH are as in C.\n\n" +
			"With --until-end the exit status is 0 only when the end is certain: all known nodes have connected, and all known\n" +
			"stores, --min-stores or more, have sent what they have. It is 3 when they have not within --timeout, or when a\n" +
			"partition is announced whose records no node sends: stderr then names what is missing. It is 1 when the end is\n" +
			"certain and no node knows a topic or a --partition, or no partition goes as far as -o says. (From the end on, as\n" +
			"without -o and --from-beginning, that is not asked.)\n\n" +
			"Example: dafka consume packages --from-beginning --until-end --format json\n\n" +
			"Example: dafka consume --prefix log. -o -10 -f '%t %p %s %c\\n'",
		Flags: settings.NodeFlags(
			&cli.BoolFlag{Name: "prefix", Usage: "read every topic that begins like a TOPIC", DisableDefaultText: true},
			&cli.BoolFlag{Name: "all", Usage: "read all topics, instead of a TOPIC", DisableDefaultText: true},
			&cli.GenericFlag{Name: "exclude", Usage: "leave out the topics that match `PATTERN`, in which * is any text; may be repeated",
				Value: &list{}, DefaultText: "none"},
			&cli.GenericFlag{Name: "partition", Usage: "read the partition `ADDRESS` only; may be repeated", Value: &list{}, DefaultText: "all"},
			&cli.StringFlag{Name: "o", Usage: "begin each partition at `WHERE`: start, end (new records only), a sequence, or -N for the newest N", DefaultText: "end"},
			settings.FromBeginningFlag(),
			&cli.Uint64Flag{Name: "n", Usage: "end after `COUNT` records", DefaultText: "no end"},
			&cli.BoolFlag{Name: "until-end", Aliases: []string{"e"}, Usage: "end when all records known to exist were printed", DisableDefaultText: true},
			&cli.DurationFlag{Name: "timeout", Usage: "end with status 3 after this `TIME` without a tower; with --until-end, also without a " +
				"certain end and without a record that was asked for", DefaultText: "10s with --until-end or -n, else none"},
			&cli.BoolFlag{Name: "stored", Usage: "print only records that a store is known to have", DisableDefaultText: true},
			&cli.IntFlag{Name: "min-stores", Usage: "`COUNT` of stores that, with --until-end, must have sent what they have (0 wants none) and, with --stored, " +
				"must have a record", Value: 1},
			&cli.DurationFlag{Name: "skip-after", Usage: "give up records that nobody has for so `LONG`, and say so: 30s", DefaultText: "never"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json, raw, length, hex or c", Value: "text"},
			&cli.StringFlag{Name: "f", Usage: "`TEMPLATE` of the output, instead of a format"},
		),
		Action: runConsume,
	}
}

func runConsume(c *cli.Context) error {
	switch {
	case c.Bool("all") && (c.NArg() > 0 || c.Bool("prefix")):
		return settings.UsageErrorf(c, "--all: want no TOPIC and no --prefix besides it")
	case !c.Bool("all") && c.NArg() == 0:
		return settings.UsageErrorf(c, "TOPIC is missing; --all reads all topics")
	}
	for _, topic := range c.Args().Slice() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return settings.UsageErrorf(c, "%v", err)
		}
	}
	format := recordio.Formats[c.String("format")]
	if format == nil {
		return settings.UsageErrorf(c, "unknown format %q: want %s", c.String("format"),
			strings.Join(slices.Sorted(maps.Keys(recordio.Formats)), ", "))
	}
	if template := c.String("f"); template != "" {
		if c.IsSet("format") {
			return settings.UsageErrorf(c, "-f or --format: want one of them")
		}
		var err error
		if format, err = recordio.ParseTemplate(template); err != nil {
			return settings.UsageErrorf(c, "-f: %v", err)
		}
	}
	if c.IsSet("n") && c.Uint64("n") == 0 {
		return settings.UsageErrorf(c, "-n 0: want 1 or more")
	}
	partitions, excluded := listOf(c, "partition"), listOf(c, "exclude")
	for _, partition := range partitions {
		if err := zmqwire.CheckName("--partition", partition); err != nil {
			return settings.UsageErrorf(c, "%v", err)
		}
	}
	if c.IsSet("timeout") && c.Duration("timeout") <= 0 {
		return settings.UsageErrorf(c, "--timeout %v: want a duration such as 30s", c.Duration("timeout"))
	}
	if c.Int("min-stores") < 0 {
		return settings.UsageErrorf(c, "--min-stores %d: want 1 or more, or 0 for none", c.Int("min-stores"))
	}
	if c.IsSet("skip-after") && c.Duration("skip-after") <= 0 {
		return settings.UsageErrorf(c, "--skip-after %v: want a duration such as 30s", c.Duration("skip-after"))
	}
	if c.IsSet("o") && c.Bool("from-beginning") {
		return settings.UsageErrorf(c, "-o or --from-beginning: want one of them")
	}
	config, err := settings.Read(c, "consumer")
	if err != nil {
		return err
	}
	node := config.Node()
	reading := consumer.Config{
		Topics: c.Args().Slice(), Prefix: c.Bool("prefix") || c.Bool("all"), Reset: config.Reset(),
		UntilEnd: c.Bool("until-end"), SkipAfter: c.Duration("skip-after"), Node: node,
		EndTimeout: c.Duration("timeout"), MinStores: c.Int("min-stores"), StoredOnly: c.Bool("stored"),
	}
	if c.Bool("all") {
		reading.Topics = []string{""}
	}
	if reading.MinStores == 0 {
		reading.MinStores = consumer.NoStores
	}
	wanted := &wanted{prefix: reading.Prefix, partitions: partitions, excluded: excluded, found: make(map[string]bool)}
	if len(partitions)+len(excluded) > 0 {
		reading.Filter = wanted.filter
	}
	if c.IsSet("o") {
		if err := wanted.beginAt(c.String("o"), &reading); err != nil {
			return settings.UsageErrorf(c, "-o: %v", err)
		}
	}
	wanted.asked = reading.Start != nil || reading.Reset != consumer.Latest
	consumed, err := consumer.Open(reading)
	if err != nil {
		return err
	}
	wanted.consumer = consumed
	stopSaying := terminal.SayWaiting(node.Pub, consumed.Connected)
	if terminal.IsTerminal(os.Stderr) && !reading.UntilEnd {
		defer wanted.sayMissing()()
	}
	out := recordio.NewPrinter(os.Stdout)
	ctx, stop := recordio.UntilReaderGone(c.Context)
	defer stop()
	if err = awaitTower(ctx, c, consumed, node); err == nil {
		err = recordio.PrintRecords(ctx, consumed, out, format, c.Uint64("n"))
	}
	stopSaying()
	if errors.Is(err, consumer.ErrIncomplete) {
		err = terminal.WithStatus(terminal.StatusUnreached, fmt.Errorf("%w; records may be missing: dafka doctor says who does not answer, "+
			"--timeout waits longer, --min-stores 0 wants no store", err))
	}
	if err == io.EOF {
		err = nil
		if missing := wanted.missing(); len(missing) > 0 && wanted.asked {
			err = fmt.Errorf("%s; dafka topics and dafka partitions list what there is", strings.Join(missing, ", and "))
		}
	}
	return errors.Join(err, consumed.Close())
}

// awaitTower waits for a tower as long as --timeout says, where a consumer does not do so itself and would wait for ever.
func awaitTower(ctx context.Context, c *cli.Context, consumed *consumer.Consumer, node tower.NodeConfig) error {
	timeout := c.Duration("timeout")
	switch {
	case c.Bool("until-end"):
		return nil
	case !c.IsSet("timeout") && !c.IsSet("n"):
		return nil
	case !c.IsSet("timeout"):
		timeout = defaultTimeout
	}
	patient, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := consumed.WaitConnected(patient)
	if err == nil || ctx.Err() != nil || errors.Is(err, consumer.ErrClosed) {
		return nil // Next says what there is to say
	}
	return terminal.WithStatus(terminal.StatusUnreached, fmt.Errorf("no tower answers at %s after %v; start one (dafka tower), "+
		"give its endpoints with --pub and --sub, or wait longer with --timeout", strings.Join(node.Pub, ", "), timeout))
}

// defaultTimeout is --timeout of what ends by itself.
const defaultTimeout = 10 * time.Second
