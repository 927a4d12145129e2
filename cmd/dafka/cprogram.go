package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// cPrograms are the programs of C Dafka. Called by one of their names, through a link, this program is that one.
func cPrograms() []*cli.App {
	const node = "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address]"
	return []*cli.App{
		{
			Name:      "dafka_towerd",
			Usage:     "run a tower, where nodes learn of each other",
			UsageText: "dafka_towerd [-c config] [--pub tower-pub-address] [--sub tower-sub-address] [--verbose]",
			Description: "Every other program finds the cluster through a tower. Records do not pass through it.\n\n" +
				"Example: dafka_towerd --verbose",
			Flags:  append(towerFlags("tcp://*:5557", "tcp://*:5556"), configFlag(), cVerboseFlag()),
			Action: runTowerd,
		}, {
			Name:      "dafka_stored",
			Usage:     "run a store, which keeps all records of all topics on disk",
			UsageText: "dafka_stored " + node,
			Description: "The setting store/db is the folder, storedb if nothing else is said.\n\n" +
				"Example: dafka_stored -c dafka.cfg",
			Flags:  cNodeFlags(),
			Action: runStored,
		}, {
			Name:      "dafka_console_producer",
			Usage:     "publish each line of stdin as a record",
			UsageText: "dafka_console_producer " + node + " topic",
			Description: "The line ending is not part of the record. Ends when a store has acked all records.\n\n" +
				"Example: dafka_console_producer hello < records",
			Flags:  cNodeFlags(),
			Action: runConsoleProducer,
		}, {
			Name:      "dafka_console_consumer",
			Usage:     "print the records of a topic",
			UsageText: "dafka_console_consumer topic [--verbose] [--from-beginning] [-c config] [--pub tower-pub-address] [--sub tower-sub-address]",
			Description: "Each record is a line: topic, partition and content, with spaces between them. Warnings go to stderr.\n\n" +
				"Example: dafka_console_consumer hello --from-beginning",
			Flags:  append(cNodeFlags(), fromBeginningFlag()),
			Action: runConsoleConsumer,
		}, {
			Name:      "dafka_perf_store",
			Usage:     "measure how fast a store takes in records",
			UsageText: "dafka_perf_store " + node + " count size",
			Description: "Publishes count records of size bytes, and waits until a store has acked them.\n\n" +
				"Example: dafka_perf_store 1000000 100",
			Flags:  cNodeFlags(),
			Action: runPerfStore,
		}, {
			Name:      "dafka_perf_consumer",
			Usage:     "measure how fast records arrive",
			UsageText: "dafka_perf_consumer " + node + " count size",
			Description: "Waits for count records of size bytes that dafka_perf_store publishes, and measures from the first one on.\n\n" +
				"Example: dafka_perf_consumer 1000000 100",
			Flags:  cNodeFlags(),
			Action: runPerfConsumer,
		},
	}
}

// cNodeFlags are those of every C program that joins a cluster.
func cNodeFlags() []cli.Flag {
	return []cli.Flag{pubFlag(), subFlag(), configFlag(), cVerboseFlag()}
}

func cVerboseFlag() cli.Flag {
	return &cli.BoolFlag{Name: "verbose", Usage: "log to stdout all that happens, not only warnings", DisableDefaultText: true}
}

// cProgramNamed is the C program of that name, or nil.
func cProgramNamed(path string) *cli.App {
	for _, app := range cPrograms() {
		if app.Name == filepath.Base(path) {
			app.CustomAppHelpTemplate = "Usage: {{.UsageText}}\n"
			app.HideHelpCommand, app.HideVersion = true, true
			app.OnUsageError = wrongFlag
			return app
		}
	}
	return nil
}

func runTowerd(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	config, err := readConfig(c, "tower")
	if err != nil {
		return err
	}
	where := config.tower()
	where.Logger = cLogger(config, stdout)
	where.Logger.Info("xsub listening on " + where.Sub)
	where.Logger.Info("xpub listening on " + where.Pub)
	t, err := tower.Open(where)
	if err != nil {
		return err
	}
	defer where.Logger.Info("tower stopped")
	return nodes{tower: t}.serve(c.Context, config, "")
}

func runStored(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	config, err := readConfig(c, "store")
	if err != nil {
		return err
	}
	node := config.node()
	node.Logger = cLogger(config, stdout)
	s, err := store.Open(store.Config{Dir: config.text("store/db"), Node: node})
	if err != nil {
		return err
	}
	node.Logger.Info("running...")
	defer node.Logger.Info("stopped")
	defer sayWaiting(node.Pub, s.Connected)()
	return nodes{store: s}.serve(c.Context, config, "")
}

// openCProducer opens the producer of a C program.
func openCProducer(c *cli.Context, topic string) (*publisher, tower.NodeConfig, error) {
	config, err := readConfig(c, "producer")
	if err != nil {
		return nil, tower.NodeConfig{}, err
	}
	node := config.node()
	node.Logger = cLogger(config, stdout)
	p, err := openPublisher(config.producer(topic, node))
	if err == nil {
		node.Logger.Info("producer started")
	}
	return p, node, err
}

func runConsoleProducer(c *cli.Context) error {
	if err := wantArgs(c, 1, "topic"); err != nil {
		return err
	}
	topic := c.Args().First()
	if err := zmqwire.CheckName("topic", topic); err != nil {
		return usageErrorf(c, "%v", err)
	}
	p, node, err := openCProducer(c, topic)
	if err != nil {
		return err
	}
	defer node.Logger.Info("producer stopped")
	records := linesOf(newLines(c.Context, os.Stdin, node.Limits.Frame))
	return afterEnd(produceAll(c.Context, p, startProgress(p, node, false, false), records, &pace{}))
}

// cPause is how long the C programs give a node to find the others before it does anything.
const cPause = time.Second

// settle waits for that long, or until ctx ends.
func settle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(cPause):
	}
}

// openCConsumer opens the consumer of a C program, for which latest is what it says.
func openCConsumer(c *cli.Context, problems io.Writer, latest consumer.Reset, topics ...string) (*consumer.Consumer, tower.NodeConfig, error) {
	config, err := readConfig(c, "consumer")
	if err != nil {
		return nil, tower.NodeConfig{}, err
	}
	node := config.node()
	node.Logger = cLogger(config, problems)
	reset := config.reset()
	if reset == consumer.Latest {
		reset = latest
	}
	consumed, err := consumer.Open(consumer.Config{Topics: topics, Reset: reset, Node: node})
	if err == nil {
		node.Logger.Info("running...")
	}
	return consumed, node, err
}

func runConsoleConsumer(c *cli.Context) error {
	if err := wantArgs(c, 1, "topic"); err != nil {
		return err
	}
	topic := c.Args().First()
	if err := zmqwire.CheckName("topic", topic); err != nil {
		return usageErrorf(c, "%v", err)
	}
	// Its stdout is for records, among which a C consumer hardly ever has a warning.
	consumed, node, err := openCConsumer(c, stderr, consumer.LatestRecord)
	if err != nil {
		return err
	}
	defer node.Logger.Info("stopped")
	defer sayWaiting(node.Pub, consumed.Connected)()
	settle(c.Context)
	if err := consumed.Subscribe(topic); err != nil {
		return errors.Join(err, consumed.Close())
	}
	out := newPrinter(os.Stdout)
	ctx, stop := untilReaderGone(c.Context)
	defer stop()
	return errors.Join(printRecords(ctx, consumed, out, printC, 0), consumed.Close())
}

// perfTopic is that of the two programs that measure.
const perfTopic = "$STORE_PERF"

// perfArgs reads what both are given.
func perfArgs(c *cli.Context) (count, size int, err error) {
	if err := wantArgs(c, 2, "count", "size"); err != nil {
		return 0, 0, err
	}
	count, err = strconv.Atoi(c.Args().Get(0))
	if err != nil || count < 1 {
		return 0, 0, usageErrorf(c, "count %q: want a number from 1 on", c.Args().Get(0))
	}
	size, err = strconv.Atoi(c.Args().Get(1))
	if err != nil || size < 0 || size > zsock.DefaultMaxFrame {
		return 0, 0, usageErrorf(c, "size %q: want a number of bytes, 1 GiB at most", c.Args().Get(1))
	}
	return count, size, nil
}

// printPerf prints a result.
func printPerf(count, size int, took time.Duration) error {
	rate := float64(count) / took.Seconds()
	return printLine("message size: %d [B]\nmessage count: %d\nmean throughput: %d [msg/s]\nmean throughput: %.3f [Mb/s]\n",
		size, count, int(rate), rate*float64(size)*8/1e6)
}

// printLine prints a result, behind what was logged.
func printLine(format string, args ...any) error {
	stdout.drain(logPatience)
	_, err := fmt.Printf(format, args...)
	return err
}

// unlessEnded is no error where a signal ended the work.
func unlessEnded(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func runPerfStore(c *cli.Context) error {
	count, size, err := perfArgs(c)
	if err != nil {
		return err
	}
	p, node, err := openCProducer(c, perfTopic)
	if err != nil {
		return err
	}
	defer node.Logger.Info("producer stopped")
	progress := startProgress(p, node, false, false)
	defer progress.end()
	settle(c.Context)
	content := make([]byte, size)
	begin := time.Now()
	for range count {
		if err = p.Send(c.Context, perfTopic, content); err != nil {
			break
		}
	}
	if err == nil {
		err = printLine("Done publishing\n")
	}
	closeErr := closeProducer(c.Context, p, progress)
	took := time.Since(begin)
	if err != nil || closeErr != nil {
		return errors.Join(unlessEnded(c.Context, err), closeErr)
	}
	return printPerf(count, size, took)
}

func runPerfConsumer(c *cli.Context) error {
	count, size, err := perfArgs(c)
	if err != nil {
		return err
	}
	consumed, node, err := openCConsumer(c, stdout, consumer.Latest, perfTopic)
	if err != nil {
		return err
	}
	defer node.Logger.Info("stopped")
	defer sayWaiting(node.Pub, consumed.Connected)()
	var begin time.Time
	for n := range count {
		if _, err = consumed.Next(c.Context); err != nil {
			break
		}
		if n == 0 {
			if err = printLine("Received first\n"); err != nil {
				break
			}
			begin = time.Now()
		}
	}
	took := time.Since(begin)
	if err = errors.Join(err, consumed.Close()); err != nil {
		return unlessEnded(c.Context, err)
	}
	return printPerf(count, size, took)
}
