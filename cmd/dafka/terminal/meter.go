package terminal

import (
	"fmt"
	"os"
	"time"
)

// Meter shows on a terminal how far a piece of work is; elsewhere it is silent.
type Meter struct {
	doing    string
	terminal bool
	shown    time.Time
}

// StartMeter begins to show how far a piece of work is.
func StartMeter(doing string) *Meter {
	return &Meter{doing: doing, terminal: IsTerminal(os.Stderr), shown: time.Now()}
}

// Progress is called often, by one goroutine.
func (m *Meter) Progress(done, total uint64) {
	if !m.terminal || total == 0 || time.Since(m.shown) < ProgressInterval {
		return
	}
	m.shown = time.Now()
	fmt.Fprintf(Stderr, "%s%s: %d %%", ClearLine, m.doing, 100*done/total)
}

// End clears the line for what is to be said.
func (m *Meter) End() {
	if m.terminal {
		fmt.Fprint(Stderr, ClearLine)
	}
}
