package main

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
	// cBound ends a C program that hangs; cSettle is how long they are given to find each other, which none of them
	// tells.
	cBound  = 2 * time.Minute
	cSettle = 2 * time.Second
)

// cCluster is a C tower and what runs beside it.
type cCluster struct {
	bin, dir string
	flags    []string
	running  []*exec.Cmd
}

// withC runs a measure of the C programs and gives its rate; 0 where there are none.
func (b *bench) withC(run func(*cCluster) (float64, error)) (float64, error) {
	bin := os.Getenv("DAFKA_C_BIN")
	if bin == "" {
		return 0, nil
	}
	b.measuring("C", b.size)
	c := &cCluster{bin: bin, dir: filepath.Join(b.dir, "c")}
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
	return run(c)
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
	command := exec.Command(filepath.Join(c.bin, program), append(slices.Clone(c.flags), arguments...)...)
	command.Stdout = new(bytes.Buffer)
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("DAFKA_C_BIN: %w", err)
	}
	c.running = append(c.running, command)
	return command, nil
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
	bound, end := context.WithTimeout(context.Background(), cBound)
	defer end()
	defer context.AfterFunc(bound, func() { command.Process.Kill() })()
	if err := command.Wait(); err != nil {
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
		time.Sleep(cSettle)
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
		time.Sleep(cSettle)
		_, err = c.start("dafka_perf_store", strconv.Itoa(b.count), strconv.Itoa(b.size))
		rate, rateErr := c.rate(consumer)
		return rate, errors.Join(err, rateErr)
	})
}
