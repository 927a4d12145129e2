package cnames

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

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/serve"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Programs are the programs of C Dafka. Called by one of their names, through a link, this program is that one.
func Programs() []*cli.App {
	const node = "[--verbose] [-c config] [--pub tower-pub-address] [--sub tower-sub-address]"
	return []*cli.App{
		{
			Name:      "dafka_towerd",
			Usage:     "run a tower, where nodes learn of each other",
			UsageText: "dafka_towerd [-c config] [--pub tower-pub-address] [--sub tower-sub-address] [--verbose]",
			Description: "Every other program finds the cluster through a tower. Records do not pass through it.\n\n" +
				"Example: dafka_towerd --verbose",
			Flags:  append(settings.TowerFlags("tcp://*:5557", "tcp://*:5556"), settings.ConfigFlag(), cVerboseFlag()),
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
			Flags:  append(cNodeFlags(), settings.FromBeginningFlag()),
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
	return []cli.Flag{settings.PubFlag(), settings.SubFlag(), settings.ConfigFlag(), cVerboseFlag()}
}

func cVerboseFlag() cli.Flag {
	return &cli.BoolFlag{Name: "verbose", Usage: "log to stdout all that happens, not only warnings", DisableDefaultText: true}
}

// Named is the C program of that name, or nil.
func Named(path string) *cli.App {
	for _, app := range Programs() {
		if app.Name == filepath.Base(path) {
			app.CustomAppHelpTemplate = "Usage: {{.UsageText}}\n"
			app.HideHelpCommand, app.HideVersion = true, true
			app.OnUsageError = settings.WrongFlag
			return app
		}
	}
	return nil
}

func runTowerd(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := settings.Read(c, "tower")
	if err != nil {
		return err
	}
	where := config.Tower()
	where.Logger = cLogger(config, terminal.Stdout)
	where.Logger.Info("xsub listening on " + where.Sub)
	where.Logger.Info("xpub listening on " + where.Pub)
	t, err := tower.Open(where)
	if err != nil {
		return err
	}
	defer where.Logger.Info("tower stopped")
	return serve.Nodes{Tower: t}.Serve(c.Context, config, "")
}

func runStored(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	config, err := settings.Read(c, "store")
	if err != nil {
		return err
	}
	node := config.Node()
	node.Logger = cLogger(config, terminal.Stdout)
	s, err := store.Open(store.Config{Dir: config.Text("store/db"), Node: node})
	if err != nil {
		return err
	}
	node.Logger.Info("running...")
	defer node.Logger.Info("stopped")
	defer terminal.SayWaiting(node.Pub, s.Connected)()
	return serve.Nodes{Store: s}.Serve(c.Context, config, "")
}

// openCProducer opens the producer of a C program.
func openCProducer(c *cli.Context, topic string) (*recordio.Publisher, tower.NodeConfig, error) {
	config, err := settings.Read(c, "producer")
	if err != nil {
		return nil, tower.NodeConfig{}, err
	}
	node := config.Node()
	node.Logger = cLogger(config, terminal.Stdout)
	p, err := recordio.OpenPublisher(config.Producer(topic, node))
	if err == nil {
		node.Logger.Info("producer started")
	}
	return p, node, err
}

func runConsoleProducer(c *cli.Context) error {
	if err := settings.WantArgs(c, 1, "topic"); err != nil {
		return err
	}
	topic := c.Args().First()
	if err := zmqwire.CheckName("topic", topic); err != nil {
		return settings.UsageErrorf(c, "%v", err)
	}
	p, node, err := openCProducer(c, topic)
	if err != nil {
		return err
	}
	defer node.Logger.Info("producer stopped")
	records := recordio.LinesOf(recordio.NewLines(c.Context, os.Stdin, node.Limits.Frame))
	progress := recordio.StartProgress(p, node, false, false)
	return recordio.AfterEnd(recordio.ProduceAll(c.Context, p, progress, records, &recordio.Pace{}))
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
	config, err := settings.Read(c, "consumer")
	if err != nil {
		return nil, tower.NodeConfig{}, err
	}
	node := config.Node()
	node.Logger = cLogger(config, problems)
	reset := config.Reset()
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
	if err := settings.WantArgs(c, 1, "topic"); err != nil {
		return err
	}
	topic := c.Args().First()
	if err := zmqwire.CheckName("topic", topic); err != nil {
		return settings.UsageErrorf(c, "%v", err)
	}
	// Its stdout is for records, among which a C consumer hardly ever has a warning.
	consumed, node, err := openCConsumer(c, terminal.Stderr, consumer.LatestRecord)
	if err != nil {
		return err
	}
	defer node.Logger.Info("stopped")
	defer terminal.SayWaiting(node.Pub, consumed.Connected)()
	settle(c.Context)
	if err := consumed.Subscribe(topic); err != nil {
		return errors.Join(err, consumed.Close())
	}
	out := recordio.NewPrinter(os.Stdout)
	ctx, stop := recordio.UntilReaderGone(c.Context)
	defer stop()
	return errors.Join(recordio.PrintRecords(ctx, consumed, out, recordio.PrintC, 0), consumed.Close())
}

// perfTopic is that of the two programs that measure.
const perfTopic = "$STORE_PERF"

// perfArgs reads what both are given.
func perfArgs(c *cli.Context) (count, size int, err error) {
	if err := settings.WantArgs(c, 2, "count", "size"); err != nil {
		return 0, 0, err
	}
	count, err = strconv.Atoi(c.Args().Get(0))
	if err != nil || count < 1 {
		return 0, 0, settings.UsageErrorf(c, "count %q: want a number from 1 on", c.Args().Get(0))
	}
	size, err = strconv.Atoi(c.Args().Get(1))
	if err != nil || size < 0 || size > zsock.DefaultMaxFrame {
		return 0, 0, settings.UsageErrorf(c, "size %q: want a number of bytes, 1 GiB at most", c.Args().Get(1))
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
	terminal.Stdout.Drain(terminal.LogPatience)
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
	progress := recordio.StartProgress(p, node, false, false)
	defer progress.End()
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
	closeErr := recordio.CloseProducer(c.Context, p, progress)
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
	consumed, node, err := openCConsumer(c, terminal.Stdout, consumer.Latest, perfTopic)
	if err != nil {
		return err
	}
	defer node.Logger.Info("stopped")
	defer terminal.SayWaiting(node.Pub, consumed.Connected)()
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
