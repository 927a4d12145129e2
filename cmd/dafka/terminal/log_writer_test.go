package terminal

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// standstill is a file whose reader stands still until it is closed.
type standstill struct {
	bytes.Buffer
	goOn chan struct{}
}

func (s *standstill) Write(b []byte) (int, error) {
	<-s.goOn
	return s.Buffer.Write(b)
}

// TestLogWriter: a reader that stands still holds up no node. Every line is written whole, or counted as dropped.
func TestLogWriter(t *testing.T) {
	file := &standstill{goOn: make(chan struct{})}
	w := newLogWriter(file)
	const lines = 100_000
	for i := range lines { // it would wait here for ever
		fmt.Fprintf(w, "line %d of a log that is not read\n", i)
	}
	w.Drain(time.Millisecond) // and here
	close(file.goOn)
	w.Drain(20 * time.Second)
	fmt.Fprintf(w, "line %d of a log that is not read\n", lines)
	w.Drain(20 * time.Second)

	last, written, dropped := -1, 0, 0
	for line := range strings.Lines(file.String()) {
		if m := regexp.MustCompile(`msg="log lines dropped" lines=(\d+)\n$`).FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			dropped += n
			continue
		}
		var n int
		if _, err := fmt.Sscanf(line, "line %d of a log that is not read\n", &n); err != nil || n <= last {
			t.Fatalf("line %q behind line %d: %v", line, last, err)
		}
		last = n
		written++
	}
	if written+dropped != lines+1 || dropped == 0 || last != lines {
		t.Errorf("%d lines were written, the last is %d, and %d dropped; want %d in all", written, last, dropped, lines+1)
	}
}
