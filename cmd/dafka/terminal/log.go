package terminal

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// What a command writes to stderr: its log, and what it says to its user whatever is logged. The programs with C's names
// have a log of their own, see package cnames.

// jsonLog is where what is said goes when the log is JSON, so that every line of stderr is; nil otherwise.
var jsonLog *slog.Logger

// SayInJSON has every line of stderr be a JSON object from now on. It is called before anything is said.
func SayInJSON() {
	jsonLog = slog.New(slog.NewJSONHandler(Stderr, nil))
	Stderr.SayDroppedWith(func(file io.Writer) slog.Handler { return slog.NewJSONHandler(file, nil) })
}

// IsInJSON reports whether every line of stderr is a JSON object.
func IsInJSON() bool { return jsonLog != nil }

// Warn tells the user of what is probably a mistake, in a line of its own.
func Warn(name, message string) {
	if jsonLog != nil {
		jsonLog.Warn(message)
	} else {
		fmt.Fprintf(Stderr, "%s: warning: %s\n", name, message)
	}
}

// Say tells the user something, in a line of its own.
func Say(format string, args ...any) {
	if message := fmt.Sprintf(format, args...); jsonLog != nil {
		jsonLog.Info(message)
	} else {
		fmt.Fprintln(Stderr, message)
	}
}

// towerPatience is how long a node looks for its tower in silence.
const towerPatience = time.Second

// SayWaiting tells the user, once, when a node that has just been opened does not find one of its towers.
func SayWaiting(towers []string, connected func() int) (stop func() bool) {
	return time.AfterFunc(towerPatience, func() {
		if connected() == 0 {
			Say("waiting for tower at %s", strings.Join(towers, ", "))
		}
	}).Stop
}
