package cnames

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// cLog writes what happens to a node as the C programs do, for the scripts that wait for these lines:
//
//	I: 26-11-21 06:35:47 Store: running...
//
// Without verbose there are warnings and errors only.
type cLog struct {
	role     string    // Tower, Store, Producer or Consumer
	half     string    // Writer or Reader, of a store's two nodes
	verbose  bool      // the role tells all
	beacon   bool      // its part in discovery does
	out      io.Writer // stdout, where C writes them
	problems io.Writer // for warnings and errors
}

// cLogger is the log of a C program; problems is where warnings and errors go.
func cLogger(c *settings.Config, problems io.Writer) *slog.Logger {
	log := &cLog{
		role:    strings.ToUpper(c.Role[:1]) + c.Role[1:],
		verbose: c.IsOn(c.Role + "/verbose"), beacon: c.IsOn("beacon/verbose"),
		out: terminal.Stdout, problems: problems,
	}
	sayDropped := func(file io.Writer) slog.Handler {
		direct := *log
		direct.out, direct.problems = file, file
		return &direct
	}
	terminal.Stdout.SayDroppedWith(sayDropped)
	terminal.Stderr.SayDroppedWith(sayDropped)
	return slog.New(log)
}

func (l *cLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || l.verbose || l.beacon
}

// WithAttrs keeps which half of a store speaks; nodes say nothing else of themselves.
func (l *cLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *l
	for _, a := range attrs {
		if half := a.Value.String(); a.Key == "node" && half != "" {
			with.half = " " + strings.ToUpper(half[:1]) + half[1:]
		}
	}
	return &with
}

func (l *cLog) WithGroup(string) slog.Handler { return l }

func (l *cLog) Handle(_ context.Context, r slog.Record) error {
	who, level, text, discovery := l.role+l.half, r.Level, "", false
	attrs := make(map[string]slog.Value, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	switch r.Message {
	case "connected to tower":
		who, text, discovery = who+" Beacon", r.Message, true
	case "waiting for tower":
		who, text, discovery = who+" Beacon", r.Message+text, true
	case "connected to peer":
		if l.half == " Writer" {
			who = l.role
		}
		level, text = slog.LevelInfo, fmt.Sprint("Connecting to ", attrs["endpoint"])
	case "acked":
		who, level, text = l.role, slog.LevelInfo, fmt.Sprintf("Acked %v %v %v", attrs["topic"], attrs["partition"], attrs["sequence"])
	case "tower is running":
		text = "tower is running..."
	default:
		text = r.Message + text
	}
	out := l.out
	switch {
	case level >= slog.LevelWarn:
		out = l.problems
	case discovery && !l.beacon, !discovery && !l.verbose:
		return nil
	}
	// Whatever is in it, it stays one line.
	text = strings.NewReplacer("\n", "; ", "\r", "").Replace(text)
	_, err := fmt.Fprintf(out, "%c: %s %s: %s\n", level.String()[0], r.Time.Format("06-01-02 15:04:05"), who, text)
	return err
}
