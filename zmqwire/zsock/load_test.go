package zsock

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/google/go-cmp/cmp"
)

// However much is sent to a peer that does not read, no more than the load waits for it; once it reads it gets all
// that was accepted, and nothing is under way any more.
func TestLoadIsBounded(t *testing.T) {
	const most, size = 2 << 20, 100_000
	pub, sub := pair(t, Options{Patience: 10 * time.Millisecond}, Options{ReceiveLimit: 10})
	load := NewLoad(most, nil)
	header := zmqwire.AppendRunHeader(nil, zmqwire.Record, "topic", "address", "topic")
	var want, got []string
	send := func(content string) int {
		t.Helper()
		n, err := pub.SendRun(header, runOf(uint64(len(want)), content), 0, 1, load, true)
		must(t, err)
		if n == 1 {
			want = append(want, content)
		}
		if load.Bytes() > most {
			t.Fatalf("%d bytes under way, at most %d are allowed", load.Bytes(), most)
		}
		return n
	}
	content := func() string { return strings.Repeat(string(rune('a'+len(want)%26)), size) }
	for begin := time.Now(); send(content()) == 1; {
		if time.Since(begin) > bound {
			t.Fatal("a peer that does not read takes everything")
		}
	}
	if load.Bytes() <= most-size {
		t.Errorf("refused a content of %d bytes with %d of %d under way", size, load.Bytes(), most)
	}
	if n := send(strings.Repeat("s", 100)); n != 1 {
		t.Error("a small content, which libzmq's own limit is there for, was refused")
	}

	received := NewBatch()
	for begin := time.Now(); len(got) < len(want) || load.Bytes() > 0; {
		if time.Since(begin) > bound {
			t.Fatalf("%d of %d received, %d bytes under way", len(got), len(want), load.Bytes())
		}
		must(t, sub.Drain(received))
		for frames := received.Next(); frames != nil; frames = received.Next() {
			got = append(got, string(frames[1]))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contents (-sent +received):\n%.2000s", diff)
	}
}

// A content larger than the whole load goes when it is alone.
func TestLoadTakesOneLargerContent(t *testing.T) {
	const size, contents = 8 << 20, 20
	pub, _ := pair(t, Options{Patience: 10 * time.Millisecond}, Options{ReceiveLimit: 1})
	load := NewLoad(1<<20, nil)
	run := runOf(0, slices.Repeat([]string{strings.Repeat("x", size)}, contents)...)
	n, err := pub.SendRun([]byte("header"), run, 0, contents, load, true)
	if n < 1 || n == contents || err != nil {
		t.Errorf("%d of %d contents sent to a peer that does not read, each larger than the load: %v", n, contents, err)
	}
	if load.Bytes() > size {
		t.Errorf("%d bytes under way: more than one content of %d", load.Bytes(), size)
	}
}

// What was on its way to a peer that is gone is not under way any more.
func TestLoadEndsWithThePeer(t *testing.T) {
	pub, sub := pair(t, Options{Patience: time.Millisecond}, Options{ReceiveLimit: 1})
	load := NewLoad(8<<20, nil)
	run := runOf(0, strings.Repeat("x", 1<<20))
	for {
		n, err := pub.SendRun([]byte("header"), run, 0, 1, load, true)
		must(t, err)
		if n == 0 {
			break
		}
	}
	must(t, sub.Close())
	received := NewBatch()
	for begin := time.Now(); load.Bytes() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > bound {
			t.Fatalf("%d bytes still under way", load.Bytes())
		}
		must(t, pub.Drain(received)) // libzmq ends a connection within calls on its socket
	}
}

// Loads with one parent share its bound, and each may have one content all the same.
func TestLoadsShareABound(t *testing.T) {
	const size = 100_000
	pub, sub := pair(t, Options{Patience: 20 * time.Millisecond}, Options{ReceiveLimit: 1})
	all := NewLoad(10*size, nil)
	one, another, third := NewLoad(100*size, all), NewLoad(100*size, all), NewLoad(100*size, all)
	run := runOf(0, strings.Repeat("x", size))
	fill := func(load *Load) {
		t.Helper()
		for begin := time.Now(); ; {
			n, err := pub.SendRun([]byte("header"), run, 0, 1, load, true)
			must(t, err)
			if n == 0 {
				return
			}
			if time.Since(begin) > bound {
				t.Fatal("a peer that does not read takes everything")
			}
		}
	}
	fill(one)
	fill(another)
	fill(third)
	if another.Bytes() < size || third.Bytes() < size || all.Bytes() > 12*size || all.Bytes() != one.Bytes()+another.Bytes()+third.Bytes() {
		t.Errorf("%d, %d and %d bytes under way, %d in all", one.Bytes(), another.Bytes(), third.Bytes(), all.Bytes())
	}
	received := NewBatch()
	for begin := time.Now(); all.Bytes() > 0; {
		if time.Since(begin) > bound {
			t.Fatalf("%d bytes still under way", all.Bytes())
		}
		must(t, sub.Drain(received))
	}
}
