package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// A worker is a process of a bench: one node, told what to do by lines on stdin, answering each with a line of JSON on
// stdout. It says "ready" first, and ends when stdin does.

// workerReport is what a worker answers.
type workerReport struct {
	Error    string    `json:",omitempty"`
	Endpoint string    `json:",omitempty"` // raw sender: where it listens
	Seconds  float64   `json:",omitempty"` // receivers: from the first record of the run to the last
	CPU      float64   // microseconds used since the process began
	MaxRSS   int64     // bytes
	Latency  []float64 `json:",omitempty"` // microseconds, one for each record
}

// worker is the process's side of that conversation.
type worker struct {
	words chan string // lines of stdin; closed at its end
	out   *json.Encoder
}

// workerPatience is how long a worker may take to end when stdin does.
const workerPatience = 20 * time.Second

func newWorker() *worker {
	w := &worker{make(chan string), json.NewEncoder(os.Stdout)}
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			w.words <- in.Text()
		}
		close(w.words)
		// The bench has ended, perhaps while this one does not wait for a word.
		time.AfterFunc(workerPatience, func() { os.Exit(terminal.StatusFailure) })
	}()
	return w
}

// say answers.
func (w *worker) say(r workerReport) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		r.CPU = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e3
		r.MaxRSS = usage.Maxrss
		if runtime.GOOS != "darwin" {
			r.MaxRSS *= 1024
		}
	}
	w.out.Encode(r)
}

// told waits for the next word; false when there is none any more.
func (w *worker) told() (string, bool) {
	word, ok := <-w.words
	return word, ok
}

// WorkerCommand is not for people: `dafka bench` starts itself with it.
func WorkerCommand() *cli.Command {
	return &cli.Command{
		Name:   "bench-worker",
		Hidden: true,
		Flags: settings.NodeFlags(
			&cli.StringFlag{Name: "db"}, &cli.IntFlag{Name: "count"}, &cli.IntFlag{Name: "size"},
			&cli.IntFlag{Name: "producers"}, &cli.IntFlag{Name: "rate"}, &cli.StringFlag{Name: "connect"},
			&cli.IntFlag{Name: "partitions", Value: 1}, &cli.IntFlag{Name: "topics", Value: 1},
			&cli.BoolFlag{Name: "acks"}, &cli.BoolFlag{Name: "replay"}, &cli.BoolFlag{Name: "latency"},
			&cli.BoolFlag{Name: "stored"},
		),
		Action: func(c *cli.Context) error {
			role, ok := map[string]func(*worker, *cli.Context, tower.NodeConfig) error{
				"store": workStore, "produce": workProduce, "consume": workConsume,
				"simulate": workSimulate, "ask-heads": workAskHeads, "join": workJoin,
				"raw-send": workRawSend, "raw-receive": workRawReceive,
			}[c.Args().First()]
			config, err := settings.Read(c, "store")
			if err != nil {
				return err
			}
			if !ok {
				return settings.UsageErrorf(c, "no such worker: %q", c.Args().First())
			}
			w := newWorker()
			if err := role(w, c, config.Node()); err != nil {
				w.say(workerReport{Error: err.Error()})
			}
			return nil
		},
	}
}

const benchTopic = "bench"

// A bench record: sequence (8 bytes), time of sending in nanoseconds (8), checksum of all but itself (4), filling.
const (
	minBenchSize = 20
	checksumAt   = 16
)

var benchTable = crc32.MakeTable(crc32.Castagnoli)

func sealRecord(record []byte, sequence uint64, at int64) {
	binary.BigEndian.PutUint64(record, sequence)
	binary.BigEndian.PutUint64(record[8:], uint64(at))
	binary.BigEndian.PutUint32(record[checksumAt:], recordChecksum(record))
}

func recordChecksum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:checksumAt], benchTable), benchTable, record[checksumAt+4:])
}

// checkRecord says what is wrong with a record that should be the sequence-th of its partition.
func checkRecord(record []byte, sequence uint64) error {
	switch {
	case len(record) < minBenchSize:
		return fmt.Errorf("record %d has %d bytes", sequence, len(record))
	case binary.BigEndian.Uint32(record[checksumAt:]) != recordChecksum(record):
		return fmt.Errorf("record %d: checksum is wrong", sequence)
	case binary.BigEndian.Uint64(record) != sequence:
		return fmt.Errorf("record %d came where %d should: lost or out of order", binary.BigEndian.Uint64(record), sequence)
	}
	return nil
}

// workStore reports when told to.
func workStore(w *worker, c *cli.Context, node tower.NodeConfig) error {
	s, err := store.Open(store.Config{Dir: c.String("db"), Node: node})
	if err != nil {
		return err
	}
	w.say(workerReport{})
	for {
		if _, ok := w.told(); !ok {
			return s.Close()
		}
		w.say(workerReport{})
	}
}

// workProduce sends one record at once, so that everybody connects, and the others when told to.
func workProduce(w *worker, c *cli.Context, node tower.NodeConfig) error {
	ctx := context.Background()
	count, rate, acks, latency := c.Int("count"), c.Int("rate"), c.Bool("acks"), c.Bool("latency")
	record := make([]byte, c.Int("size"))
	config := producer.Config{Topic: benchTopic, Node: node}
	if !acks {
		// Nobody acks, so everything is kept.
		config.MaxUnackedBytes = int64(count+1) * int64(len(record)+64)
	}
	p, err := producer.Open(config)
	if err != nil {
		return err
	}
	send := func(sequence uint64) error {
		var at int64
		if latency {
			at = time.Now().UnixNano()
		}
		sealRecord(record, sequence, at)
		_, err := p.Send(ctx, record)
		return err
	}
	flush := func() error {
		if !acks {
			return nil
		}
		return p.Flush(ctx)
	}
	if err := errors.Join(send(0), flush()); err != nil {
		return err
	}
	w.say(workerReport{})
	if _, ok := w.told(); !ok {
		return errors.New("ended early")
	}

	var took []float64
	sent := make(chan time.Time, count)
	acked := make(chan error, 1)
	go func() {
		for i := uint64(1); acks && latency && i <= uint64(count); i++ {
			at := <-sent
			if err := p.WaitAcked(ctx, i); err != nil {
				acked <- err
				return
			}
			took = append(took, float64(time.Since(at).Nanoseconds())/1e3)
		}
		acked <- nil
	}()
	begin := time.Now()
	for i := 1; i <= count; i++ {
		if rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		if latency {
			sent <- time.Now()
		}
		if err := send(uint64(i)); err != nil {
			return err
		}
	}
	if err := errors.Join(flush(), <-acked); err != nil {
		return err
	}
	w.say(workerReport{Seconds: time.Since(begin).Seconds(), Latency: took})
	w.told()
	ended, end := context.WithCancel(ctx)
	end()
	if err := p.Close(ended); err != nil && !errors.As(err, new(*producer.UnackedError)) {
		return err
	}
	return nil
}

// workConsume reports when it has got a record of each producer, and again when it has got all, checked.
func workConsume(w *worker, c *cli.Context, node tower.NodeConfig) error {
	k, err := consumer.Open(consumer.Config{
		Topics: []string{benchTopic}, Reset: consumer.Earliest, StoredOnly: c.Bool("stored"), Node: node,
	})
	if err != nil {
		return err
	}
	defer k.Close()
	ctx := context.Background()
	producers, measured := c.Int("producers"), c.Bool("latency")
	next := make(map[string]uint64)
	var latency []float64
	var begin time.Time
	take := func() error {
		r, err := k.Next(ctx)
		if err != nil {
			return err
		}
		sequence := next[r.Partition]
		if err := checkRecord(r.Content, sequence); err != nil {
			return err
		}
		next[r.Partition] = sequence + 1
		if begin.IsZero() {
			begin = time.Now()
		}
		if measured {
			sent := int64(binary.BigEndian.Uint64(r.Content[8:]))
			latency = append(latency, float64(time.Now().UnixNano()-sent)/1e3)
		}
		return nil
	}
	left := producers * (c.Int("count") + 1)
	// The first record of each producer shows that it is connected; what is stored needs no connection.
	for ; len(next) < producers && !c.Bool("replay"); left-- {
		if err := take(); err != nil {
			return err
		}
	}
	latency = latency[:0]
	w.say(workerReport{})
	for ; left > 0; left-- {
		if err := take(); err != nil {
			return err
		}
	}
	w.say(workerReport{Seconds: time.Since(begin).Seconds(), Latency: latency})
	w.told()
	return nil
}

// workRawSend and workRawReceive are libzmq alone: what no node can be faster than.
func workRawSend(w *worker, c *cli.Context, _ tower.NodeConfig) error {
	context, err := zsock.NewContext()
	if err != nil {
		return err
	}
	defer context.Close(time.Minute)
	socket, err := context.Open(zsock.XPUB, zsock.Options{Patience: time.Minute})
	if err != nil {
		return err
	}
	defer socket.Close()
	endpoint, err := socket.Bind("tcp://127.0.0.1:*")
	if err != nil {
		return err
	}
	w.say(workerReport{Endpoint: endpoint})
	w.told()
	// The subscription arrives through the socket.
	batch := zsock.NewBatch()
	for batch.Len() == 0 {
		if err := socket.Drain(batch); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	header := zmqwire.AppendRunHeader(nil, zmqwire.Record, benchTopic, zmqwire.NewAddress(), benchTopic)
	run := &zmqwire.Run{}
	record := []byte(strings.Repeat("x", c.Int("size")))
	for !run.Full(len(record)) {
		run.Append(record)
	}
	for left := c.Int("count"); left > 0; left -= run.Len() {
		n := min(left, run.Len())
		if sent, err := socket.SendRun(header, run, 0, n, nil, true); err != nil || sent < n {
			return fmt.Errorf("sent %d of %d: %w", sent, n, err)
		}
	}
	w.say(workerReport{})
	w.told()
	return nil
}

func workRawReceive(w *worker, c *cli.Context, _ tower.NodeConfig) error {
	context, err := zsock.NewContext()
	if err != nil {
		return err
	}
	defer context.Close(time.Minute)
	socket, err := context.Open(zsock.SUB, zsock.Options{})
	if err != nil {
		return err
	}
	defer socket.Close()
	poller, err := zsock.NewPoller(socket)
	if err != nil {
		return err
	}
	defer poller.Close()
	if err := errors.Join(socket.Subscribe(""), socket.Connect(c.String("connect"))); err != nil {
		return err
	}
	w.say(workerReport{})
	batch := zsock.NewBatch()
	var begin time.Time
	for got := 0; got < c.Int("count"); got += batch.Len() {
		if _, err := poller.Wait(10*time.Second, func() bool { return false }); err != nil {
			return err
		}
		if err := socket.Drain(batch); err != nil {
			return err
		}
		if begin.IsZero() && batch.Len() > 0 {
			begin = time.Now()
		}
	}
	w.say(workerReport{Seconds: time.Since(begin).Seconds()})
	w.told()
	return nil
}
