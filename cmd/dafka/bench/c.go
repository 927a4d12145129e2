package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// The same work done by the C programs, where DAFKA_C_BIN names the folder that holds them. They measure themselves.

const (
	// cBound and cBoundEach end a C program that hangs, as one does that has missed a record: at the start, and for each
	// record. cSettle is how long they are given to find each other, which none of them tells.
	cBound     = 30 * time.Second
	cBoundEach = 30 * time.Microsecond
	cSettle    = 2 * time.Second
)

// cCluster is a C tower and what runs beside it.
type cCluster struct {
	*bench
	bin, dir string
	flags    []string
	bound    time.Duration // of one measure
	running  []*exec.Cmd
}

// errHung says that a C program did not come to an end.
var errHung = errors.New("did not finish, as C programs sometimes do not: what it would show is left out")

// withC runs a measure of the C programs and gives its rate; 0 where there are none, or one hangs.
func (b *bench) withC(run func(*cCluster) (float64, error)) (float64, error) {
	bin := os.Getenv("DAFKA_C_BIN")
	if bin == "" {
		return 0, nil
	}
	b.measuring("C", b.size)
	c := &cCluster{bench: b, bin: bin, dir: filepath.Join(b.dir, "c"), bound: cBound + time.Duration(b.count)*cBoundEach}
	defer os.RemoveAll(c.dir)
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return 0, err
	}
	pub, sub, err := freePorts()
	if err != nil {
		return 0, err
	}
	config := filepath.Join(c.dir, "dafka.cfg")
	text := fmt.Sprintf("beacon\n    address = 127.0.0.1\nstore\n    db = %s\n", filepath.Join(c.dir, "db"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return 0, err
	}
	c.flags = []string{"-c", config, "--pub", pub, "--sub", sub}
	defer c.end()
	if _, err := c.start("dafka_towerd"); err != nil {
		return 0, err
	}
	rate, err := run(c)
	if errors.Is(err, errHung) {
		b.notes = append(b.notes, fmt.Sprintf("%d bytes: %v", b.size, err))
		return 0, nil
	}
	return rate, err
}

// freePorts finds two ports for a C tower, which cannot choose its own.
func freePorts() (pub, sub string, err error) {
	var endpoints []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		endpoints = append(endpoints, "tcp://"+l.Addr().String())
	}
	return endpoints[0], endpoints[1], nil
}

func (c *cCluster) start(program string, arguments ...string) (*exec.Cmd, error) {
	command := c.command(filepath.Join(c.bin, program), append(slices.Clone(c.flags), arguments...)...)
	command.Stdout = new(bytes.Buffer)
	if err := c.run(command); err != nil {
		return nil, fmt.Errorf("DAFKA_C_BIN: %w", err)
	}
	c.running = append(c.running, command)
	return command, nil
}

// settle gives the programs time to find each other. At the end of ctx, which ends them all, none is needed.
func (c *cCluster) settle() {
	select {
	case <-time.After(cSettle):
	case <-c.ctx.Done():
	}
}

// end ends what still runs.
func (c *cCluster) end() {
	for _, command := range slices.Backward(c.running) {
		if command.ProcessState == nil {
			command.Process.Signal(syscall.SIGKILL)
			command.Wait()
		}
	}
}

var cThroughput = regexp.MustCompile(`mean throughput: (\d+) \[msg/s\]`)

// rate waits for one of the perf programs and gives what it printed.
func (c *cCluster) rate(command *exec.Cmd) (float64, error) {
	bound, end := context.WithTimeout(context.Background(), c.bound)
	defer end()
	defer context.AfterFunc(bound, func() { command.Process.Kill() })()
	err := command.Wait()
	if bound.Err() != nil {
		err = errHung
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", command.Path, err)
	}
	found := cThroughput.FindSubmatch(command.Stdout.(*bytes.Buffer).Bytes())
	if found == nil {
		return 0, fmt.Errorf("%s printed no throughput", command.Path)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// cIngest is ingest by the C programs: a producer, a store that does not sync.
func (b *bench) cIngest() (float64, error) {
	return b.withC(func(c *cCluster) (float64, error) {
		if _, err := c.start("dafka_stored"); err != nil {
			return 0, err
		}
		c.settle()
		producer, err := c.start("dafka_perf_store", strconv.Itoa(b.count), strconv.Itoa(b.size))
		if err != nil {
			return 0, err
		}
		return c.rate(producer)
	})
}

// cLive is live by the C programs, measured by their consumer.
func (b *bench) cLive() (float64, error) {
	return b.withC(func(c *cCluster) (float64, error) {
		consumer, err := c.start("dafka_perf_consumer", strconv.Itoa(b.count), strconv.Itoa(b.size))
		if err != nil {
			return 0, err
		}
		c.settle()
		_, err = c.start("dafka_perf_store", strconv.Itoa(b.count), strconv.Itoa(b.size))
		rate, rateErr := c.rate(consumer)
		return rate, errors.Join(err, rateErr)
	})
}
