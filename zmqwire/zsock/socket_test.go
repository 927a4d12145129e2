package zsock

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/wiretest"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pebbe/zmq4"
)

// bound is how long a test waits for what must come: far longer than it takes, even on a busy machine.
const bound = 30 * time.Second

// within fails the test when call takes too long; it does not end the call.
func within(t testing.TB, limit time.Duration, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Errorf("%s: not done after %v", what, limit)
	}
}

// newContext returns a context that must end with the test: a socket left open shows, because Close never ends.
func newContext(t testing.TB) *Context {
	t.Helper()
	c, err := NewContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.Close(2 * bound) {
			t.Error("the context does not end")
		}
	})
	return c
}

func open(t testing.TB, c *Context, kind Type, o Options) *Socket {
	t.Helper()
	s, err := c.Open(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func bind(t testing.TB, s *Socket) string {
	t.Helper()
	endpoint, err := s.Bind("tcp://127.0.0.1:*")
	if err != nil {
		t.Fatal(err)
	}
	return endpoint
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair gives an XPUB, which tells when it knows its subscriber, and a SUB that is subscribed to everything. They have a
// context each, as peers do.
func pair(t testing.TB, pubOptions, subOptions Options) (pub, sub *Socket) {
	t.Helper()
	pub, sub = open(t, newContext(t), XPUB, pubOptions), open(t, newContext(t), SUB, subOptions)
	must(t, sub.Subscribe(""))
	must(t, sub.Connect(bind(t, pub)))
	await(t, pub, 1)
	return pub, sub
}

// foreign returns a socket of another binding, which waits for messages no longer than the test does.
func foreign(t testing.TB, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	c, err := zmq4.NewContext()
	must(t, err)
	s, err := c.NewSocket(kind)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		within(t, bound, "close foreign context", func() { c.Term() })
	})
	must(t, s.SetLinger(0))
	must(t, s.SetSndhwm(0))
	return s
}

func foreignEndpoint(t testing.TB, s *zmq4.Socket) string {
	t.Helper()
	must(t, s.Bind("tcp://127.0.0.1:*"))
	endpoint, err := s.GetLastEndpoint()
	must(t, err)
	return endpoint
}

func never() bool { return false }

// sameBytes compares large frames as a whole; cmp would take them byte by byte.
var sameBytes = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })

// await returns the next n messages, copied, and fails the test when they do not come. libzmq does some of a socket's
// work, such as to answer a new connection, only within calls on it: others are sockets that must not be neglected
// meanwhile.
func await(t testing.TB, s *Socket, n int, others ...*Socket) [][][]byte {
	t.Helper()
	p, err := NewPoller(append([]*Socket{s}, others...)...)
	must(t, err)
	defer p.Close()
	var got [][][]byte
	batch := NewBatch()
	for begin := time.Now(); len(got) < n; {
		if time.Since(begin) > bound {
			t.Fatalf("%d of %d messages came in %v", len(got), n, bound)
		}
		_, err := p.Wait(20*time.Millisecond, never)
		must(t, err)
		must(t, s.Drain(batch))
		got = append(got, takeAll(batch)...)
	}
	return got
}

// awaitForeign is await for the next message of a foreign socket.
func awaitForeign(t testing.TB, s *zmq4.Socket, others ...*Socket) [][]byte {
	t.Helper()
	p, err := NewPoller(others...)
	must(t, err)
	defer p.Close()
	for begin := time.Now(); time.Since(begin) < bound; {
		if message, err := s.RecvMessageBytes(zmq4.DONTWAIT); err == nil {
			return message
		}
		_, err := p.Wait(5*time.Millisecond, never)
		must(t, err)
	}
	t.Fatalf("no message came in %v", bound)
	return nil
}

// takeAll copies a batch's messages.
func takeAll(b *Batch) [][][]byte {
	var got [][][]byte
	for frames := b.Next(); frames != nil; frames = b.Next() {
		message := make([][]byte, len(frames))
		for i, frame := range frames {
			message[i] = bytes.Clone(frame)
		}
		got = append(got, message)
	}
	return got
}

// sendAll sends a batch to peers that all have room.
func sendAll(t testing.TB, s *Socket, b *Batch) {
	t.Helper()
	if n, err := s.Send(b); n != b.Len() || err != nil {
		t.Fatalf("sent %d of %d messages: %v", n, b.Len(), err)
	}
}

// Messages of all shapes a batch can hold; every one is different.
func shapes() [][][]byte {
	return [][][]byte{
		frames("one frame"),
		frames("Mrecord", "content"),
		frames("Mrecord", ""),
		frames("", ""),
		frames("four", "", "", "frames"),
		frames("B", "address", "", "5000"),
		frames("large", strings.Repeat("x", batchBytes)),
		frames(strings.Repeat("y", 3<<20), "larger"),
		frames(""),
	}
}

func TestBatchTravels(t *testing.T) {
	for _, test := range []struct {
		pub, sub Type
		subBinds bool // as a tower does
	}{
		{PUB, SUB, false}, {XPUB, SUB, false}, {XPUB, XSUB, false}, {XPUB, SUB, true}, {XPUB, XSUB, true},
	} {
		t.Run(fmt.Sprintf("%d to %d, subscriber binds: %v", test.pub, test.sub, test.subBinds), func(t *testing.T) {
			pub, sub := open(t, newContext(t), test.pub, Options{}), open(t, newContext(t), test.sub, Options{})
			if test.subBinds {
				must(t, pub.Connect(bind(t, sub)))
			} else {
				must(t, sub.Connect(bind(t, pub)))
			}
			batch := NewBatch()
			switch {
			case test.pub == PUB:
				meet(t, pub, sub)
				must(t, sub.Subscribe(""))
				meet(t, pub, sub)
			case test.sub == XSUB:
				batch.Add(zmqwire.Subscription{}.Append(nil))
				sendAll(t, sub, batch)
				await(t, pub, 1, sub)
			default:
				must(t, sub.Subscribe(""))
				await(t, pub, 1, sub)
			}
			batch.Reset()
			for _, message := range shapes() {
				batch.Add(message...)
			}
			sendAll(t, pub, batch)
			if diff := cmp.Diff(shapes(), await(t, sub, len(shapes())), sameBytes); diff != "" {
				t.Errorf("messages (-sent +received):\n%.2000s", diff)
			}
		})
	}
}

// meet returns when what pub sends arrives at sub: a PUB does not tell of its subscribers. Probes that come late are
// dropped within sub, because it is not subscribed to them any more.
func meet(t testing.TB, pub, sub *Socket) {
	t.Helper()
	probe := NewBatch()
	probe.Add([]byte(zmqwire.NewAddress()))
	prefix := string(probe.bytes)
	must(t, sub.Subscribe(prefix))
	p, err := NewPoller(sub)
	must(t, err)
	defer p.Close()
	received := NewBatch()
	for begin := time.Now(); ; {
		if time.Since(begin) > bound {
			t.Fatalf("subscriber not reached in %v", bound)
		}
		sendAll(t, pub, probe)
		_, err := p.Wait(10*time.Millisecond, never)
		must(t, err)
		must(t, sub.Drain(received))
		for _, message := range takeAll(received) {
			if string(message[0]) == prefix {
				must(t, sub.Unsubscribe(prefix))
				return
			}
		}
	}
}

func TestVectorsTravelToAndFromAnotherBinding(t *testing.T) {
	var messages []zmqwire.Message
	var want [][][]byte
	batch := NewBatch()
	for _, vector := range wiretest.VectorsOfC(t) {
		var m zmqwire.Message
		must(t, m.Decode(vector))
		messages, want = append(messages, m), append(want, vector)
		must(t, batch.AddMessage(&m))
	}

	t.Run("to", func(t *testing.T) {
		pub, sub := open(t, newContext(t), XPUB, Options{}), foreign(t, zmq4.SUB)
		must(t, sub.SetSubscribe(""))
		must(t, sub.Connect(bind(t, pub)))
		if diff := cmp.Diff([][][]byte{frames("\x01")}, await(t, pub, 1)); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}
		sendAll(t, pub, batch)
		var got [][][]byte
		for range want {
			got = append(got, awaitForeign(t, sub, pub))
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
	t.Run("from", func(t *testing.T) {
		pub, sub := foreign(t, zmq4.XPUB), open(t, newContext(t), SUB, Options{})
		must(t, sub.Subscribe(""))
		must(t, sub.Connect(foreignEndpoint(t, pub)))
		if diff := cmp.Diff(frames("\x01"), awaitForeign(t, pub, sub)); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}
		for _, message := range want {
			if _, err := pub.SendMessage(message); err != nil {
				t.Fatal(err)
			}
		}
		received := await(t, sub, len(want))
		if diff := cmp.Diff(want, received, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		var got []zmqwire.Message
		for _, message := range received {
			var m zmqwire.Message
			must(t, m.Decode(message))
			got = append(got, m)
		}
		if diff := cmp.Diff(messages, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	})
}

func TestSubscriptionsAreSeen(t *testing.T) {
	pub, one, other := open(t, newContext(t), XPUB, Options{}), open(t, newContext(t), SUB, Options{}), foreign(t, zmq4.SUB)
	endpoint := bind(t, pub)
	must(t, one.Subscribe("M\x00topic"))
	must(t, one.Connect(endpoint))
	got := await(t, pub, 1)
	// The same prefix from another subscriber: a store must greet that one too.
	must(t, other.SetSubscribe("M\x00topic"))
	must(t, other.Connect(endpoint))
	got = append(got, await(t, pub, 1)...)
	must(t, one.Subscribe("Htopic"))
	got = append(got, await(t, pub, 1)...)
	must(t, one.Unsubscribe("Htopic"))
	got = append(got, await(t, pub, 1)...)
	// A subscriber of a prefix is missed however it goes, and whoever else there is.
	must(t, other.SetUnsubscribe("M\x00topic"))
	must(t, one.Disconnect(endpoint))
	got = append(got, await(t, pub, 2, one)...)
	want := [][][]byte{
		frames("\x01M\x00topic"), frames("\x01M\x00topic"), frames("\x01Htopic"), frames("\x00Htopic"),
		frames("\x00M\x00topic"), frames("\x00M\x00topic"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
}

// records makes contents of very different sizes, all of them different; some are empty, and one is larger than a
// batch.
func records() []string {
	var contents []string
	for i := range 300 {
		switch {
		case i == 123:
			contents = append(contents, strings.Repeat("large ", 3<<20/6))
		case i%7 == 0:
			contents = append(contents, "")
		default:
			contents = append(contents, fmt.Sprintf("record %d %s", i, strings.Repeat("x", i*i)))
		}
	}
	return contents
}

func TestSendRun(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	contents := records()
	run := runOf(1<<40, contents...)
	header := zmqwire.AppendRunHeader(nil, zmqwire.Record, "topic", "address", "topic")
	// In pieces: a cursor begins and ends anywhere in a run.
	for _, piece := range [][2]int{{0, 100}, {100, 101}, {101, 101}, {101, 300}} {
		if n, err := pub.SendRun(header, run, piece[0], piece[1], nil, false); n != piece[1]-piece[0] || err != nil {
			t.Fatalf("%d of records %v sent: %v", n, piece, err)
		}
	}
	var want []zmqwire.Message
	for i, content := range contents {
		want = append(want, zmqwire.Message{
			Kind: zmqwire.Record, Routing: []byte("topic"), Address: []byte("address"), Subject: []byte("topic"),
			Sequence: 1<<40 + uint64(i), Content: []byte(content),
		})
	}
	var got []zmqwire.Message
	for _, message := range await(t, sub, len(want)) {
		var m zmqwire.Message
		must(t, m.Decode(message))
		got = append(got, m)
	}
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("records (-sent +received):\n%.2000s", diff)
	}
}

func TestBatchGrowsForOneMessageAndShrinksAgain(t *testing.T) {
	pub, sub := pair(t, Options{}, Options{})
	sent, received := NewBatch(), NewBatch()
	var got [][][]byte
	for _, message := range [][][]byte{frames("small"), frames("M", strings.Repeat("x", 3<<20)), frames("behind it")} {
		sent.Reset()
		sent.Add(message...)
		sendAll(t, pub, sent)
	}
	p, err := NewPoller(sub)
	must(t, err)
	defer p.Close()
	var most int
	for begin := time.Now(); len(got) < 3 && time.Since(begin) < bound; {
		_, err := p.Wait(time.Second, never)
		must(t, err)
		must(t, sub.Drain(received))
		most = max(most, cap(received.bytes))
		got = append(got, takeAll(received)...)
	}
	want := [][][]byte{frames("small"), frames("M", strings.Repeat("x", 3<<20)), frames("behind it")}
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
	must(t, sub.Drain(received))
	if most < 3<<20 || cap(received.bytes) != batchBytes {
		t.Errorf("the batch grew to %d bytes and shrank to %d, want 3 MiB or more, and then %d", most, cap(received.bytes), batchBytes)
	}
}

func TestMessageWithTooManyFramesIsTakenForNoOther(t *testing.T) {
	pub, sub := foreign(t, zmq4.XPUB), open(t, newContext(t), SUB, Options{})
	must(t, sub.Subscribe(""))
	must(t, sub.Connect(foreignEndpoint(t, pub)))
	awaitForeign(t, pub, sub)
	large := strings.Repeat("x", batchBytes)
	for _, message := range [][][]byte{
		frames("1", "2", "3", "4", "5"),
		frames("next"),
		frames("1", "2", "3", "4", "5", "6"),
		frames(large, "2", "3", "4", large),
		frames("B", "A", "", "5000"),
		frames(strings.Split(strings.Repeat("x", 1000), "")...),
		frames("last", ""),
	} {
		if _, err := pub.SendMessage(message); err != nil {
			t.Fatal(err)
		}
	}
	want := [][][]byte{
		append(frames("1", "2", "3", "4"), nil),
		frames("next"),
		append(frames("1", "2", "3", "4"), nil),
		append(frames(large, "2", "3", "4"), nil),
		frames("B", "A", "", "5000"),
		append(frames("x", "x", "x", "x"), nil),
		frames("last", ""),
	}
	got := await(t, sub, len(want))
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
	for i, message := range got {
		var m zmqwire.Message
		if err := m.Decode(message); err == nil {
			t.Errorf("message %d decodes", i)
		}
		if _, err := zmqwire.ParseBeacon(message); (err == nil) != (i == 4) {
			t.Errorf("message %d as a beacon: %v", i, err)
		}
	}
}

func TestMaxFrameEndsTheSenderOfALargerOne(t *testing.T) {
	const most = 1000
	sub := open(t, newContext(t), SUB, Options{MaxFrame: most})
	must(t, sub.Subscribe(""))
	good, bad := foreign(t, zmq4.XPUB), foreign(t, zmq4.XPUB)
	for _, pub := range []*zmq4.Socket{good, bad} {
		must(t, sub.Connect(foreignEndpoint(t, pub)))
		awaitForeign(t, pub, sub)
	}
	exact := bytes.Repeat([]byte("x"), most)
	_, err := bad.SendMessage("bad", exact)
	must(t, err)
	want := [][][]byte{{[]byte("bad"), exact}}
	if diff := cmp.Diff(want, await(t, sub, 1)); diff != "" {
		t.Errorf("frame of the greatest size (-want +got):\n%s", diff)
	}
	_, err = bad.SendMessage("bad", append(exact, 'x'))
	must(t, err)
	// It sees the end of its connection as the end of the subscription.
	if diff := cmp.Diff(frames("\x00"), awaitForeign(t, bad, sub)); diff != "" {
		t.Errorf("subscription (-want +got):\n%s", diff)
	}
	for i := range 3 {
		_, err = good.SendMessage("good", fmt.Sprint(i))
		must(t, err)
	}
	want = [][][]byte{frames("good", "0"), frames("good", "1"), frames("good", "2")}
	if diff := cmp.Diff(want, await(t, sub, 3)); diff != "" {
		t.Errorf("after the frame that was too large (-want +got):\n%s", diff)
	}
}

func TestOpenRefusesImpossibleOptions(t *testing.T) {
	c := newContext(t)
	for _, o := range []Options{
		{MaxFrame: -1}, {MaxFrame: 1 << 32}, {SendLimit: -1}, {ReceiveLimit: -1},
	} {
		if s, err := c.Open(SUB, o); err == nil {
			t.Errorf("%+v: no error", o)
			s.Close()
		}
	}
}

// A peer that does not read fills its queue. Sends are then refused, in order, and nothing that was accepted is lost.
func TestFullQueueRefuses(t *testing.T) {
	const n, patience = 4000, 50 * time.Millisecond
	pub, sub := pair(t, Options{SendLimit: 100, Patience: patience}, Options{ReceiveLimit: 100})
	header := zmqwire.AppendRunHeader(nil, zmqwire.DirectRecord, "requester", "address", "topic")
	padding := strings.Repeat("x", 10_000)
	run := &zmqwire.Run{}
	var want, got [][][]byte
	for i := range n {
		content := fmt.Sprintf("%d %s", i, padding)
		run.Append([]byte(content))
		m := zmqwire.Message{
			Kind: zmqwire.DirectRecord, Routing: []byte("requester"), Address: []byte("address"), Subject: []byte("topic"),
			Sequence: uint64(i), Content: []byte(content),
		}
		want = append(want, encode(t, &m))
	}
	sent := 0
	send := func(wait bool) (n int, took time.Duration) {
		t.Helper()
		begin := time.Now()
		n, err := pub.SendRun(header, run, sent, run.Len(), nil, wait)
		must(t, err)
		sent += n
		return n, time.Since(begin)
	}
	// Until TCP's buffers are full too, libzmq still makes room.
	for begin := time.Now(); ; {
		if n, took := send(true); n == 0 {
			if took < patience {
				t.Errorf("waited %v for room, want %v", took, patience)
			}
			break
		}
		if time.Since(begin) > bound || sent == run.Len() {
			t.Fatalf("%d of %d records accepted for a peer that does not read", sent, run.Len())
		}
	}
	if n, took := send(false); n != 0 || took > bound {
		t.Errorf("%d records sent into a full queue, in %v", n, took)
	}
	batch := NewBatch()
	batch.Add([]byte("refused"))
	if n, err := pub.Send(batch); n != 0 || err != nil {
		t.Errorf("%d messages sent into a full queue, %v", n, err)
	}

	received := NewBatch()
	for begin := time.Now(); len(got) < n && time.Since(begin) < bound; {
		must(t, sub.Drain(received))
		got = append(got, takeAll(received)...)
		send(false)
	}
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("records (-sent +received):\n%.2000s", diff)
	}
}

// Patience is for calls that are told to wait.
func TestSendDoesNotWait(t *testing.T) {
	pub, _ := pair(t, Options{SendLimit: 10, Patience: 2 * bound}, Options{ReceiveLimit: 10})
	run := runOf(0, slices.Repeat([]string{strings.Repeat("x", 1<<20)}, 100)...)
	batch := NewBatch()
	batch.Add([]byte("message"))
	begin := time.Now()
	for refused := 0; refused < 1000; {
		n, err := pub.SendRun([]byte("header"), run, 0, run.Len(), nil, false)
		must(t, err)
		more, err := pub.Send(batch)
		must(t, err)
		refused++
		if n+more > 0 {
			refused = 0
		}
		if time.Since(begin) > bound {
			t.Fatalf("sends that are not to wait took %v", time.Since(begin))
		}
	}
}

// What is dropped for a peer that does not read goes on to the others, and that peer is served again once it reads.
func TestRefusalCanBeTurnedOff(t *testing.T) {
	pub, deaf := pair(t, Options{SendLimit: 100, Patience: time.Millisecond}, Options{ReceiveLimit: 100})
	header := zmqwire.AppendRunHeader(nil, zmqwire.Record, "topic", "address", "topic")
	run := runOf(0, slices.Repeat([]string{strings.Repeat("x", 100_000)}, 1000)...)
	for begin := time.Now(); ; {
		n, err := pub.SendRun(header, run, 0, run.Len(), nil, true)
		must(t, err)
		if n == 0 {
			break
		}
		if time.Since(begin) > bound {
			t.Fatal("a peer that does not read takes everything")
		}
	}
	must(t, pub.Refuse(false))
	if n, err := pub.SendRun(header, run, 0, run.Len(), nil, true); n != run.Len() || err != nil {
		t.Errorf("%d of %d records sent although what finds no room is dropped: %v", n, run.Len(), err)
	}
	must(t, pub.Refuse(true))
	last := zmqwire.NewAddress()
	batch, received := NewBatch(), NewBatch()
	batch.Add([]byte(last))
	for begin := time.Now(); time.Since(begin) < bound; {
		if _, err := pub.Send(batch); err != nil {
			t.Fatal(err)
		}
		must(t, deaf.Drain(received))
		for frames := received.Next(); frames != nil; frames = received.Next() {
			if string(frames[0]) == last {
				return
			}
		}
	}
	t.Errorf("the peer reads, and got nothing new in %v", bound)
}

// calls is every call a socket has.
var calls = map[string]func(*Socket) error{
	"Bind":        func(s *Socket) error { _, err := s.Bind("tcp://127.0.0.1:*"); return err },
	"Connect":     func(s *Socket) error { return s.Connect("tcp://127.0.0.1:1") },
	"Disconnect":  func(s *Socket) error { return s.Disconnect("tcp://127.0.0.1:1") },
	"Subscribe":   func(s *Socket) error { return s.Subscribe("M") },
	"Unsubscribe": func(s *Socket) error { return s.Unsubscribe("M") },
	"Refuse":      func(s *Socket) error { return s.Refuse(true) },
	"Drain":       func(s *Socket) error { return s.Drain(NewBatch()) },
	"Send": func(s *Socket) error {
		batch := NewBatch()
		batch.Add([]byte("message"))
		_, err := s.Send(batch)
		return err
	},
	"SendRun": func(s *Socket) error {
		_, err := s.SendRun([]byte("header"), runOf(0, "content"), 0, 1, nil, true)
		return err
	},
}

func TestClosedSocket(t *testing.T) {
	for name, call := range calls {
		s := open(t, newContext(t), PUB, Options{})
		must(t, s.Close())
		if err := call(s); !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed socket: %v, want %v", name, err, ErrClosed)
		}
	}
	c := newContext(t)
	s := open(t, c, SUB, Options{})
	must(t, s.Close())
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if p, err := NewPoller(s); !errors.Is(err, ErrClosed) {
		t.Errorf("NewPoller of a closed socket: %v, %v, want %v", p, err, ErrClosed)
	}
	if !c.Close(bound) || !c.Close(0) {
		t.Error("closed twice, the context has not ended")
	}
	if _, err := c.Open(SUB, Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Open in a closed context: %v, want %v", err, ErrClosed)
	}
}

func TestOverlappingUsePanics(t *testing.T) {
	s := open(t, newContext(t), PUB, Options{})
	must(t, s.enter()) // as a call does that another goroutine is in
	calls := maps.Clone(calls)
	calls["Close"] = (*Socket).Close
	for name, call := range calls {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s in the middle of another call does not panic", name)
				}
			}()
			call(s)
		}()
	}
	s.leave()
	if err := s.Refuse(false); err != nil {
		t.Errorf("after the other call: %v", err)
	}
}

func TestBindRefuses(t *testing.T) {
	c := newContext(t)
	taken := bind(t, open(t, c, PUB, Options{}))
	s := open(t, c, PUB, Options{})
	for _, test := range []struct{ endpoint, says string }{
		{taken, "address already in use"},
		{"tcp://127.0.0.1:http", ""},
		{"tcp://127.0.0.1", ""},
		{"tcp://203.0.113.1:*", ""}, // an address for examples, which no machine has
		{"nonsense", ""},
		{"", ""},
	} {
		_, err := s.Bind(test.endpoint)
		if err == nil || !strings.Contains(err.Error(), test.endpoint) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("bind %q: error %v, want one that names it and says %q", test.endpoint, err, test.says)
		}
	}
	// And none of it harms the socket.
	bind(t, s)
	if err := s.Connect("nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("connect: error %v", err)
	}
	if err := s.Disconnect("tcp://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "tcp://127.0.0.1:1") {
		t.Errorf("disconnect without connect: error %v", err)
	}
}

func TestIPv6(t *testing.T) {
	pub, sub := open(t, newContext(t), XPUB, Options{}), open(t, newContext(t), SUB, Options{})
	v6, err := pub.Bind("tcp://[::1]:*")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	v4 := bind(t, pub)
	for _, endpoint := range []string{v6, v4} {
		must(t, sub.Subscribe(endpoint))
		must(t, sub.Connect(endpoint))
		await(t, pub, 1)
	}
	if !strings.HasPrefix(v6, "tcp://[::1]:") || !strings.HasPrefix(v4, "tcp://127.0.0.1:") {
		t.Errorf("bound to %s and %s", v6, v4)
	}
}

// Close gives up waiting for a peer that does not read. What is queued is gone when the peer is.
func TestLingerIsBounded(t *testing.T) {
	for _, linger := range []time.Duration{0, 300 * time.Millisecond} {
		t.Run(linger.String(), func(t *testing.T) {
			c, err := NewContext()
			must(t, err)
			pub := open(t, c, XPUB, Options{SendLimit: 1000})
			dead := foreign(t, zmq4.SUB)
			must(t, dead.SetRcvhwm(1))
			must(t, dead.SetSubscribe(""))
			must(t, dead.Connect(bind(t, pub)))
			await(t, pub, 1)
			run, load := runOf(0, slices.Repeat([]string{strings.Repeat("x", 1<<20)}, 64)...), NewLoad(1<<30, nil)
			n, err := pub.SendRun([]byte("header"), run, 0, run.Len(), load, false)
			if n != run.Len() || err != nil {
				t.Fatalf("%d records queued: %v", n, err)
			}
			begin := time.Now()
			must(t, pub.Close())
			if c.Close(linger) {
				t.Error("the context ended with more queued than any buffer holds")
			}
			if took := time.Since(begin); took < linger || took > linger+10*time.Second {
				t.Errorf("lingered for %v, want %v", took, linger)
			}
			must(t, dead.Close())
			for begin := time.Now(); load.Bytes() > 0; time.Sleep(time.Millisecond) {
				// At once, unless it left while Close began.
				if time.Since(begin) > Lingering+bound {
					t.Fatalf("%d bytes still queued for a peer that is gone", load.Bytes())
				}
			}
		})
	}
}

// libzmq must not be made to give up a message, half sent, on a connection that ends in the same moment: it aborts. One
// thread that serves both ends is the best chance of meeting that moment.
func TestBothEndsCloseAtOnce(t *testing.T) {
	for range 50 {
		c := newContext(t)
		pub, sub := open(t, c, XPUB, Options{SendLimit: 1 << 16}), open(t, c, SUB, Options{})
		must(t, sub.Subscribe(""))
		must(t, sub.Connect(bind(t, pub)))
		await(t, pub, 1)
		run := runOf(0, slices.Repeat([]string{"content"}, 5000)...)
		n, err := pub.SendRun([]byte("header"), run, 0, run.Len(), nil, false)
		if n != run.Len() || err != nil {
			t.Fatalf("%d records queued: %v", n, err)
		}
		await(t, sub, 1)
		must(t, sub.Close())
		must(t, pub.Close())
	}
}

func TestLingerSendsWhatIsQueued(t *testing.T) {
	pub, sub := open(t, newContext(t), XPUB, Options{}), open(t, newContext(t), SUB, Options{ReceiveLimit: 10})
	must(t, sub.Subscribe(""))
	must(t, sub.Connect(bind(t, pub)))
	await(t, pub, 1)
	batch := NewBatch()
	var want [][][]byte
	for i := range 500 {
		message := frames(fmt.Sprint(i), strings.Repeat("x", 10_000))
		want = append(want, message)
		batch.Add(message...)
	}
	sendAll(t, pub, batch)
	must(t, pub.Close())
	if diff := cmp.Diff(want, await(t, sub, len(want)), sameBytes); diff != "" {
		t.Errorf("messages (-sent +received):\n%.2000s", diff)
	}
}

func TestLibraryVersion(t *testing.T) {
	if version := LibraryVersion(); !strings.HasPrefix(version, "4.") || strings.Count(version, ".") != 2 {
		t.Errorf("version %q of libzmq", version)
	}
}

// Of a topic that is as long as one may be, messages come, and the connection lasts.
func TestLongSubscriptions(t *testing.T) {
	pub := open(t, newContext(t), XPUB, Options{})
	endpoint := bind(t, pub)
	sub := open(t, newContext(t), SUB, Options{})
	must(t, sub.Connect(endpoint))
	for n := 240; n <= 260; n++ {
		prefix := strings.Repeat("p", n-1) + "q"
		must(t, sub.Subscribe(prefix))
		got := await(t, pub, 1)
		batch := NewBatch()
		batch.Add([]byte(prefix + " and more"))
		_, err := pub.Send(batch)
		must(t, err)
		if diff := cmp.Diff([][][]byte{frames(prefix + " and more")}, await(t, sub, 1)); diff != "" {
			t.Errorf("message to a prefix of %d bytes (-want +got):\n%s", n, diff)
		}
		must(t, sub.Unsubscribe(prefix))
		got = append(got, await(t, pub, 1)...)
		if n >= 246 && n <= 255 {
			prefix = prefix[:245]
		}
		if diff := cmp.Diff([][][]byte{frames("\x01" + prefix), frames("\x00" + prefix)}, got); diff != "" {
			t.Errorf("subscription to %d bytes (-want +got):\n%s", n, diff)
		}
	}
}

// A peer may send its subscriptions within messages, which libzmq tears apart: a frame is said to follow that does not, when
// it ends a subscription that another peer has, too. Nobody waits for that frame.
func TestSubscriptionsWithinMessages(t *testing.T) {
	pub := open(t, newContext(t), XPUB, Options{})
	endpoint := bind(t, pub)
	var peers []*zmq4.Socket
	for range 2 {
		peer := foreign(t, zmq4.XSUB)
		must(t, peer.Connect(endpoint))
		_, err := peer.SendMessage("\x01T")
		must(t, err)
		peers = append(peers, peer)
	}
	await(t, pub, 2)
	got := make(chan [][][]byte, 1)
	go func() { got <- await(t, pub, 2) }()
	_, err := peers[0].SendMessage("x", "\x00T")
	must(t, err)
	_, err = peers[0].SendMessage("end")
	must(t, err)
	select {
	case messages := <-got:
		want := [][][]byte{{[]byte("x"), []byte("\x00T")}, {[]byte("end")}}
		if diff := cmp.Diff(want, messages); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	case <-time.After(bound):
		t.Fatal("the socket waits for a frame that never comes")
	}
	must(t, peers[1].SetRcvtimeo(bound))
	batch := NewBatch()
	batch.Add([]byte("T and more"))
	_, err = pub.Send(batch)
	must(t, err)
	if message, err := peers[1].RecvMessageBytes(0); err != nil || string(message[0]) != "T and more" {
		t.Errorf("the other subscriber got %q, error %v", message, err)
	}
}
