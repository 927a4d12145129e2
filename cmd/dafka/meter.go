package main

import (
	"fmt"
	"os"
	"time"
)

// meter shows on a terminal how far a piece of work is; elsewhere it is silent.
type meter struct {
	doing    string
	terminal bool
	shown    time.Time
}

func startMeter(doing string) *meter {
	return &meter{doing: doing, terminal: isTerminal(os.Stderr), shown: time.Now()}
}

// progress is called often, by one goroutine.
func (m *meter) progress(done, total uint64) {
	if !m.terminal || total == 0 || time.Since(m.shown) < progressInterval {
		return
	}
	m.shown = time.Now()
	fmt.Fprintf(stderr, "%s%s: %d %%", clearLine, m.doing, 100*done/total)
}

// end clears the line for what is to be said.
func (m *meter) end() {
	if m.terminal {
		fmt.Fprint(stderr, clearLine)
	}
}
