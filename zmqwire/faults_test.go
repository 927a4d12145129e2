package zmqwire

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logged gives the reasons and counts of the lines in a log.
func logged(log *bytes.Buffer) []string {
	var lines []string
	for line := range strings.Lines(log.String()) {
		_, fields, _ := strings.Cut(strings.TrimSpace(line), "reason=")
		lines = append(lines, fields)
	}
	log.Reset()
	return lines
}

func TestFaultsAreCountedByReason(t *testing.T) {
	var log bytes.Buffer
	f := NewFaults(slog.New(slog.NewTextHandler(&log, nil)))
	var m Message
	f.Note(m.Decode(nil))
	f.Note(m.Decode(frames("G")))
	f.Note(m.Decode(frames("Gt\x00\x09")))
	f.Note(m.Decode(frames("H")))
	// A beacon with a bad endpoint is a bad beacon.
	_, err := ParseAnnouncement(frames("B", "A", "nonsense"))
	f.Note(err)
	f.Note(fmt.Errorf("wrapped: %w", Fault("too_many_requests")))
	f.Note(errors.New("of no kind"))
	want := map[Fault]uint64{
		ErrTruncated: 1, ErrUnterminated: 2, ErrVersion: 1, ErrBeacon: 1, Fault("too_many_requests"): 1, "other": 1,
	}
	counts := f.Counts()
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	counts[ErrVersion] = 99
	if diff := cmp.Diff(want, f.Counts()); diff != "" {
		t.Errorf("counts after a change to a copy (-want +got):\n%s", diff)
	}
}

func TestFaultsAreLoggedAtALimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where a sleep takes no time
		var log bytes.Buffer
		f := NewFaults(slog.New(slog.NewTextHandler(&log, nil)))
		for range 1000 {
			f.Note(ErrVersion)
			f.Note(fmt.Errorf("RECORD: %w", ErrKind))
		}
		want := []string{`"unknown protocol version" dropped=1`, `"RECORD: unknown kind of message" dropped=1`}
		if diff := cmp.Diff(want, logged(&log)); diff != "" {
			t.Errorf("log of a flood (-want +got):\n%s", diff)
		}
		time.Sleep(faultLogInterval - time.Nanosecond)
		f.Note(ErrVersion)
		f.Note(ErrTrailing)
		if diff := cmp.Diff([]string{`"bytes after the last field" dropped=1`}, logged(&log)); diff != "" {
			t.Errorf("log of an old and a new reason (-want +got):\n%s", diff)
		}
		time.Sleep(time.Nanosecond)
		f.Note(ErrVersion)
		f.Note(ErrVersion)
		if diff := cmp.Diff([]string{`"unknown protocol version" dropped=1002`}, logged(&log)); diff != "" {
			t.Errorf("log after a while (-want +got):\n%s", diff)
		}
	})
}

func TestFaultsFromManyGoroutines(t *testing.T) {
	f := NewFaults(slog.New(slog.DiscardHandler))
	var noting sync.WaitGroup
	for range 8 {
		noting.Go(func() {
			for range 1000 {
				f.Note(ErrKind)
				f.Counts()
			}
		})
	}
	noting.Wait()
	if diff := cmp.Diff(map[Fault]uint64{ErrKind: 8000}, f.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
