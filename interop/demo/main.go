// Command demo is Dafka's main job on real input: the package log of this machine goes line by line from two producers
// into a store, and from there to a consumer that comes when the producers are gone. Each part is a process of its own.
// It compares what came out with what went in and ends with status 1 on any difference.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	topic = "package-log"
	// timeLimit is when the demo gives up. It takes a few seconds.
	timeLimit = time.Minute
)

func main() {
	dafka := flag.String("dafka", "bin/dafka", "the dafka `program`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, timeLimit, fmt.Errorf("not done after %v", timeLimit))
	defer cancel()
	err := demo(ctx, *dafka)
	if ctx.Err() != nil {
		// What the interrupted step says of it is of no interest.
		err = context.Cause(ctx)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: error: %v\n", err)
		os.Exit(1)
	}
}

// demo leaves nothing behind, whatever happens: neither a process nor a file.
func demo(ctx context.Context, dafka string) (err error) {
	fmt.Print("Dafka demo: a real log goes through a store to a consumer that comes when its producers are gone.\n\n")
	log, err := readLog()
	if err != nil {
		return err
	}
	say("log", "%s lines (%s) of %s", number(len(log.lines)), size(log.lines), log.names())

	dir, err := os.MkdirTemp("", "dafka-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	running := &processes{program: dafka}
	defer func() { err = errors.Join(err, running.end()) }()

	const anyPort = "tcp://127.0.0.1:*"
	tower, err := running.start(ctx, "tower", "--pub", anyPort, "--sub", anyPort)
	if err != nil {
		return err
	}
	said, err := tower.waitFor(ctx, "join with ")
	if err != nil {
		return err
	}
	node := append(strings.Fields(said), "--address", "127.0.0.1", "--bind", "127.0.0.1")
	say("tower", "process %d: here the others find each other", tower.pid())

	store, err := running.start(ctx, "store", append(node, "--db", filepath.Join(dir, "db"))...)
	if err != nil {
		return err
	}
	if _, err := store.waitFor(ctx, "is running"); err != nil {
		return err
	}
	say("store", "process %d: acks a record when it is on the disk", store.pid())

	// Each producer is a partition and keeps the order of its own lines.
	inputs := deal(log.lines, 2)
	began := time.Now()
	var producers []*process
	for i, lines := range inputs {
		file := filepath.Join(dir, fmt.Sprintf("input-%d", i+1))
		if err := os.WriteFile(file, join(lines), 0o600); err != nil {
			return err
		}
		p, err := running.start(ctx, "produce", append(node, topic, file)...)
		if err != nil {
			return err
		}
		producers = append(producers, p)
	}
	for _, p := range producers {
		if err := p.wait(); err != nil {
			return err
		}
	}
	took := time.Since(began)
	say("producers", "processes %d and %d: each published every second line; all acked after %.2f s (%s)",
		producers[0].pid(), producers[1].pid(), took.Seconds(), rate(len(log.lines), took))

	began = time.Now()
	consumer, err := running.start(ctx, "consume", append(node, topic, "--from-beginning", "--until-end", "--format", "json")...)
	if err != nil {
		return err
	}
	if err := consumer.wait(); err != nil {
		return err
	}
	records, err := parseRecords(consumer.stdout.Bytes())
	if err != nil {
		return err
	}
	took = consumer.stdout.last.Sub(began)
	say("consumer", "process %d: started then, it had %s records after %.2f s (%s)",
		consumer.pid(), number(len(records)), took.Seconds(), rate(len(records), took))

	if err := compare(inputs, records); err != nil {
		return err
	}
	say("compared", "both partitions are whole and in order: every line once, every byte the same")
	fmt.Print("\nThe times begin when the processes do: most of them is nodes finding each other.\n")
	return nil
}

func say(who, format string, args ...any) {
	fmt.Printf("%-10s %s\n", who, fmt.Sprintf(format, args...))
}

func rate(n int, took time.Duration) string {
	return number(int(float64(n)/took.Seconds())) + " records/s"
}

// number writes 1234567 as 1,234,567.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(lines []string) string {
	bytes := 0
	for _, line := range lines {
		bytes += len(line)
	}
	return number((bytes+999)/1000) + " kB"
}
