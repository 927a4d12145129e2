package terminal

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// logWriter hands lines to a file and never waits for it. The reader of a log may stand still, a terminal that somebody
// stopped perhaps: that must not stop the node that logs. Lines that find no room are dropped, and their number is logged
// when the reader goes on. Each write to the file ends where a line does.
type logWriter struct {
	file io.Writer

	mu      sync.Mutex
	waiting []byte
	spare   []byte
	dropped uint64        // lines that found no room behind those that wait
	idle    chan struct{} // closed when all is written; nil when nothing ever waited
	writing bool          // a goroutine is at it
	say     slog.Handler  // logs how many were dropped, straight to the file
}

// mostWaiting is how many bytes may wait for a reader.
const mostWaiting = 1 << 20

// The logs of all commands. Those with C's names log to stdout.
var (
	Stderr = newLogWriter(os.Stderr)
	Stdout = newLogWriter(os.Stdout)
)

func newLogWriter(file io.Writer) *logWriter {
	return &logWriter{file: file, say: slog.NewTextHandler(file, nil)}
}

// SayDroppedWith has the number of dropped lines logged by a handler that writes to the file.
func (w *logWriter) SayDroppedWith(handler func(file io.Writer) slog.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say = handler(w.file)
}

// Write takes whole lines, or drops them. It never fails.
func (w *logWriter) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting)+len(lines) > mostWaiting {
		w.dropped++
		return len(lines), nil
	}
	w.waiting = append(w.waiting, lines...)
	if !w.writing {
		w.writing, w.idle = true, make(chan struct{})
		go w.run()
	}
	return len(lines), nil
}

// run writes until nothing waits.
func (w *logWriter) run() {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 && w.dropped == 0 {
			w.writing = false
			close(w.idle)
			w.mu.Unlock()
			return
		}
		lines, dropped, say := w.waiting, w.dropped, w.say
		w.waiting, w.spare, w.dropped = w.spare[:0], nil, 0
		w.mu.Unlock()
		w.file.Write(lines) // there is nowhere to report a failure to
		if dropped > 0 {
			slog.New(say).Warn("log lines dropped", "lines", dropped)
		}
		w.mu.Lock()
		w.spare = lines
		w.mu.Unlock()
	}
}

// Drain waits until all is written, or for so long.
func (w *logWriter) Drain(patience time.Duration) {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(patience):
	}
}

// LogPatience is how long the end of the program waits for the reader of a log; where the program has no more time, a
// tenth of it.
const LogPatience = 500 * time.Millisecond

// DrainLogs is called before the program exits.
func DrainLogs(patience time.Duration) {
	Stderr.Drain(patience)
	Stdout.Drain(patience)
}
