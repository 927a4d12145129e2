package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each measure runs with few records: its processes find each other, check every record, and leave rows that programs
// can read.
func TestBench(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		measure string
		rows    []string
	}{
		{"raw", []string{"raw"}},
		{"ingest", []string{"ingest"}},
		{"live", []string{"live"}},
		{"replay", []string{"replay"}},
		{"latency", []string{"send to consumer", "send to consumer, stored", "send to ack"}},
	} {
		t.Run(test.measure, func(t *testing.T) {
			t.Parallel()
			got := runProgram(t, "", "bench", test.measure, "--count", "3000", "--dir", t.TempDir(), "--json")
			if got.Status != 0 {
				t.Fatalf("exit status %d: %s", got.Status, got.Stderr)
			}
			var names []string
			lines := bufio.NewScanner(strings.NewReader(got.Stdout))
			for lines.Scan() {
				var row map[string]any
				if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
					t.Fatalf("%q: %v", lines.Text(), err)
				}
				for _, key := range []string{
					"name", "size", "count", "seconds", "rate", "megabytes_per_second", "cpu_us_per_record", "max_rss_bytes",
				} {
					if _, ok := row[key]; !ok {
						t.Errorf("no %q in %s", key, lines.Text())
					}
				}
				names = append(names, row["name"].(string))
			}
			if diff := cmp.Diff(test.rows, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBenchEndsWhatItStarted: a signal ends the workers and the C programs too, and the folder is removed.
func TestBenchEndsWhatItStarted(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, name := range []string{"dafka_towerd", "dafka_stored", "dafka_perf_store", "dafka_perf_consumer"} {
		script := "#!/bin/sh\necho $$ >>" + bin + "/pids\nexec sleep 1000\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	storeRuns := func(dir string) bool {
		found, _ := filepath.Glob(filepath.Join(dir, "dafka-bench-*", "cluster", "*"))
		return len(found) > 0
	}
	for _, test := range []struct {
		name, measure, count string
		signal               syscall.Signal
		reached              func(dir string) bool
	}{
		{"C programs", "ingest", "100", syscall.SIGTERM, func(string) bool { // the tower, at least
			pids, _ := os.ReadFile(filepath.Join(bin, "pids"))
			return len(pids) > 0
		}},
		{"workers", "ingest", "100000000", syscall.SIGTERM, storeRuns},
		{"workers of a bench that was killed", "ingest", "100000000", syscall.SIGKILL, storeRuns},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.signal == syscall.SIGKILL && runtime.GOOS != "linux" {
				t.Skip("SKIPPED: only Linux ends the workers at once")
			}
			dir := t.TempDir()
			c := commandLine(t, "program", "bench", test.measure, "--count", test.count, "--dir", dir)
			c.Env = append(c.Env, "DAFKA_C_BIN="+bin)
			s := startCommand(t, c) // the workers have its stderr: that ends when they all have ended
			for deadline := time.Now().Add(atMost); !test.reached(dir); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it did not get there")
				}
			}
			s.signal(test.signal)
			status := s.endsSoon()
			if test.signal == syscall.SIGKILL {
				return
			}
			if status != 0 {
				t.Errorf("exit status %d, want 0; stderr %q", status, s.seen)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
		})
	}
	pids, err := os.ReadFile(filepath.Join(bin, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Fields(string(pids)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("C program %d is still there: %v", pid, err)
		}
	}
}
