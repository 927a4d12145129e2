package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// What a command writes to stderr: its log, and what it says to its user whatever is logged. The programs with C's names
// have a log of their own, see clog.go.

// jsonLog is where what is said goes when the log is JSON, so that every line of stderr is; nil otherwise.
var jsonLog *slog.Logger

// sayInJSON has every line of stderr be a JSON object from now on. It is called before anything is said.
func sayInJSON() {
	jsonLog = slog.New(slog.NewJSONHandler(stderr, nil))
	stderr.sayDroppedWith(func(file io.Writer) slog.Handler { return slog.NewJSONHandler(file, nil) })
}

// isInJSON reports whether every line of stderr is a JSON object.
func isInJSON() bool { return jsonLog != nil }

// warn tells the user of what is probably a mistake, in a line of its own.
func warn(name, message string) {
	if jsonLog != nil {
		jsonLog.Warn(message)
	} else {
		fmt.Fprintf(stderr, "%s: warning: %s\n", name, message)
	}
}

// say tells the user something, in a line of its own.
func say(format string, args ...any) {
	if message := fmt.Sprintf(format, args...); jsonLog != nil {
		jsonLog.Info(message)
	} else {
		fmt.Fprintln(stderr, message)
	}
}

// towerPatience is how long a node looks for its tower in silence.
const towerPatience = time.Second

// sayWaiting tells the user, once, when a node that has just been opened does not find one of its towers.
func sayWaiting(towers []string, connected func() int) (stop func() bool) {
	return time.AfterFunc(towerPatience, func() {
		if connected() == 0 {
			say("waiting for tower at %s", strings.Join(towers, ", "))
		}
	}).Stop
}
