package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fullPipe is a pipe that takes no byte more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(func(file uintptr) bool {
		for err = nil; err == nil; {
			_, err = syscall.Write(int(file), make([]byte, 1))
		}
		return true
	})
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
	return r, w
}

// TestLogReaderStandsStill: a cluster whose log is not read serves as others do, and ends on a signal.
func TestLogReaderStandsStill(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		lines []string // the programs
	}{
		{"dev", []string{"dafka dev --verbose --db DIR/db --pub PUB --sub SUB"}},
		{"tower and store", []string{
			"dafka tower --verbose --pub PUB --sub SUB",
			"dafka store --verbose --db DIR/db --pub PUB --sub SUB --address 127.0.0.1 --bind 127.0.0.1",
		}},
		{"C's names", []string{"dafka_towerd --verbose --pub PUB --sub SUB", "dafka_stored --verbose --pub PUB --sub SUB"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pub, sub := freeEndpoint(t), freeEndpoint(t)
			var nodes []*started
			for _, line := range test.lines {
				_, full := fullPipe(t)
				c := commandNamed(t, strings.Fields(strings.NewReplacer("DIR", dir, "PUB", pub, "SUB", sub).Replace(line))...)
				c.Dir = dir
				c.Env = append(c.Env, "DAFKA_BEACON_ADDRESS=127.0.0.1", "DAFKA_BEACON_BIND=127.0.0.1")
				c.Stdout, c.Stderr = full, full
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				full.Close()
				t.Cleanup(func() { c.Process.Kill() })
				nodes = append(nodes, &started{Cmd: c, t: t})
			}
			join := []string{"--pub", pub, "--sub", sub, "--address", "127.0.0.1", "--bind", "127.0.0.1"}
			mustRun(t, strings.Repeat("a record\n", 1000), append([]string{"produce", "topic", "--timeout", "10s"}, join...)...)
			for _, node := range nodes {
				began := time.Now()
				node.signal(syscall.SIGTERM)
				if err := node.Wait(); err != nil {
					t.Errorf("%v: %v", node.Args[1:], err)
				}
				if took := time.Since(began); took > soon {
					t.Errorf("%v: ended %v after the signal, want %v at most", node.Args[1:], took, soon)
				}
			}
		})
	}
}

// freeEndpoint is one that no program listens at.
func freeEndpoint(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "tcp://" + l.Addr().String()
}
