package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/tower"
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
		Flags: nodeFlags(
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
	open := sources[format]
	required := 1
	switch {
	case open == nil:
		return usageErrorf(c, "--format %s: want %s", format, strings.Join(slices.Sorted(maps.Keys(sources)), ", "))
	case format == "json":
		required = 0 // the records name it
	}
	if err := wantArgs(c, required, "TOPIC", "FILE"); err != nil {
		return err
	}
	topic := c.Args().First()
	if c.Args().Present() {
		if err := zmqwire.CheckName("TOPIC", topic); err != nil {
			return usageErrorf(c, "%v", err)
		}
	}
	delimiter, err := unescape(c.String("delimiter"))
	switch {
	case err != nil:
		return usageErrorf(c, "--delimiter: %v", err)
	case c.IsSet("delimiter") && (delimiter == "" || c.Bool("whole")):
		return usageErrorf(c, "--delimiter: want some text, and not --whole")
	case format != "text" && (c.IsSet("delimiter") || c.Bool("whole")):
		return usageErrorf(c, "--format %s: want no --delimiter and no --whole", format)
	case c.IsSet("rate") && !(c.Float64("rate") > 0):
		return usageErrorf(c, "--rate %v: want more than 0", c.Float64("rate"))
	case c.IsSet("timeout") && c.Duration("timeout") <= 0:
		return usageErrorf(c, "--timeout %v: want more than 0", c.Duration("timeout"))
	}
	config, err := readConfig(c, "producer")
	if err != nil {
		return err
	}
	if c.Int("min-acks") < 1 {
		return usageErrorf(c, "--min-acks %d: want 1 or more", c.Int("min-acks"))
	}
	in, err := openInput(c.Context, c, 1)
	if err != nil {
		return err
	}
	defer in.Close()
	node := config.node()
	publishing := config.producer(topic, node)
	publishing.MinAcks = c.Int("min-acks")
	p, err := openPublisher(publishing)
	if err != nil {
		return err
	}
	ctx, giveUp := context.WithCancelCause(c.Context)
	defer giveUp(nil)
	if timeout := c.Duration("timeout"); timeout > 0 {
		go awaitContact(ctx, p, timeout, giveUp)
	}
	progress := startProgress(p, node, isTerminal(os.Stderr), isTerminal(in))
	most := node.Limits.Frame
	records := open(ctx, in, most)
	switch {
	case c.Bool("whole"):
		records = wholeOf(ctx, in, most)
	case delimiter != "":
		lines := newLines(ctx, in, most)
		lines.delimiter = delimiter
		records = linesOf(lines)
	}
	readErr, closeErr := produceAll(ctx, p, progress, records, &pace{rate: c.Float64("rate")})
	if errors.Is(context.Cause(ctx), errUnreached) && (readErr != nil || closeErr != nil) {
		return unreached(p.Stats(), node, c.Duration("timeout"))
	}
	return afterEnd(readErr, closeErr)
}

// produceAll publishes, and closes the producers.
func produceAll(ctx context.Context, p *publisher, progress *progress, records source, pace *pace) (readErr, closeErr error) {
	readErr = publish(ctx, p, records, pace)
	closeErr = closeProducer(ctx, p, progress)
	progress.end()
	return readErr, closeErr
}

// afterEnd is what went wrong, apart from a signal.
func afterEnd(readErr, closeErr error) error {
	if errors.Is(readErr, errEnded) {
		readErr = nil
	}
	return errors.Join(readErr, closeErr)
}

// producer is how a producer works.
func (c *config) producer(topic string, node tower.NodeConfig) producer.Config {
	return producer.Config{
		Topic: topic, HeadInterval: c.duration("producer/head_interval"),
		TerminateUnacked: c.isOn("producer/terminate_unacked"), Node: node,
	}
}

// publish sends each record until the input or ctx ends.
func publish(ctx context.Context, p *publisher, next source, pace *pace) error {
	for {
		topic, content, err := next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			pace.wait(ctx)
			err = send(ctx, p, topic, content)
		}
		if errors.Is(err, producer.ErrClosed) {
			return nil // it has failed; Close says why
		}
		if err != nil {
			return err
		}
	}
}

// send gives errEnded when ctx has ended.
func send(ctx context.Context, p *publisher, topic string, content []byte) error {
	if ctx.Err() != nil {
		return errEnded
	}
	err := p.Send(ctx, topic, content)
	if errors.Is(err, context.Canceled) {
		return errEnded
	}
	return err
}

// pace holds a publisher back to so many records a second. What was not published during a pause, of the input or of a
// producer that waits for ACKs, is not made up for. The zero pace holds nobody back.
type pace struct {
	rate float64   // records a second
	next time.Time // when the next record is due
}

// paceSlack is how late a record may be without moving those after it: timers and schedulers are late by so much.
const paceSlack = 20 * time.Millisecond

// wait returns when the next record is due, or ctx ends.
func (p *pace) wait(ctx context.Context) {
	if p.rate == 0 {
		return
	}
	now := time.Now()
	if now.Sub(p.next) > paceSlack {
		p.next = now
	}
	ahead := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(min(float64(time.Second)/p.rate, float64(math.MaxInt64/2))))
	// Timers are not finer, and a moment's sleep for each of many records would be too long in all.
	if ahead < time.Millisecond {
		return
	}
	select {
	case <-time.After(ahead):
	case <-ctx.Done():
	}
}

// errUnreached says that nobody could be reached in the time given.
var errUnreached = errors.New("nobody reached")

// awaitContact gives up when the producer hears no tower, or of its records no ACK, for as long as timeout.
func awaitContact(ctx context.Context, p *publisher, timeout time.Duration, giveUp context.CancelCauseFunc) {
	tick := time.NewTicker(min(progressInterval, timeout/4+1))
	defer tick.Stop()
	contact, acked := time.Now(), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := p.Stats()
			if s.Acked != acked || s.Acked == s.Sent && s.Towers > 0 {
				contact, acked = now, s.Acked
			}
			if now.Sub(contact) > timeout {
				giveUp(errUnreached)
				return
			}
		}
	}
}

// unreached says whom a producer did not reach.
func unreached(s producer.Stats, node tower.NodeConfig, timeout time.Duration) error {
	who := fmt.Sprintf("no store acked for %v (is one running? dafka store)", timeout)
	if s.MinAcks > 1 {
		who = fmt.Sprintf("not enough stores acked for %v: %s", timeout, storesHave(s))
	}
	if s.Towers == 0 {
		who = fmt.Sprintf("no tower was heard at %s for %v (is one running? dafka tower)", strings.Join(node.Pub, ", "), timeout)
	}
	return withStatus(statusUnreached, fmt.Errorf("%s: %s sent, %d acked, %d unacked", who, plural(s.Sent, "record"),
		s.Acked, s.Sent-s.Acked))
}

// ackPatience is how long the ACKs are waited for once the program was told to end.
const ackPatience = 500 * time.Millisecond

// closeProducer waits for the ACKs of all records, or, when ctx ends, a moment longer.
func closeProducer(ctx context.Context, p *publisher, progress *progress) error {
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(ackPatience, giveUp)
		if s := p.Stats(); s.Acked < s.Sent && context.Cause(ctx) != errUnreached {
			progress.say("ending: %d of %d records are not acked yet; a second signal ends at once", s.Sent-s.Acked, s.Sent)
		}
	})()
	err := p.Close(patient)
	var unacked *producer.UnackedError
	if patient.Err() != nil && errors.As(err, &unacked) {
		s := p.Stats()
		if s.MinAcks > 1 {
			return fmt.Errorf("%d of %d records were not acked by %d stores: %s", unacked.Count, s.Sent, s.MinAcks, storesHave(s))
		}
		return fmt.Errorf("%d of %d records were not acked: no store is known to hold them, publish them again",
			unacked.Count, s.Sent)
	}
	return err
}

// storesHave says how many stores have how many of the records, and what to do, where one store is not enough.
func storesHave(s producer.Stats) string {
	var list []string
	most := uint64(0) // that one store has
	for _, store := range s.Stores {
		list = append(list, store.Endpoint+" has "+plural(store.Acked, "record"))
		most = max(most, store.Acked)
	}
	have := "no store is known to have any of them"
	if len(list) > 0 {
		have = plural(uint64(len(list)), "store") + " acked: " + strings.Join(list, ", ")
	}
	switch lacking := s.Sent - most; {
	case len(s.Stores) == 0:
		return have + "; publish them again when stores run (dafka store)"
	case lacking > 0:
		return fmt.Sprintf("%s; publish the last %d again, which no store is known to have", have, lacking)
	case len(s.Stores) < s.MinAcks:
		return fmt.Sprintf("%s; do not publish them again, but run %d stores, or say --min-acks %d", have, s.MinAcks, len(s.Stores))
	}
	return have + "; do not publish them again: the other stores get them from those that have them"
}

// storePatience is how long nothing is acked before the user is asked about a store.
const storePatience = 3 * time.Second

// progressInterval is how often a terminal shows how far a piece of work is.
const progressInterval = 200 * time.Millisecond

// progress tells the user on stderr how a producer is getting on: what it waits for and, on a terminal, how far it is.
type progress struct {
	producer *publisher
	waiting  func() bool // ends the message about the tower
	terminal bool        // somebody looks at stderr
	line     bool        // and a line there may change: nobody types records into it
	begin    time.Time
	stop     chan struct{}
	stopped  chan struct{}
}

// startProgress begins to report; watched says that somebody looks at stderr, typed that the records are typed there.
func startProgress(p *publisher, node tower.NodeConfig, watched, typed bool) *progress {
	g := &progress{
		producer: p,
		waiting:  sayWaiting(node.Pub, p.Connected),
		terminal: watched,
		line:     watched && !typed && !isInJSON(),
		begin:    time.Now(),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if watched && typed {
		g.say("type records, one a line; Ctrl-D ends")
	}
	go g.run()
	return g
}

func (g *progress) run() {
	defer close(g.stopped)
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	var acked uint64
	quiet, asked := g.begin, false
	for {
		var now time.Time
		select {
		case <-g.stop:
			return
		case now = <-tick.C:
		}
		s := g.producer.Stats()
		if s.Acked != acked || s.Acked == s.Sent || s.Towers == 0 {
			acked, quiet = s.Acked, now
		}
		if !asked && now.Sub(quiet) > storePatience {
			asked = true
			if waiting := count(s.Sent-s.Acked, "record waits", "records wait"); s.MinAcks > 1 && len(s.Stores) > 0 {
				g.say("%s for %d stores to ack: %d have acked", waiting, s.MinAcks, len(s.Stores))
			} else {
				g.say("%s for a store to ack: is one running? (dafka store)", waiting)
			}
		}
		if g.line {
			fmt.Fprintf(stderr, "%s%s sent, %d acked", clearLine, plural(s.Sent, "record"), s.Acked)
		}
	}
}

// clearLine brings a terminal back to the beginning of an empty line.
const clearLine = "\r\x1b[K"

// say prints a line of its own.
func (g *progress) say(format string, args ...any) {
	if g.line {
		fmt.Fprint(stderr, clearLine)
	}
	say(format, args...)
}

// end stops the reports and, on a terminal, sums up.
func (g *progress) end() {
	g.waiting()
	close(g.stop)
	<-g.stopped
	if !g.terminal {
		return
	}
	s, took := g.producer.Stats(), time.Since(g.begin)
	g.say("%s sent, %d acked, %d unacked in %.1f s (%.0f records/s), partition %s",
		plural(s.Sent, "record"), s.Acked, s.Sent-s.Acked, took.Seconds(), float64(s.Acked)/took.Seconds(), g.producer.Address())
}

// count is a number with what it counts.
func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
