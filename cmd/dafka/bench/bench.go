package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower"
)

// Command is `dafka bench`: how fast this program is on this machine, measured with processes of its own, beside
// what libzmq alone does in the same run.
func Command() *cli.Command {
	flags := []cli.Flag{
		&cli.IntFlag{Name: "count", Usage: "records of each producer", Value: 1_000_000},
		&cli.IntFlag{Name: "size", Usage: "bytes of each record", Value: 100},
		&cli.IntFlag{Name: "producers", Usage: "producers at the same time", Value: 1},
		&cli.IntFlag{Name: "consumers", Usage: "consumers at the same time", Value: 1},
		&cli.IntFlag{Name: "rate", Usage: "latency: records a second", Value: 10_000},
		&cli.StringFlag{Name: "dir", Usage: "`DIR` for the stores' databases", Value: os.TempDir()},
		&cli.BoolFlag{Name: "json", Usage: "print an object for each row on stdout", DisableDefaultText: true},
	}
	measure := func(name, usage string, run func(*bench) error) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, Flags: flags,
			Description: "Example: dafka bench " + name + " --count 100000",
			Action: func(c *cli.Context) error {
				if err := settings.WantArgs(c, 0); err != nil {
					return err
				}
				return runBench(c, run)
			},
		}
	}
	return &cli.Command{
		Name:  "bench",
		Usage: "measure the speed of this machine's cluster",
		Description: "Each measure runs in processes of its own, and every record's place and checksum is checked: a run that\n" +
			"loses one fails. Rates are compared with raw, libzmq alone in the same call.\n\n" +
			"Example: dafka bench ingest --size 1000",
		Subcommands: []*cli.Command{
			measure("raw", "libzmq alone, from one process to another", (*bench).rawRow),
			measure("ingest", "from producers into a store, until all is acked after the synced commit", (*bench).ingest),
			measure("live", "from producers to consumers, without a store", (*bench).live),
			measure("replay", "from a store to a consumer, after the producers have gone", (*bench).replay),
			measure("latency", "from Send to a consumer's Next, at once and when a store has the record, and to the ACK of a store", (*bench).latency),
			measure("scale", "with many partitions, and much that is stored", (*bench).scale),
			measure("all", "all of these, with 100 and 1,000 bytes", (*bench).all),
		},
	}
}

// row is one result.
type row struct {
	Name      string  `json:"name"`
	Size      int     `json:"size"`
	Count     int     `json:"count"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"rate"`
	Megabytes float64 `json:"megabytes_per_second"`
	RawRate   float64 `json:"raw_rate,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	CRate     float64 `json:"c_rate,omitempty"`
	CRatio    float64 `json:"c_ratio,omitempty"`
	CPU       float64 `json:"cpu_us_per_record"`
	MaxRSS    int64   `json:"max_rss_bytes"`

	Bound   float64    `json:"bound_seconds,omitempty"` // what a time must not exceed
	Latency *latencies `json:"latency_us,omitempty"`
}

// latencies are in microseconds.
type latencies struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
	Sync float64 `json:"fsync,omitempty"` // of one small write, in the same folder, in the same run
}

// bench is one call.
type bench struct {
	ctx                                     context.Context // its end ends every process that was started
	count, size, producers, consumers, rate int

	started []*exec.Cmd
	doing   atomic.Value // what is being measured, in words
	dir     string       // of this call
	program string
	raws    map[int]row // raw by size
	rows    []row
	notes   []string      // what is to be said of them
	json    *json.Encoder // nil without --json
}

func runBench(c *cli.Context, run func(*bench) error) error {
	ctx, end := context.WithCancel(c.Context)
	defer end()
	b := &bench{
		ctx: ctx, count: c.Int("count"), size: c.Int("size"),
		producers: c.Int("producers"), consumers: c.Int("consumers"), rate: c.Int("rate"),
		raws: make(map[int]row),
	}
	if b.size < minBenchSize || b.count < 1 || b.producers < 1 || b.consumers < 1 || b.rate < 1 {
		return settings.UsageErrorf(c, "--size must be %d or more, the other numbers 1 or more", minBenchSize)
	}
	if c.Bool("json") {
		b.json = json.NewEncoder(os.Stdout)
	}
	var err error
	if b.program, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(c.String("dir"), "dafka-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer func() {
		end()
		for _, command := range b.started {
			command.Wait() // an error where it was waited for already
		}
	}()
	b.measuring(c.Command.Name, b.size)
	stop := b.showProgress()
	err = run(b)
	stop()
	b.table()
	if c.Context.Err() != nil {
		return nil // a signal ended it, and so what was measured is not complete
	}
	return err
}

// command prepares a process that ends when the bench does, whatever ends it.
func (b *bench) command(program string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(b.ctx, program, arguments...)
	command.WaitDelay = time.Second
	endWithParent(command)
	return command
}

// run starts a process.
func (b *bench) run(command *exec.Cmd) error {
	err := command.Start()
	if err == nil {
		b.started = append(b.started, command)
	}
	return err
}

// measuring notes what is being measured.
func (b *bench) measuring(name string, size int) {
	b.doing.Store(fmt.Sprintf("%s, %d bytes", name, size))
}

// showProgress tells a person who looks on what is being measured, until it is stopped.
func (b *bench) showProgress() (stop func()) {
	if !terminal.IsTerminal(os.Stderr) {
		return func() {}
	}
	begin, stopping := time.Now(), make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(terminal.ProgressInterval)
		defer tick.Stop()
		for {
			select {
			case <-stopping:
				fmt.Fprint(terminal.Stderr, terminal.ClearLine)
				return
			case <-tick.C:
				fmt.Fprintf(terminal.Stderr, "%smeasuring %v (%.0f s in all)", terminal.ClearLine, b.doing.Load(), time.Since(begin).Seconds())
			}
		}
	})
	return func() {
		close(stopping)
		telling.Wait()
	}
}

// add finishes a row and shows it.
func (b *bench) add(r row, records int, cpu float64) error {
	r.Rate = float64(records) / r.Seconds
	r.Megabytes = r.Rate * float64(r.Size) / 1e6
	r.CPU = cpu / float64(records)
	if r.Name != "raw" && r.Latency == nil {
		raw, err := b.raw(r.Size)
		if err != nil {
			return err
		}
		r.RawRate, r.Ratio = raw.Rate, r.Rate/raw.Rate
	}
	if r.CRate > 0 {
		r.CRatio = r.Rate / r.CRate
	}
	return b.show(r)
}

func (b *bench) show(r row) error {
	b.rows = append(b.rows, r)
	if b.json != nil {
		return b.json.Encode(r)
	}
	return nil
}

func (b *bench) table() {
	w := tabwriter.NewWriter(terminal.Stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tbytes\trecords\tseconds\trecords/s\tMB/s\tof raw\tof C\tCPU us/record\tMB RSS\t")
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.3f\t%.0f\t%.1f\t%s\t%s\t%.2f\t%d\t\n",
			r.Name, r.Size, r.Count, r.Seconds, r.Rate, r.Megabytes, ratio(r.Ratio), ratio(r.CRatio), r.CPU, r.MaxRSS>>20)
	}
	w.Flush()
	for _, r := range b.rows {
		if l := r.Latency; l != nil {
			fmt.Fprintf(terminal.Stderr, "%s: p50 %.0f us, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f", r.Name, l.P50, l.P90, l.P99, l.P999, l.Max)
			if l.Sync > 0 {
				fmt.Fprintf(terminal.Stderr, "; one fsync %.0f us", l.Sync)
			}
			fmt.Fprintln(terminal.Stderr)
		}
	}
	for _, note := range b.notes {
		fmt.Fprintln(terminal.Stderr, note)
	}
}

func ratio(r float64) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}

// process is a worker, seen from the bench.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	cpu     float64 // at the last report but one
	last    workerReport
}

// start starts a worker and waits until it is ready.
func (b *bench) start(role string, arguments ...string) (*process, error) {
	p, err := b.launch(role, arguments...)
	if err != nil {
		return nil, err
	}
	return p, p.report()
}

func (b *bench) launch(role string, arguments ...string) (*process, error) {
	command := b.command(b.program, append([]string{"bench-worker", role}, arguments...)...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{command: command, in: in, out: json.NewDecoder(bufio.NewReader(out))}, b.run(command)
}

// report waits for the worker's next report.
func (p *process) report() error {
	p.cpu = p.last.CPU
	p.last = workerReport{}
	if err := p.out.Decode(&p.last); err != nil {
		return fmt.Errorf("bench worker %v: %w", p.command.Args[2:], err)
	}
	if p.last.Error != "" {
		return fmt.Errorf("bench worker %v: %s", p.command.Args[2:], p.last.Error)
	}
	return nil
}

// tell makes the worker go on.
func (p *process) tell() error {
	_, err := fmt.Fprintln(p.in, "go")
	return err
}

// used is the CPU time between the last two reports, in microseconds.
func (p *process) used() float64 { return p.last.CPU - p.cpu }

// end ends the worker.
func (p *process) end() error {
	p.in.Close()
	timer := time.AfterFunc(workerPatience, func() { p.command.Process.Kill() })
	defer timer.Stop()
	return p.command.Wait()
}

// cluster is what measures of nodes share: a tower within the bench, and the workers to end.
type cluster struct {
	*bench
	tower     *tower.Tower
	dir       string // of its store
	processes []*process
}

func (b *bench) withCluster(run func(*cluster) error) error {
	t, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		return err
	}
	c := &cluster{bench: b, tower: t, dir: filepath.Join(b.dir, "cluster")}
	defer os.RemoveAll(c.dir)
	err = run(c)
	for _, p := range slices.Backward(c.processes) {
		err = errors.Join(err, p.end())
	}
	return errors.Join(err, t.Close())
}

// node launches a worker that is a node.
func (c *cluster) node(role string, arguments ...string) (*process, error) {
	if !slices.Contains(arguments, "--count") {
		arguments = append(arguments, "--count", strconv.Itoa(c.count))
	}
	p, err := c.launch(role, append([]string{"--size", strconv.Itoa(c.size), "--producers", strconv.Itoa(c.producers)},
		append(arguments, "--pub", c.tower.Pub(), "--sub", c.tower.Sub(), "--address", "127.0.0.1", "--bind", "127.0.0.1")...,
	)...)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return p, err
}

// nodes launches several and waits until all are ready.
func (c *cluster) nodes(n int, role string, arguments ...string) ([]*process, error) {
	var all []*process
	for range n {
		p, err := c.node(role, arguments...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, reports(all)
}

// store launches a store with an empty database and waits until it is ready.
func (c *cluster) store() (*process, error) {
	stores, err := c.nodes(1, "store", "--db", c.dir)
	if err != nil {
		return nil, err
	}
	return stores[0], nil
}

func reports(all []*process) error {
	for _, p := range all {
		if err := p.report(); err != nil {
			return err
		}
	}
	return nil
}

func tell(all []*process) error {
	for _, p := range all {
		if err := p.tell(); err != nil {
			return err
		}
	}
	return nil
}

// raw measures libzmq alone, once for each size in one call: the median of three runs, because it varies more than all
// else.
func (b *bench) raw(size int) (row, error) {
	if r, ok := b.raws[size]; ok {
		return r, nil
	}
	var runs []row
	for range 3 {
		r, err := b.rawRun(size)
		if err != nil {
			return r, err
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b row) int { return cmp.Compare(a.Seconds, b.Seconds) })
	b.raws[size] = runs[1]
	return runs[1], nil
}

func (b *bench) rawRun(size int) (row, error) {
	b.measuring("raw", size)
	r := row{Name: "raw", Size: size, Count: b.count}
	arguments := []string{"--count", strconv.Itoa(b.count), "--size", strconv.Itoa(size)}
	sender, err := b.start("raw-send", arguments...)
	if err != nil {
		return r, err
	}
	receiver, err := b.start("raw-receive", append(arguments, "--connect", sender.last.Endpoint)...)
	if err != nil {
		return r, err
	}
	if err := errors.Join(sender.tell(), sender.report(), receiver.report()); err != nil {
		return r, err
	}
	r.Seconds = receiver.last.Seconds
	r.Rate = float64(b.count) / r.Seconds
	r.CPU = sender.used() + receiver.used()
	r.MaxRSS = receiver.last.MaxRSS
	return r, errors.Join(sender.end(), receiver.end())
}

func (b *bench) rawRow() error {
	r, err := b.raw(b.size)
	if err != nil {
		return err
	}
	return b.add(r, b.count, r.CPU)
}

// ingest measures from the first Send to the last ACK, and then reads everything back to check it.
func (b *bench) ingest() error { return b.stored(true, false) }

// replay measures a consumer that reads what ingest left.
func (b *bench) replay() error { return b.stored(false, true) }

func (b *bench) stored(ingest, replay bool) error {
	return b.withCluster(func(c *cluster) error {
		store, err := c.store()
		if err != nil {
			return err
		}
		producers, err := c.nodes(b.producers, "produce", "--acks")
		if err != nil {
			return err
		}
		if err := errors.Join(store.tell(), store.report()); err != nil {
			return err
		}
		b.measuring("ingest", b.size)
		begin := time.Now()
		if err := errors.Join(tell(producers), reports(producers)); err != nil {
			return err
		}
		r := row{Name: "ingest", Size: b.size, Count: b.count, Seconds: time.Since(begin).Seconds()}
		if err := errors.Join(store.tell(), store.report()); err != nil {
			return err
		}
		cpu := store.used()
		for _, p := range producers {
			cpu += p.used()
		}
		r.MaxRSS = store.last.MaxRSS
		if ingest {
			if r.CRate, err = b.cIngest(); err != nil {
				return err
			}
			if err := b.add(r, b.count*b.producers, cpu); err != nil {
				return err
			}
		}
		// The producers go, so that what is read comes from the store.
		c.processes = []*process{store}
		for _, p := range producers {
			if err := p.end(); err != nil {
				return err
			}
		}
		b.measuring("replay", b.size)
		consumer, err := c.node("consume", "--replay")
		if err != nil {
			return err
		}
		if err := errors.Join(consumer.report(), consumer.report(), store.tell(), store.report()); err != nil {
			return err
		}
		if !replay {
			return nil
		}
		r = row{
			Name: "replay", Size: b.size, Count: b.count,
			Seconds: consumer.last.Seconds, MaxRSS: consumer.last.MaxRSS,
		}
		return b.add(r, b.count*b.producers, consumer.used()+store.used())
	})
}

// live measures from the first Send to the last record at the last consumer.
func (b *bench) live() error {
	b.measuring("live", b.size)
	return b.withCluster(func(c *cluster) error {
		var consumers []*process
		for range b.consumers {
			p, err := c.node("consume")
			if err != nil {
				return err
			}
			consumers = append(consumers, p)
		}
		producers, err := c.nodes(b.producers, "produce")
		if err != nil {
			return err
		}
		if err := reports(consumers); err != nil {
			return err
		}
		begin := time.Now()
		if err := errors.Join(tell(producers), reports(producers), reports(consumers)); err != nil {
			return err
		}
		r := row{Name: "live", Size: b.size, Count: b.count, Seconds: time.Since(begin).Seconds()}
		cpu := 0.0
		for _, p := range append(producers, consumers...) {
			cpu += p.used()
		}
		r.MaxRSS = consumers[0].last.MaxRSS
		if r.CRate, err = b.cLive(); err != nil {
			return err
		}
		return b.add(r, b.count*b.producers, cpu)
	})
}

// latencySeconds is how long single records are measured.
const latencySeconds = 5

// latency measures single records at a steady rate: from Send to a consumer without a store, to one that delivers what a
// store has, and to a store's ACK.
func (b *bench) latency() error {
	b.measuring("latency", b.size)
	count := min(b.count, latencySeconds*b.rate)
	arguments := []string{"--latency", "--rate", strconv.Itoa(b.rate), "--count", strconv.Itoa(count)}
	toConsumer := func(c *cluster, name string, sync float64, more ...string) error {
		consumer, err := c.node("consume", append(more, arguments...)...)
		if err != nil {
			return err
		}
		producers, err := c.nodes(1, "produce", arguments...)
		if err != nil {
			return err
		}
		p := producers[0]
		if err := errors.Join(consumer.report(), p.tell(), p.report(), consumer.report()); err != nil {
			return err
		}
		return b.addLatency(name, count, p.last.Seconds, p.used()+consumer.used(), consumer.last, sync)
	}
	withStore := func(measure func(c *cluster, store *process, sync float64) error) error {
		return b.withCluster(func(c *cluster) error {
			sync, err := b.syncTime()
			if err != nil {
				return err
			}
			store, err := c.store()
			if err != nil {
				return err
			}
			return measure(c, store, sync)
		})
	}
	if err := b.withCluster(func(c *cluster) error { return toConsumer(c, "send to consumer", 0) }); err != nil {
		return err
	}
	if err := withStore(func(c *cluster, _ *process, sync float64) error {
		return toConsumer(c, "send to consumer, stored", sync, "--stored")
	}); err != nil {
		return err
	}
	return withStore(func(c *cluster, store *process, sync float64) error {
		producers, err := c.nodes(1, "produce", append(arguments, "--acks")...)
		if err != nil {
			return err
		}
		p := producers[0]
		if err := errors.Join(store.tell(), store.report(), p.tell(), p.report(), store.tell(), store.report()); err != nil {
			return err
		}
		return b.addLatency("send to ack", count, p.last.Seconds, p.used()+store.used(), p.last, sync)
	})
}

func (b *bench) addLatency(name string, count int, seconds, cpu float64, measured workerReport, sync float64) error {
	l := slices.Sorted(slices.Values(measured.Latency))
	at := func(share float64) float64 { return l[min(len(l)-1, int(share*float64(len(l))))] }
	r := row{Name: name, Size: b.size, Count: count, Seconds: seconds, MaxRSS: measured.MaxRSS}
	r.Latency = &latencies{at(.5), at(.9), at(.99), at(.999), l[len(l)-1], sync}
	return b.add(r, count, cpu)
}

// syncTime is the median time in microseconds that one small write takes to be on disk.
func (b *bench) syncTime() (float64, error) {
	f, err := os.Create(filepath.Join(b.dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var took []time.Duration
	for range 200 {
		begin := time.Now()
		_, err := f.Write(make([]byte, 4096))
		if err := errors.Join(err, f.Sync()); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	return float64(median(took).Nanoseconds()) / 1e3, nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// all measures everything.
func (b *bench) all() error {
	for _, b.size = range []int{100, 1000} {
		if err := errors.Join(b.rawRow(), b.stored(true, true), b.live()); err != nil {
			return err
		}
	}
	b.size = 100
	return errors.Join(b.latency(), b.scale())
}
