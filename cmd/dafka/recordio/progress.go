package recordio

import (
	"fmt"
	"time"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower"
)

// Progress tells the user on stderr how a producer is getting on: what it waits for and, on a terminal, how far it is.
type Progress struct {
	producer *Publisher
	waiting  func() bool // ends the message about the tower
	terminal bool        // somebody looks at stderr
	line     bool        // and a line there may change: nobody types records into it
	begin    time.Time
	stop     chan struct{}
	stopped  chan struct{}
}

func (g *Progress) run() {
	defer close(g.stopped)
	tick := time.NewTicker(terminal.ProgressInterval)
	defer tick.Stop()
	var acked uint64
	quiet, asked := g.begin, false
	for {
		var now time.Time
		select {
		case <-g.stop:
			return
		case now = <-tick.C:
		}
		s := g.producer.Stats()
		if s.Acked != acked || s.Acked == s.Sent || s.Towers == 0 {
			acked, quiet = s.Acked, now
		}
		if !asked && now.Sub(quiet) > storePatience {
			asked = true
			if waiting := terminal.Count(s.Sent-s.Acked, "record waits", "records wait"); s.MinAcks > 1 && len(s.Stores) > 0 {
				g.say("%s for %d stores to ack: %d have acked", waiting, s.MinAcks, len(s.Stores))
			} else {
				g.say("%s for a store to ack: is one running? (dafka store)", waiting)
			}
		}
		if g.line {
			fmt.Fprintf(terminal.Stderr, "%s%s sent, %d acked", terminal.ClearLine, terminal.Plural(s.Sent, "record"), s.Acked)
		}
	}
}

// say prints a line of its own.
func (g *Progress) say(format string, args ...any) {
	if g.line {
		fmt.Fprint(terminal.Stderr, terminal.ClearLine)
	}
	terminal.Say(format, args...)
}

// End stops the reports and, on a terminal, sums up.
func (g *Progress) End() {
	g.waiting()
	close(g.stop)
	<-g.stopped
	if !g.terminal {
		return
	}
	s, took := g.producer.Stats(), time.Since(g.begin)
	g.say("%s sent, %d acked, %d unacked in %.1f s (%.0f records/s), partition %s",
		terminal.Plural(s.Sent, "record"), s.Acked, s.Sent-s.Acked, took.Seconds(),
		float64(s.Acked)/took.Seconds(), g.producer.Address())
}

// StartProgress begins to report; watched says that somebody looks at stderr, typed that the records are typed there.
func StartProgress(p *Publisher, node tower.NodeConfig, watched, typed bool) *Progress {
	g := &Progress{
		producer: p,
		waiting:  terminal.SayWaiting(node.Pub, p.Connected),
		terminal: watched,
		line:     watched && !typed && !terminal.IsInJSON(),
		begin:    time.Now(),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if watched && typed {
		g.say("type records, one a line; Ctrl-D ends")
	}
	go g.run()
	return g
}

// storePatience is how long nothing is acked before the user is asked about a store.
const storePatience = 3 * time.Second
