package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
			"  json  an object a line: topic, partition, sequence, content. A value that is not UTF-8 is given in base64,\n" +
			"        and a further key says so: \"topic_base64\", \"partition_base64\" or \"content_base64\": true\n" +
			"        \"skipped\": N, with --skip-after, when N records before it were given up\n" +
			"Or -f gives a template, in which %t is the topic, %p the partition, %s the sequence, %c the content, %% a %,\n" +
			"and \\n, \\r, \\t, \\0, \\\\ and \\xHH are as in C.\n\n" +
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
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json, raw, hex or c", Value: "text"},
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
	err = printRecords(c.Context, consumed, out, format, c.Uint64("n"))
	stopSaying()
	if err == nil {
		err = out.Flush()
	}
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
// has to be waited for: what is known is seen at once, and what is plenty is written in large pieces.
func printRecords(ctx context.Context, from *consumer.Consumer, out *printer, format format, count uint64) error {
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
		if err := format(out, &record); err != nil {
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

// printer is buffered output and what formats need besides it.
type printer struct {
	*bufio.Writer
	json *json.Encoder
}

const outputBuffer = 128 << 10

func newPrinter(w io.Writer) *printer {
	p := &printer{Writer: bufio.NewWriterSize(w, outputBuffer)}
	p.json = json.NewEncoder(p)
	p.json.SetEscapeHTML(false)
	return p
}

// format prints a record. After an error all further printing fails likewise, so that each format checks only its last
// step. All but json allocate nothing.
type format func(*printer, *consumer.Record) error

var formats = map[string]format{
	"text": printText, "raw": printRaw, "hex": printHex, "c": printC, "json": printJSON,
}

func printText(p *printer, r *consumer.Record) error {
	p.Write(r.Content)
	return p.WriteByte('\n')
}

func printRaw(p *printer, r *consumer.Record) error {
	_, err := p.Write(r.Content)
	return err
}

func printHex(p *printer, r *consumer.Record) error {
	// In pieces that fit into the buffer, whatever the record's size.
	for piece := range slices.Chunk(r.Content, outputBuffer/4) {
		if p.Available() < 2*len(piece) {
			p.Flush()
		}
		p.Write(hex.AppendEncode(p.AvailableBuffer(), piece))
	}
	return p.WriteByte('\n')
}

func printC(p *printer, r *consumer.Record) error {
	p.WriteString(r.Topic)
	p.WriteByte(' ')
	p.WriteString(r.Partition)
	p.WriteByte(' ')
	p.Write(r.Content)
	return p.WriteByte('\n')
}

func printJSON(p *printer, r *consumer.Record) error {
	var line struct {
		Topic           string `json:"topic"`
		TopicBase64     bool   `json:"topic_base64,omitempty"`
		Partition       string `json:"partition"`
		PartitionBase64 bool   `json:"partition_base64,omitempty"`
		Sequence        uint64 `json:"sequence"`
		Content         string `json:"content"`
		ContentBase64   bool   `json:"content_base64,omitempty"`
		Skipped         uint64 `json:"skipped,omitempty"`
	}
	line.Topic, line.TopicBase64 = textOrBase64(r.Topic)
	line.Partition, line.PartitionBase64 = textOrBase64(r.Partition)
	line.Sequence = r.Sequence
	line.Content, line.ContentBase64 = textOrBase64(string(r.Content))
	line.Skipped = r.Skipped
	return p.json.Encode(&line)
}

// textOrBase64 gives what JSON, whose strings are text, can carry.
func textOrBase64(s string) (text string, isBase64 bool) {
	if utf8.ValidString(s) {
		return s, false
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), true
}
