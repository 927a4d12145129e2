package cnames

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCLog(t *testing.T) {
	type lines struct{ Out, Problems string }
	say := func(log *slog.Logger) {
		writer := log.With("node", "writer")
		log.Info("running...")
		writer.Info("connected to tower", "tower", "tcp://127.0.0.1:5557")
		writer.Debug("connected to peer", "endpoint", "tcp://127.0.0.1:1")
		log.With("node", "reader").Debug("connected to peer", "endpoint", "tcp://127.0.0.1:1")
		writer.Debug("acked", "topic", "hello", "partition", "P", "sequence", uint64(2))
		log.Debug("something", "else", "is\nsaid")
		log.Warn("disk is slow", "info", "very")
		writer.Error("no more", "error", errors.New("disk is full"))
	}
	const (
		problems = "W: TIME Store: disk is slow info=very\nE: TIME Store Writer: no more error=disk is full\n"
		beacon   = "I: TIME Store Writer Beacon: connected to tower\n"
		before   = "I: TIME Store: running...\n"
		after    = "I: TIME Store: Connecting to tcp://127.0.0.1:1\n" +
			"I: TIME Store Reader: Connecting to tcp://127.0.0.1:1\n" +
			"I: TIME Store: Acked hello P 2\n" +
			"D: TIME Store: something else=is; said\n"
	)
	for _, test := range []struct {
		verbose, beacon bool
		want            lines
	}{
		{false, false, lines{"", problems}},
		{true, true, lines{before + beacon + after, problems}},
		{true, false, lines{before + after, problems}},
		{false, true, lines{beacon, problems}},
	} {
		t.Run(fmt.Sprintf("verbose %v, beacon %v", test.verbose, test.beacon), func(t *testing.T) {
			var out, problems bytes.Buffer
			say(slog.New(&cLog{role: "Store", verbose: test.verbose, beacon: test.beacon, out: &out, problems: &problems}))
			at := regexp.MustCompile(`(?m)^(.): \d\d-\d\d-\d\d \d\d:\d\d:\d\d `)
			got := lines{at.ReplaceAllString(out.String(), "$1: TIME "), at.ReplaceAllString(problems.String(), "$1: TIME ")}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
