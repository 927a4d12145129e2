package terminal

import (
	"os"
	"time"
)

// IsTerminal says whether a person looks at the file. /dev/null is a character device too.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// ClearLine brings a terminal back to the beginning of an empty line.
const ClearLine = "\r\x1b[K"

// ClearScreen brings a terminal back to the beginning of an empty screen.
const ClearScreen = "\x1b[H\x1b[2J"

// ProgressInterval is how often a terminal shows how far a piece of work is.
const ProgressInterval = 200 * time.Millisecond

// Red, Green and Yellow are the colours of InColour.
const (
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// InColour colours text that a person will see on stdout, unless the person does not want it (https://no-color.org).
func InColour(colour, text string) string {
	if os.Getenv("NO_COLOR") != "" || !IsTerminal(os.Stdout) {
		return text
	}
	return "\x1b[1;" + colour + "m" + text + "\x1b[0m"
}
