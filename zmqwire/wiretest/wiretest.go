// Package wiretest has what the tests of the packages below zmqwire share: messages as frames, runs, and the messages that
// the C codec encoded.
package wiretest

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/godafka/dafka/zmqwire"
)

// Must ends the test when err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Frames returns a message whose frames have these texts.
func Frames(texts ...string) [][]byte {
	var frames [][]byte
	for _, text := range texts {
		frames = append(frames, []byte(text))
	}
	return frames
}

// Encode returns the frames of a message, as a socket carries them.
func Encode(t testing.TB, m *zmqwire.Message) [][]byte {
	t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatalf("encode %v: %v", m.Kind, err)
	}
	if m.Kind.HasContent() {
		return [][]byte{frame, m.Content}
	}
	return [][]byte{frame}
}

// NewRun returns a run of these contents, the first of which has the sequence first.
func NewRun(first uint64, contents ...string) *zmqwire.Run {
	run := &zmqwire.Run{First: first}
	for _, content := range contents {
		run.Append([]byte(content))
	}
	return run
}

// Contents returns the contents of a run.
func Contents(run *zmqwire.Run) []string {
	var contents []string
	for i := range run.Len() {
		contents = append(contents, string(run.Content(i)))
	}
	return contents
}

// VectorsOfC returns the frames of the messages that the C codec encoded.
func VectorsOfC(t testing.TB) [][][]byte {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "../testdata/c-dafka-messages.json"))
	Must(t, err)
	var vectors []struct {
		Frames []string `json:"frames_hex"`
	}
	Must(t, json.Unmarshal(text, &vectors))
	messages := make([][][]byte, len(vectors))
	for i, vector := range vectors {
		for _, text := range vector.Frames {
			frame, err := hex.DecodeString(text)
			Must(t, err)
			messages[i] = append(messages[i], frame)
		}
	}
	return messages
}
