package zsock

import (
	"bytes"
	"errors"
	"testing"

	"github.com/godafka/dafka/zmqwire"
	"github.com/google/go-cmp/cmp"
)

func TestBatchGivesWhatWasAdded(t *testing.T) {
	b := NewBatch()
	for _, message := range shapes() {
		b.Add(message...)
	}
	record := zmqwire.Message{
		Kind: zmqwire.Record, Routing: []byte("t"), Address: []byte("a"), Subject: []byte("t"), Sequence: 7, Content: []byte("content"),
	}
	must(t, b.AddMessage(&record))
	head := zmqwire.Message{Kind: zmqwire.Head, Routing: []byte("t"), Address: []byte("a"), Subject: []byte("t"), Sequence: 7}
	must(t, b.AddMessage(&head))
	// A message that cannot be sent must leave nothing that would be sent with its neighbours.
	if err := b.AddMessage(&zmqwire.Message{Kind: zmqwire.Record, Routing: bytes.Repeat([]byte("n"), 256)}); !errors.Is(err, zmqwire.ErrName) {
		t.Errorf("error %v, want %v", err, zmqwire.ErrName)
	}
	b.Add([]byte("behind"))
	want := append(shapes(), encode(t, &record), encode(t, &head), frames("behind"))
	if b.Len() != len(want) {
		t.Errorf("%d messages, want %d", b.Len(), len(want))
	}
	if diff := cmp.Diff(want, takeAll(b), sameBytes); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
	if frames := b.Next(); frames != nil {
		t.Errorf("%q behind the last message", frames)
	}
	b.Reset()
	if frames := b.Next(); frames != nil || b.Len() != 0 {
		t.Errorf("%q, %d messages after Reset", frames, b.Len())
	}
}

func TestBatchFramesDoNotOverlap(t *testing.T) {
	b := NewBatch()
	b.Add([]byte("one"), []byte("two"))
	message := b.Next()
	_ = append(message[0], "XXX"...)
	if string(message[1]) != "two" {
		t.Errorf("an append to the first frame made the second %q", message[1])
	}
}

func TestBatchCut(t *testing.T) {
	all := shapes()
	for n := range len(all) + 1 {
		b := NewBatch()
		for _, message := range all {
			b.Add(message...)
		}
		b.Next()
		b.Cut(n)
		b.Add([]byte("behind"))
		want := append(append([][][]byte(nil), all[n:]...), frames("behind"))
		if diff := cmp.Diff(want, takeAll(b), sameBytes); diff != "" {
			t.Errorf("without the first %d (-want +got):\n%.2000s", n, diff)
		}
	}
}
