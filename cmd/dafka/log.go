package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"
)

// What a command writes to stderr: its log, and what it says to its user whatever is logged. The programs with C's names
// have a log of their own, see clog.go.

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Usage: "`FORMAT` of what goes to stderr: text, or json for one object a line", DefaultText: "text"},
		&cli.StringFlag{Name: "log-level", Usage: "what to log to stderr, `LEVEL` and above: debug, info, warn or error", DefaultText: "warn"},
		&cli.BoolFlag{Name: "verbose", Usage: "log to stderr all that happens, as --log-level debug", DisableDefaultText: true},
	}
}

func checkLogFormat(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("%q: want text or json", text)
	}
	return nil
}

func checkLogLevel(text string) error {
	_, err := parseLevel(text)
	return err
}

func parseLevel(text string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if text == strings.ToLower(level.String()) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%q: want debug, info, warn or error", text)
}

// logger writes to stderr what log/level says, or everything when only the role or its part in discovery is said to be
// verbose.
func (c *config) logger() *slog.Logger {
	level, _ := parseLevel(c.text("log/level"))
	if c.values["log/level"].source == byDefault && (c.isOn("beacon/verbose") || c.isOn(c.role+"/verbose")) {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if c.text("log/format") == "json" {
		return slog.New(slog.NewJSONHandler(stderr, options))
	}
	return slog.New(slog.NewTextHandler(stderr, options))
}

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
