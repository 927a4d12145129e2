package main

import (
	"os"
	"time"
)

// isTerminal says whether a person looks at the file. /dev/null is a character device too.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// clearLine brings a terminal back to the beginning of an empty line.
const clearLine = "\r\x1b[K"

// clearScreen brings a terminal back to the beginning of an empty screen.
const clearScreen = "\x1b[H\x1b[2J"

// progressInterval is how often a terminal shows how far a piece of work is.
const progressInterval = 200 * time.Millisecond

// Colours of terminals.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// inColour colours text that a person will see on stdout, unless the person does not want it (https://no-color.org).
func inColour(colour, text string) string {
	if os.Getenv("NO_COLOR") != "" || !isTerminal(os.Stdout) {
		return text
	}
	return "\x1b[1;" + colour + "m" + text + "\x1b[0m"
}
