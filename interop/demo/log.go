package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// packageLogs is where systems write down which packages they installed: Debian, Arch, Fedora, SUSE, Alpine, macOS and
// Homebrew.
var packageLogs = []string{
	"/var/log/dpkg.log*",
	"/var/log/apt/history.log*",
	"/var/log/pacman.log*",
	"/var/log/dnf.rpm.log*",
	"/var/log/zypp/history*",
	"/var/log/apk.log*",
	"/var/log/install.log*",
	"~/Library/Logs/Homebrew/*/*.log",
}

// logLimit bounds what is published: the demo should take seconds.
const logLimit = 64 << 20

// packageLog is what the demo publishes.
type packageLog struct {
	files []string
	lines []string
}

// readLog reads the package logs of this machine, or the README where there is none.
func readLog() (*packageLog, error) {
	home, _ := os.UserHomeDir()
	log := &packageLog{}
	for _, pattern := range packageLogs {
		// The patterns are right, which is all that can fail.
		files, _ := filepath.Glob(strings.Replace(pattern, "~", home, 1))
		for _, file := range files {
			log.read(file)
		}
	}
	if len(log.lines) < 2 {
		log.read("README.md")
	}
	if len(log.lines) < 2 {
		return nil, errors.New("no package log on this machine and no README.md here: run it in the project's folder")
	}
	return log, nil
}

// read adds a file's lines. One that cannot be read, because of its owner or its compression, is left out.
func (l *packageLog) read(name string) {
	switch filepath.Ext(name) {
	case ".xz", ".zst", ".bz2":
		return
	}
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(name) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			return
		}
	}
	used := 0
	for _, line := range l.lines {
		used += len(line)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(logLimit-used)))
	if err != nil || len(text) == 0 {
		return
	}
	l.files = append(l.files, name)
	l.lines = append(l.lines, split(string(text))...)
}

// names is the files for a reader: not all of many.
func (l *packageLog) names() string {
	if n := len(l.files); n > 2 {
		return fmt.Sprintf("%s and %d more files", l.files[0], n-1)
	}
	return strings.Join(l.files, " and ")
}

// split gives the lines of a text without their endings.
func split(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, "\r")
	}
	return lines
}

// join is the reverse.
func join(lines []string) []byte {
	return []byte(strings.Join(append(slices.Clone(lines), ""), "\n"))
}

// deal gives each of n hands every n-th line.
func deal(lines []string, n int) [][]string {
	hands := make([][]string, n)
	for i, line := range lines {
		hands[i%n] = append(hands[i%n], line)
	}
	return hands
}
