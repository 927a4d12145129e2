package consumer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/flow"
	"github.com/godafka/dafka/zmqwire/zsock"
)

func open(t testing.TB, config Config) *Consumer {
	t.Helper()
	c, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// nowhere is the configuration of a node whose tower does not exist.
func nowhere() tower.NodeConfig {
	const nowhere = "tcp://127.0.0.1:1"
	return tower.NodeConfig{Pub: []string{nowhere}, Sub: []string{nowhere}, Bind: "tcp://127.0.0.1:*"}
}

// visit joins a peer that hears the consumer and that the consumer hears.
func visit(t testing.TB, tw *tower.Tower, c *Consumer, address string, respond func(*peer, *zmqwire.Message)) *peer {
	t.Helper()
	p := join(t, tw, address, respond, "", "W"+address)
	eventually(t, "the consumer listens", func() bool {
		for _, topic := range c.Subscriptions() {
			if !p.Subscribed("M"+topic) || !p.Subscribed("H"+topic) {
				return false
			}
		}
		return p.Subscribed("D"+c.Address()) && p.Subscribed("E"+c.Address()) && p.Subscribed("L"+c.Address())
	})
	eventually(t, "a CONSUMER-HELLO", func() bool { return len(p.Heard(zmqwire.ConsumerHello)) > 0 })
	return p
}

// of is a message about partition "P" of topic "hello", unless a test changes it.
func of(kind zmqwire.Kind, c *Consumer, sequence uint64, content string) zmqwire.Message {
	m := zmqwire.Message{
		Kind: kind, Routing: []byte("hello"), Address: []byte("P"), Subject: []byte("hello"), Sequence: sequence,
	}
	if kind.HasContent() {
		m.Content = []byte(content)
	}
	if kind == zmqwire.DirectRecord || kind == zmqwire.DirectHead {
		m.Routing = []byte(c.Address())
	}
	return m
}

func content(sequence uint64) string { return fmt.Sprintf("content %d", sequence) }

// line is a record as tests compare it: topic, partition, sequence and content.
func line(r Record) string {
	return fmt.Sprintf("%s %s %d %s", r.Topic, r.Partition, r.Sequence, r.Content)
}

func lines(first, end uint64) (lines []string) {
	for sequence := first; sequence < end; sequence++ {
		lines = append(lines, fmt.Sprintf("hello P %d %s", sequence, content(sequence)))
	}
	return lines
}

// read gives the next n records.
func read(t testing.TB, c *Consumer, n int) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	for len(lines) < n {
		r, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("%v after %d records of %d", err, len(lines), n)
		}
		lines = append(lines, line(r))
	}
	return lines
}

type fetch struct {
	Topic, Partition, Requester string
	First                       uint64
	Count                       uint32
}

// fetches gives what was asked for, without repetitions: an answer that is late is asked for again.
func (p *peer) fetches() (fetches []fetch) {
	for _, m := range p.Heard(zmqwire.Fetch) {
		f := fetch{string(m.Subject), string(m.Routing), string(m.Address), m.Sequence, m.Count}
		if !slices.Contains(fetches, f) {
			fetches = append(fetches, f)
		}
	}
	return fetches
}

// answerer gives what it is asked for, as a store does.
func answerer(p *peer, m *zmqwire.Message) {
	if m.Kind != zmqwire.Fetch {
		return
	}
	for sequence := m.Sequence; sequence < m.Sequence+uint64(m.Count); sequence++ {
		p.Say(zmqwire.Message{
			Kind: zmqwire.DirectRecord, Routing: m.Address, Address: m.Routing, Subject: m.Subject,
			Sequence: sequence, Content: []byte(content(sequence)),
		})
	}
}

// Each test says something and gives exactly what is then missing.
func TestGaps(t *testing.T) {
	t.Parallel()
	type say struct {
		kind     zmqwire.Kind
		sequence uint64
	}
	const record, direct, head, directHead = zmqwire.Record, zmqwire.DirectRecord, zmqwire.Head, zmqwire.DirectHead
	for _, test := range []struct {
		what  string
		reset Reset
		say   []say
		fetch []string // first and count
		want  []string
	}{
		{"in order", Earliest, []say{{record, 0}, {record, 1}, {record, 2}}, nil, lines(0, 3)},
		{"again", Earliest, []say{{record, 0}, {record, 0}, {record, 1}, {record, 0}, {direct, 1}, {record, 2}}, nil, lines(0, 3)},
		{"HEADs of what is there", Earliest, []say{{record, 0}, {head, 0}, {directHead, 0}, {record, 1}}, nil, lines(0, 2)},
		{"record ahead at first", Earliest, []say{{record, 5}}, []string{"0 5"}, lines(0, 6)},
		{"record ahead later", Earliest, []say{{record, 0}, {record, 2}}, []string{"1 1"}, lines(0, 3)},
		{"many ahead", Earliest, []say{{record, 3}, {record, 4}, {record, 5}, {head, 5}}, []string{"0 3"}, lines(0, 6)},
		{"HEAD at first", Earliest, []say{{head, 9}}, []string{"0 10"}, lines(0, 10)},
		{"HEAD later", Earliest, []say{{record, 0}, {head, 9}}, []string{"1 9"}, lines(0, 10)},
		{"DIRECT-HEAD", Earliest, []say{{directHead, 9}}, []string{"0 10"}, lines(0, 10)},
		{"DIRECT-HEAD of one record", Earliest, []say{{directHead, 0}}, []string{"0 1"}, lines(0, 1)},

		{"latest begins with a record", Latest, []say{{record, 5}, {record, 6}}, nil, lines(5, 7)},
		{"latest with a gap", Latest, []say{{record, 5}, {record, 8}}, []string{"6 2"}, lines(5, 9)},
		{"latest begins behind a HEAD", Latest, []say{{head, 4}, {head, 4}, {record, 5}}, nil, lines(5, 6)},
		{"latest misses what follows a HEAD", Latest, []say{{head, 4}, {head, 6}}, []string{"5 2"}, lines(5, 7)},
		{"latest does not mind what stores have", Latest, []say{{directHead, 4}, {record, 9}}, nil, lines(9, 10)},
		{"a HEAD that lies", Latest, []say{{head, 1 << 63}, {record, 0}, {record, 1}}, nil, lines(0, 2)},
		{"a HEAD that lies more", Latest, []say{{head, 1<<64 - 2}, {record, 5}, {record, 6}}, nil, lines(5, 7)},
		{"the highest HEAD there can be", Latest, []say{{head, 1<<64 - 1}, {record, 5}, {record, 6}}, nil, lines(5, 7)},
		{"the highest record there can be", Latest, []say{{record, 1<<64 - 1}, {record, 5}, {record, 6}}, nil, lines(5, 7)},
		{"latest record begins with a HEAD's", LatestRecord, []say{{head, 4}, {head, 4}, {record, 5}}, []string{"4 1"}, lines(4, 6)},
		{"latest record begins with a record", LatestRecord, []say{{record, 5}, {head, 5}, {record, 6}}, nil, lines(5, 7)},
		{"latest record and a HEAD that lies", LatestRecord, []say{{head, 1 << 63}, {record, 5}, {record, 6}}, nil, lines(5, 7)},
		{"HEADs that lie", Latest, []say{{head, 1 << 62}, {head, 1 << 63}, {record, 7}}, nil, lines(7, 8)},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			c := open(t, Config{Topics: []string{"hello"}, Reset: test.reset, Node: at(tw)})
			// The partition is not the peer's own: of a producer that comes later, latest misses nothing.
			p := visit(t, tw, c, "PEER", nil)
			for _, say := range test.say {
				p.Say(of(say.kind, c, say.sequence, content(say.sequence)))
			}
			var want []fetch
			for _, f := range test.fetch {
				w := fetch{Topic: "hello", Partition: "P", Requester: c.Address()}
				fmt.Sscan(f, &w.First, &w.Count)
				want = append(want, w)
				eventually(t, "a FETCH", func() bool { return len(p.fetches()) > 0 })
				for i := range uint64(w.Count) {
					p.Say(of(direct, c, w.First+i, content(w.First+i)))
				}
			}
			if diff := cmp.Diff(test.want, read(t, c, len(test.want))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			// A last record tells whether anything more came before it.
			last := uint64(0)
			if n := len(test.want); n > 0 {
				fmt.Sscanf(test.want[n-1], "hello P %d", &last)
				last++
			}
			p.Say(of(record, c, last, content(last)))
			if diff := cmp.Diff(lines(last, last+1), read(t, c, 1)); diff != "" {
				t.Errorf("the record behind (-want +got):\n%s", diff)
			}
			// Until a record disproves them, two lies make one ask for what lies between, if they do not come together.
			got := slices.DeleteFunc(p.fetches(), func(f fetch) bool { return f.First > 1<<62 })
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("FETCH (-want +got):\n%s", diff)
			}
		})
	}
}

// A producer can be heard before it hears. What it then was not asked for, it is asked for as soon as it listens.
func TestAsksNewcomersAgain(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "PEER", nil)
	// Nobody answers for so long that it takes 4 s until the consumer asks again by itself.
	p.Say(of(zmqwire.Head, c, 2, ""))
	eventually(t, "some FETCHes", func() bool { return len(p.Heard(zmqwire.Fetch)) == 5 })
	asked := time.Now()
	join(t, tw, "P", answerer, "FP")
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("asked again after %v: that was the time, and not the producer", took)
	}
}

// Of a producer that comes after the subscription, a latest consumer gives everything.
func TestLatestMissesNothingOfANewcomer(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Node: at(tw)})
	p := visit(t, tw, c, "P", answerer)
	// Who was there before the consumer has announced itself by now.
	begin := time.Now()
	eventually(t, "some intervals passed", func() bool { return time.Since(begin) > 3*at(tw).Interval })
	newcomer := visit(t, tw, c, "NEW", answerer)
	say := func(p *peer, sequence uint64) {
		m := of(zmqwire.Record, c, sequence, content(sequence))
		m.Address = []byte(p.Address())
		p.Say(m)
	}
	say(newcomer, 3)
	want := []string{"hello NEW 0 content 0", "hello NEW 1 content 1", "hello NEW 2 content 2", "hello NEW 3 content 3"}
	if diff := cmp.Diff(want, read(t, c, 4)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	m := of(zmqwire.Record, c, 5, content(5))
	m.Address = []byte("OLD")
	p.Say(m)
	if diff := cmp.Diff([]string{"hello OLD 5 content 5"}, read(t, c, 1)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A long gap is asked for block after block, each beginning where the one before ends, up to what is known and kept.
func TestLongGap(t *testing.T) {
	t.Parallel()
	const gap, kept = 20_000, 100
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	asked := uint64(0)
	p := visit(t, tw, c, "P", func(p *peer, m *zmqwire.Message) {
		if m.Kind != zmqwire.Fetch {
			return
		}
		end := m.Sequence + uint64(m.Count)
		if m.Sequence > asked || m.Count == 0 || end > gap {
			t.Errorf("FETCH %d, %d with %d asked for before, of %d", m.Sequence, m.Count, asked, gap)
		}
		asked = max(asked, end)
		answerer(p, m)
	})
	for sequence := uint64(gap); sequence < gap+kept; sequence++ {
		p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
	}
	if diff := cmp.Diff(lines(0, gap+kept), read(t, c, gap+kept)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestUnaskedRecordsAreDropped(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", nil)
	p.Say(of(zmqwire.DirectRecord, c, 0, "of an unknown partition"))
	p.Say(of(zmqwire.Record, c, 0, content(0)))
	p.Say(of(zmqwire.DirectRecord, c, 1, "forged"))
	p.Say(of(zmqwire.DirectRecord, c, 5, "forged"))
	longer := of(zmqwire.DirectRecord, c, 1, "meant for another")
	longer.Routing = append(longer.Routing, '0')
	p.Say(longer)
	crossed := of(zmqwire.Record, c, 1, "routing and topic differ")
	crossed.Subject = []byte("hello2")
	p.Say(crossed)
	p.SayFrames([]byte("Mhello"))
	p.Say(of(zmqwire.Record, c, 1, content(1)))
	if diff := cmp.Diff(lines(0, 2), read(t, c, 2)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	want := map[zmqwire.Fault]uint64{ErrUnasked: 2, zmqwire.ErrForeign: 2, zmqwire.ErrUnterminated: 1}
	if diff := cmp.Diff(want, c.Stats().Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// What others say under a node's address is not heard. A name that no node has belongs to the connection that first used
// it, until that ends.
func TestAddressBelongsToOneConnection(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", nil)
	forger := visit(t, tw, c, "FORGER", nil)
	as := func(address string, kind zmqwire.Kind, sequence uint64, content string) zmqwire.Message {
		m := of(kind, c, sequence, content)
		m.Address = []byte(address)
		return m
	}
	faults := func(n uint64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d forgeries counted", n), func() bool { return c.Stats().Faults[node.ErrOwner] == n })
	}
	forger.Say(as("P", zmqwire.Record, 0, "forged"))
	forger.Say(as("P", zmqwire.Head, 1<<40, ""))
	faults(2)
	p.Say(as("P", zmqwire.Record, 0, content(0)))
	got := read(t, c, 1)
	forger.Say(as("P", zmqwire.Record, 1, "forged"))
	faults(3)
	p.Say(as("P", zmqwire.Record, 1, content(1)))
	got = append(got, read(t, c, 1)...)

	forger.Say(as("NOBODY", zmqwire.Record, 0, "first"))
	got = append(got, read(t, c, 1)...)
	p.Say(as("NOBODY", zmqwire.Record, 1, "second, of another"))
	faults(4)
	forger.End()
	said, records := time.Time{}, c.Stats().Delivered
	eventually(t, "the name is free", func() bool {
		if time.Since(said) > 50*time.Millisecond {
			said = time.Now()
			p.Say(as("NOBODY", zmqwire.Record, 1, "second"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if r, err := c.Next(ctx); err == nil {
			got = append(got, line(r))
		}
		return c.Stats().Delivered > records
	})
	want := append(lines(0, 2), "hello NOBODY 0 first", "hello NOBODY 1 second")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// What others say under a node's address does not say either where its partition begins.
func TestForgedBeginning(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	p := join(t, tw, "P", nil, "", "WP")
	forger := join(t, tw, "FORGER", nil, "", "WFORGER")
	c := open(t, Config{
		Topics: []string{"hello"}, Node: at(tw),
		Start: func(_, _ string, sequence uint64) uint64 {
			if sequence > 100 {
				t.Errorf("asked where to begin at %d", sequence)
			}
			return sequence
		},
	})
	for _, peer := range []*peer{p, forger} {
		eventually(t, "the consumer listens", func() bool { return peer.Subscribed("Hhello") && len(peer.Heard(zmqwire.ConsumerHello)) > 0 })
	}
	forger.Say(of(zmqwire.Record, c, 1e12, "forged"))
	forger.Say(of(zmqwire.Head, c, 1e12, ""))
	eventually(t, "the faults", func() bool { return c.Stats().Faults[node.ErrOwner] == 2 })
	for sequence := range uint64(3) {
		p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
	}
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestTopicsMatchExactly(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", nil)
	say := func(kind zmqwire.Kind, topic string, sequence uint64) {
		m := of(kind, c, sequence, content(sequence))
		if m.Subject = []byte(topic); kind == zmqwire.Record || kind == zmqwire.Head {
			m.Routing = m.Subject
		}
		p.Say(m)
	}
	// Subscriptions match by prefix, so all of this arrives.
	say(zmqwire.Record, "hello2", 0)
	say(zmqwire.Head, "hello2", 3)
	say(zmqwire.DirectHead, "hello2", 3)
	say(zmqwire.Record, "hello\xff", 7)
	say(zmqwire.Record, "hello", 0)
	if diff := cmp.Diff(lines(0, 1), read(t, c, 1)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := p.fetches(); len(got) > 0 {
		t.Errorf("FETCH for a topic that only begins like one subscribed to: %v", got)
	}

	if err := c.Subscribe("hello2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription", func() bool { return p.Subscribed("Mhello2") })
	say(zmqwire.Record, "hello2", 0)
	say(zmqwire.Record, "hello", 1)
	want := []string{"hello2 P 0 content 0", "hello P 1 content 1"}
	if diff := cmp.Diff(want, read(t, c, 2)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"b", "hello", "b"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", answerer)
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, c.Subscriptions()); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
	}
	check("b", "hello")
	for _, topic := range []string{"a", "b", "\xff"} {
		if err := c.Subscribe(topic); err != nil {
			t.Error(err)
		}
	}
	check("a", "b", "hello", "\xff")
	for _, topic := range []string{"", "a\x00b", strings.Repeat("x", 256)} {
		if err := c.Subscribe(topic); err == nil {
			t.Errorf("Subscribe(%.10q) is no error", topic)
		}
	}
	for _, topic := range []string{"a", "b", "b", "unknown"} {
		if err := c.Unsubscribe(topic); err != nil {
			t.Error(err)
		}
	}
	check("hello", "\xff")
	eventually(t, "the end of two subscriptions", func() bool {
		return slices.Contains(p.Subscriptions(), "-Ma") && slices.Contains(p.Subscriptions(), "-Hb")
	})

	// What is unsubscribed is forgotten: subscribed again, it begins anew.
	p.Say(of(zmqwire.Record, c, 0, content(0)))
	p.Say(of(zmqwire.Record, c, 1, content(1)))
	if diff := cmp.Diff(lines(0, 2), read(t, c, 2)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	c.Unsubscribe("hello")
	eventually(t, "the end of the subscription", func() bool { return slices.Contains(p.Subscriptions(), "-Mhello") })
	c.Subscribe("hello")
	eventually(t, "the subscription again", func() bool {
		so := p.Subscriptions()
		return slices.Contains(so[slices.Index(so, "-Mhello"):], "+Hhello")
	})
	p.Say(of(zmqwire.Record, c, 2, content(2)))
	if diff := cmp.Diff(lines(0, 3), read(t, c, 3)); diff != "" {
		t.Errorf("records after Unsubscribe and Subscribe (-want +got):\n%s", diff)
	}

	c.Close()
	if err := errors.Join(c.Subscribe("late"), c.Unsubscribe("hello")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// captured is a line of the capture of a C cluster.
type captured struct {
	Source string
	Kind   string
	Frames []string `json:"frames_hex"`
}

func readCapture(t *testing.T) (lines []captured) {
	t.Helper()
	f, err := os.Open("../zmqwire/testdata/c-dafka-cluster.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var c captured
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, c)
	}
	return lines
}

// bytesOf gives the first frames of messages, or the subscriptions, that the capture has of one node.
func bytesOf(t *testing.T, capture []captured, kind string, match func(captured, string) bool) (frames []string) {
	t.Helper()
	for _, c := range capture {
		frame, err := hex.DecodeString(c.Frames[0])
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == kind && match(c, string(frame)) {
			frames = append(frames, string(frame))
		}
	}
	return frames
}

// A Go consumer says to a C store what the C consumer of the capture said, byte for byte and in the same order.
func TestHellosLikeC(t *testing.T) {
	t.Parallel()
	const store = "C741337462614F3F91494738B727BB9A"
	capture := readCapture(t)
	for _, test := range []struct {
		what    string
		address string
		reset   Reset
		early   bool // it subscribes to its topic before the store joins
	}{
		{"earliest, then the store", "4D448FF50F3D470B83A2F3189A64480E", Earliest, true},
		{"the store, then earliest", "A8ACDDD669C44428A362F78D9238DE83", Earliest, false},
		{"the store, then latest", "057ABEB96BB14029BF26F25223EC57A5", Latest, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			var sniffed []string
			var mu sync.Mutex
			sniffer := join(t, tw, "SNIFFER", func(_ *peer, m *zmqwire.Message) {
				if m.Kind == zmqwire.StoreHello {
					return
				}
				frame, err := m.Append(nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				sniffed = append(sniffed, string(frame))
				mu.Unlock()
			}, "", "WSNIFFER")
			heard := func() []string {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(sniffed)
			}
			config := at(tw)
			config.Address = test.address
			c := open(t, Config{Reset: test.reset, Node: config})
			mine := func(frame string) bool { return strings.HasSuffix(frame, test.address) }
			subscriptions := bytesOf(t, capture, "subscription", func(_ captured, frame string) bool { return mine(frame) })
			eventually(t, "the consumer's own subscriptions", func() bool { return len(sniffer.Subscriptions()) >= 3 })
			// Its own greeting says that it hears the consumer.
			eventually(t, "a CONSUMER-HELLO", func() bool { return len(heard()) > 0 })
			mu.Lock()
			sniffed = nil
			mu.Unlock()

			greet := func() {
				// A store greets each consumer that subscribes to greetings, and subscribes to those of consumers.
				p := join(t, tw, store, nil, "", "W"+store)
				eventually(t, "the subscription to greetings", func() bool { return p.Subscribed("L" + test.address) })
				p.Say(zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte(test.address), Address: []byte(store)})
				eventually(t, "two CONSUMER-HELLOs", func() bool {
					return len(slices.DeleteFunc(heard(), func(f string) bool { return f[0] != 'W' })) >= 2
				})
			}
			if !test.early {
				greet()
			}
			if err := c.Subscribe("hello"); err != nil {
				t.Fatal(err)
			}
			subscriptions = append(subscriptions, "\x01Mhello", "\x01Hhello")
			eventually(t, "the subscriptions to the topic", func() bool { return sniffer.Subscribed("Hhello") })
			if test.early {
				greet()
			}

			want := bytesOf(t, capture, "message", func(c captured, frame string) bool {
				return c.Source == test.address && (frame[0] == 'G' || frame[0] == 'W')
			})
			eventually(t, "as many messages as C says", func() bool { return len(heard()) >= len(want) })
			if diff := cmp.Diff(want, heard()); diff != "" {
				t.Errorf("messages (-C +Go):\n%s", diff)
			}
			var got []string
			for _, s := range sniffer.Subscriptions() {
				if s[1:] != "" && s[1] != 'W' { // of the other peers
					got = append(got, "\x01"+s[1:])
				}
			}
			if diff := cmp.Diff(subscriptions, got); diff != "" {
				t.Errorf("subscriptions (-C +Go):\n%s", diff)
			}
			if test.reset == Latest {
				return
			}

			// The exchange that follows, up to the FETCH: C asks for records that do not exist yet.
			sniffer.Forget()
			head := zmqwire.Message{Kind: zmqwire.DirectHead, Routing: []byte(test.address),
				Address: []byte("8F4D3AD6199B4E1A8E88E16F6535B2E8"), Subject: []byte("hello"), Sequence: 4}
			sniffer.Say(head)
			eventually(t, "a FETCH", func() bool { return len(sniffer.Heard(zmqwire.Fetch)) > 0 })
			f := sniffer.Heard(zmqwire.Fetch)[0]
			if f.Count != 5 {
				t.Errorf("FETCH of %d records of 5", f.Count)
			}
			f.Count = 100_000
			frame, err := f.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			want = bytesOf(t, capture, "message", func(c captured, frame string) bool {
				return c.Source == "A8ACDDD669C44428A362F78D9238DE83" && frame[0] == 'F'
			})
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], "A8ACDDD669C44428A362F78D9238DE83", test.address)
			}
			if diff := cmp.Diff(want, []string{string(frame)}); diff != "" {
				t.Errorf("FETCH, but for the count (-C +Go):\n%s", diff)
			}
		})
	}
}

// Stores take so many topics from one hello: who has more says more hellos.
func TestManyTopics(t *testing.T) {
	for _, test := range []struct {
		topics int
		want   []int
	}{{0, []int{0}}, {1, []int{1}}, {2, []int{2}}, {3, []int{2, 1}}, {6, []int{2, 2, 2}}} {
		c := still(t, Config{Reset: Earliest, Node: tower.NodeConfig{Limits: tower.Limits{Topics: 2}}})
		var want, got []string
		for i := range test.topics {
			topic := fmt.Sprint("topic ", i)
			c.since[topic] = time.Now()
			want = append(want, topic)
		}
		c.hello([]byte("STORE"))
		var hellos []int
		for frames := c.out.Next(); frames != nil; frames = c.out.Next() {
			var m zmqwire.Message
			if err := m.Decode(frames); err != nil {
				t.Fatal(err)
			}
			if m.Kind != zmqwire.ConsumerHello || string(m.Routing) != "STORE" || string(m.Address) != c.Address() {
				t.Errorf("%v from %s to %s", m.Kind, m.Address, m.Routing)
			}
			hellos = append(hellos, len(m.Topics))
			for _, topic := range m.Topics {
				got = append(got, string(topic))
			}
		}
		slices.Sort(got)
		if !slices.Equal(hellos, test.want) || !slices.Equal(got, want) {
			t.Errorf("%d topics: hellos with %v, want %v; topics %q", test.topics, hellos, test.want, got)
		}
	}
}

// A user that does not read costs no more memory than allowed, and misses nothing.
func TestMaxBufferedBytes(t *testing.T) {
	t.Parallel()
	const records, most = 3000, 64 << 10
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, MaxBufferedBytes: most, Node: at(tw)})
	padding, large := strings.Repeat("x", 200), strings.Repeat("y", 2*most)
	padded := func(sequence uint64) string {
		if sequence == records {
			return large
		}
		return content(sequence) + padding
	}
	p := visit(t, tw, c, "P", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Fetch {
			for sequence := m.Sequence; sequence < m.Sequence+uint64(m.Count); sequence++ {
				p.Say(of(zmqwire.DirectRecord, c, sequence, padded(sequence)))
			}
		}
	})
	bounded := func() int64 {
		held := c.Stats().BufferedBytes
		if held > most {
			t.Errorf("%d bytes buffered, %d allowed", held, most)
		}
		return held
	}
	for sequence := range uint64(records) {
		p.Say(of(zmqwire.Record, c, sequence, padded(sequence)))
		bounded()
	}
	eventually(t, "as much buffered as there is room for", func() bool { return bounded() > most/2 })
	for sequence := range uint64(records) {
		want := fmt.Sprintf("hello P %d %s", sequence, padded(sequence))
		if diff := cmp.Diff([]string{want}, read(t, c, 1)); diff != "" {
			t.Fatalf("record %d (-want +got):\n%s", sequence, diff)
		}
		bounded()
	}
	// A record larger than the bound is given all the same.
	p.Say(of(zmqwire.Record, c, records, large))
	if got := read(t, c, 1)[0]; got != fmt.Sprintf("hello P %d %s", records, large) {
		t.Errorf("the large record is %.40q...", got)
	}
}

// The consumer without its sockets, under loss, repetition and disorder, with a user that reads now and then: each
// partition comes in order and whole, and memory stays bounded.
func TestOrderAgainstModel(t *testing.T) {
	// With it, Next gives what is there and does not wait.
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 46))
		const partitions, records = 3, 400
		most := int64(3000 + rng.IntN(30_000))
		c := still(t, Config{Reset: Earliest, MaxBufferedBytes: most})
		c.since["hello"] = time.Unix(0, 0)
		now := time.Unix(0, 0)
		contentOf := func(p int, sequence uint64) string {
			return fmt.Sprintf("%d of %d %s", sequence, p, strings.Repeat("x", int(sequence*7+uint64(p))%90))
		}
		hear := func(kind zmqwire.Kind, p int, sequence uint64) {
			m := of(kind, c, sequence, contentOf(p, sequence))
			m.Address = fmt.Append(nil, p)
			frame, err := m.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			frames := [][]byte{frame}
			if kind.HasContent() {
				frames = append(frames, m.Content)
			}
			if err := c.hear(frames, now); err != nil && !errors.Is(err, ErrUnasked) {
				t.Fatal(err)
			}
			if held := c.handover.held.Load() + c.early; held > most {
				t.Fatalf("seed %d: %d bytes held, %d of them before their turn; %d allowed", seed, held, c.early, most)
			}
		}
		type sent struct {
			kind     zmqwire.Kind
			p        int
			sequence uint64
		}
		var wire []sent // what is on its way
		var published [partitions]uint64
		want, got := [partitions][]string{}, [partitions][]string{}
		for p := range partitions {
			for sequence := range uint64(records) {
				want[p] = append(want[p], contentOf(p, sequence))
			}
		}
		total, round := 0, 0
		for ; total < partitions*records && round < 100_000; round++ {
			now = now.Add(time.Duration(rng.IntN(40)) * time.Millisecond)
			p := rng.IntN(partitions)
			for range rng.IntN(20) {
				if published[p] < records {
					wire = append(wire, sent{zmqwire.Record, p, published[p]})
					published[p]++
				}
			}
			if published[p] > 0 && rng.IntN(4) == 0 {
				wire = append(wire, sent{zmqwire.Head, p, published[p] - 1})
			}
			if rng.IntN(8) == 0 {
				rng.Shuffle(len(wire), func(i, j int) { wire[i], wire[j] = wire[j], wire[i] })
			}
			n := rng.IntN(len(wire) + 1)
			for _, s := range wire[:n] {
				switch rng.IntN(10) {
				case 0: // lost
				case 1:
					hear(s.kind, s.p, s.sequence)
					fallthrough
				default:
					hear(s.kind, s.p, s.sequence)
				}
			}
			wire = slices.Delete(wire, 0, n)
			c.retryFull()
			c.fresh = c.handover.leave(c.fresh)
			c.out.Reset()
			c.fetch(now)
			for frames := c.out.Next(); frames != nil; frames = c.out.Next() {
				var m zmqwire.Message
				if err := m.Decode(frames); err != nil {
					t.Fatal(err)
				}
				var p int
				fmt.Sscan(string(m.Routing), &p)
				if m.Sequence+uint64(m.Count) > published[p] {
					t.Fatalf("seed %d: FETCH %d, %d of %d published", seed, m.Sequence, m.Count, published[p])
				}
				for i := range uint64(m.Count) {
					wire = append(wire, sent{zmqwire.DirectRecord, p, m.Sequence + i})
				}
			}
			for range rng.IntN(30) {
				r, err := c.Next(cancelled)
				if err != nil {
					break
				}
				var p int
				fmt.Sscan(r.Partition, &p)
				if r.Sequence != uint64(len(got[p])) {
					t.Fatalf("seed %d: record %d of partition %d instead of %d", seed, r.Sequence, p, len(got[p]))
				}
				got[p] = append(got[p], string(r.Content))
				total++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d, after %d rounds (-want +got):\n%s", seed, round, diff)
		}
		if c.early != 0 {
			t.Errorf("seed %d: %d bytes are said to be kept before their turn, and nothing is", seed, c.early)
		}
	}
}

// still makes a consumer that does nothing by itself.
func still(t testing.TB, config Config) *Consumer {
	t.Helper()
	at := nowhere()
	at.Limits = config.Node.Limits
	node, err := node.Join(at, node.Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return &Consumer{
		reset: config.Reset, most: config.MaxBufferedBytes, node: node,
		handover: handover{ready: make(chan struct{}, 1)},
		received: zsock.NewBatch(), out: zsock.NewBatch(),
		topics: make(map[string]map[string]*partition), sources: make(map[string]source),
		since: make(map[string]time.Time), known: make(map[string]bool), claims: flow.NewShares(maxClaims),
		storage: storage{
			only: config.StoredOnly, stores: 1, held: make(map[*partition]time.Time), acks: make(map[string]int),
		},
	}
}

// Anyone can tell of partitions that do not exist. They are bounded, and make room when nobody gives a record of them.
func TestClaimsAreBounded(t *testing.T) {
	c := still(t, Config{Reset: Earliest, MaxBufferedBytes: 1 << 20})
	c.since["hello"] = time.Unix(0, 0)
	now := time.Now()
	hear := func(kind zmqwire.Kind, address string, sequence uint64) error {
		t.Helper()
		m := zmqwire.Message{
			Kind: kind, Routing: []byte("hello"), Address: []byte(address), Subject: []byte("hello"), Sequence: sequence,
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		frames := [][]byte{frame}
		if kind.HasContent() {
			frames = append(frames, []byte("content"))
		}
		return c.hear(frames, now)
	}
	if err := hear(zmqwire.Record, "true", 0); err != nil {
		t.Fatal(err)
	}
	for i := range maxClaims {
		if err := hear(zmqwire.Head, fmt.Sprint("made up ", i), 1<<63); err != nil {
			t.Fatalf("claim %d: %v", i, err)
		}
	}
	for range 2 {
		if err := hear(zmqwire.Record, "one more", 0); !errors.Is(err, ErrClaims) {
			t.Errorf("one more than is possible: %v", err)
		}
	}
	if err := hear(zmqwire.Record, "true", 1); err != nil {
		t.Errorf("a partition that has records: %v", err)
	}
	for range maxClaims {
		now = now.Add(c.backlog.Ask(now, 1<<30, func(*flow.Order, uint64, uint32) {}))
	}
	if err := hear(zmqwire.Record, "one more", 0); err != nil {
		t.Errorf("when those before were asked for in vain: %v", err)
	}
	if len(c.topics["hello"]) != 2 || c.claims.Total() != 0 || len(c.sources) != 2 {
		t.Errorf("%d partitions, %d claims, %d headers are left: want two true ones", len(c.topics["hello"]), c.claims.Total(), len(c.sources))
	}
}

// cutOff gives an endpoint behind which nothing is heard of another one until it is healed.
func cutOff(t *testing.T, endpoint string) (cut string, heal func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	healed := make(chan struct{})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { near.Close() })
			go func() {
				<-healed
				far, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
				if err != nil {
					return
				}
				defer far.Close()
				go io.Copy(far, near)
				io.Copy(near, far)
			}()
		}
	}()
	return "tcp://" + listener.Addr().String(), sync.OnceFunc(func() { close(healed) })
}

func TestUntilEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	t.Cleanup(cancel)
	t.Run("nothing there", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, MinStores: NoStores, Node: at(tw)})
		for range 2 {
			if _, err := c.Next(ctx); err != io.EOF {
				t.Errorf("Next: %v, want EOF", err)
			}
		}
	})
	t.Run("no tower", func(t *testing.T) {
		t.Parallel()
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, Node: nowhere()})
		// Nobody can say yet what there is.
		ctx, cancel := context.WithTimeout(context.Background(), endQuiet+500*time.Millisecond)
		defer cancel()
		if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next: %v, want to wait for the tower", err)
		}
	})
	t.Run("a node that does not hear the tower", func(t *testing.T) {
		t.Parallel()
		tw := openTower(t)
		config := at(tw)
		var heal func()
		config.Pub[0], heal = cutOff(t, tw.Pub())
		node, err := node.Join(config, node.Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := node.Sub[0].Subscribe("L" + node.Address()); err != nil {
			t.Fatal(err)
		}
		quit, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-quit:
					node.Close()
					return
				default:
					node.Wait(10*time.Millisecond, func() bool { return false })
				}
			}
		}()
		defer func() {
			close(quit)
			<-done
		}()
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, MinStores: NoStores, Node: at(tw)})
		// It may have something to tell, and cannot yet.
		some, cancel := context.WithTimeout(ctx, 3*endQuiet)
		defer cancel()
		if _, err := c.Next(some); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next: %v, want to wait for the node", err)
		}
		heal()
		if _, err := c.Next(ctx); err != io.EOF || len(c.awaited(time.Now())) > 0 {
			t.Errorf("Next: %v, want EOF after the node has connected", err)
		}
	})
	t.Run("many partitions", func(t *testing.T) {
		t.Parallel()
		const partitions = 100
		tw := openTower(t)
		c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, UntilEnd: true, Node: at(tw)})
		store := join(t, tw, "STORE", func(p *peer, m *zmqwire.Message) {
			if m.Kind == zmqwire.ConsumerHello {
				for i := range uint64(partitions) {
					head := of(zmqwire.DirectHead, c, i, "")
					head.Address = fmt.Append(nil, "P", i)
					p.Say(head)
				}
			}
			answerer(p, m)
		}, "", "WSTORE")
		store.greets(t, c, 1)
		got := make(map[string][]string)
		left := partitions * (partitions + 1) / 2
		for r, err := range c.Records(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			got[r.Partition] = append(got[r.Partition], string(r.Content))
			if left--; left == 0 {
				store.greets(t, c, 2)
			}
		}
		want := make(map[string][]string)
		for i := range uint64(partitions) {
			for sequence := range i + 1 {
				name := fmt.Sprint("P", i)
				want[name] = append(want[name], content(sequence))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		for _, f := range store.fetches() {
			var i uint64
			fmt.Sscanf(f.Partition, "P%d", &i)
			if f.First+uint64(f.Count) > i+1 {
				t.Errorf("FETCH %d, %d of %d", f.First, f.Count, i+1)
			}
		}
	})
}

func TestNext(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", nil)
	ctx, cancel := context.WithCancel(context.Background())
	next := make(chan error)
	go func() {
		_, err := c.Next(ctx)
		next <- err
	}()
	cancel()
	if err := <-next; err != context.Canceled {
		t.Errorf("Next while its context is cancelled: %v", err)
	}
	if c.Buffered() {
		t.Error("Buffered with nothing there")
	}
	p.Say(of(zmqwire.Record, c, 0, content(0)))
	p.Say(of(zmqwire.Record, c, 1, content(1)))
	eventually(t, "a record", c.Buffered)
	// What is there is given whatever the context says.
	r, err := c.Next(ctx)
	if want := lines(0, 1)[0]; err != nil || line(r) != want {
		t.Errorf("Next: %s, %v, want %s", line(r), err, want)
	}
	if diff := cmp.Diff(lines(1, 2), read(t, c, 1)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}

	if got := c.Stats().Delivered; got != 2 {
		t.Errorf("Stats: %d records delivered, want 2", got)
	}
	p.Say(of(zmqwire.Record, c, 2, content(2)))
	eventually(t, "a record", c.Buffered)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(lines(2, 3), read(t, c, 1)); diff != "" {
		t.Errorf("what had arrived before Close (-want +got):\n%s", diff)
	}
	for range 2 {
		if _, err := c.Next(context.Background()); err != ErrClosed {
			t.Errorf("Next after Close: %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseEndsNext(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := open(t, Config{Topics: []string{"hello"}, Node: nowhere()})
		next := make(chan error)
		go func() {
			_, err := c.Next(context.Background())
			next <- err
		}()
		go c.Close()
		if err := <-next; err != ErrClosed {
			t.Errorf("Next while the consumer is closed: %v", err)
		}
		c.Close()
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", nil)
	for sequence := range uint64(10) {
		p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	collect := func(end int, atEnd func()) (got []string, errs []error) {
		for r, err := range c.Records(ctx) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if got = append(got, line(r)); len(got) == end {
				if atEnd == nil {
					break
				}
				atEnd()
			}
		}
		return got, errs
	}
	got, errs := collect(3, nil)
	if diff := cmp.Diff(lines(0, 3), got); diff != "" || errs != nil {
		t.Errorf("until break: %v (-want +got):\n%s", errs, diff)
	}
	got, errs = collect(7, cancel)
	if diff := cmp.Diff(lines(3, 10), got); diff != "" || len(errs) != 1 || errs[0] != context.Canceled {
		t.Errorf("until the context is cancelled: %v (-want +got):\n%s", errs, diff)
	}
	ctx = context.Background()
	p.Say(of(zmqwire.Record, c, 10, content(10)))
	got, errs = collect(1, func() { c.Close() })
	if diff := cmp.Diff(lines(10, 11), got); diff != "" || errs != nil {
		t.Errorf("until Close: %v (-want +got):\n%s", errs, diff)
	}
}

// Contents belong to the user: they do not change, and what is done to one does nothing to another.
func TestContentsAreTheUsers(t *testing.T) {
	t.Parallel()
	const records = 3000
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, MaxBufferedBytes: 200_000, Node: at(tw)})
	size := func(sequence uint64) int { return int(sequence*37) % 500 }
	text := func(sequence uint64) string { return content(sequence) + strings.Repeat("x", size(sequence)) }
	p := visit(t, tw, c, "P", func(p *peer, m *zmqwire.Message) {
		if m.Kind == zmqwire.Fetch {
			for sequence := m.Sequence; sequence < m.Sequence+uint64(m.Count); sequence++ {
				p.Say(of(zmqwire.DirectRecord, c, sequence, text(sequence)))
			}
		}
	})
	for sequence := range uint64(records) {
		p.Say(of(zmqwire.Record, c, sequence, text(sequence)))
	}
	var kept [][]byte
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	for range records {
		r, err := c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, r.Content)
		_ = append(r.Content, "not seen by the next record"...)
	}
	for i, got := range kept {
		if i%2 == 0 {
			clear(got)
			got = bytes.Clone(kept[i+1])
			i++
		}
		if string(got) != text(uint64(i)) {
			t.Fatalf("record %d has become %.40q", i, got)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		what   string
		config Config
		want   string // part of the error; empty: none
	}{
		{"empty topic", Config{Topics: []string{"a", ""}}, "topic is empty"},
		{"NUL in a topic", Config{Topics: []string{"a\x00b"}}, "holds a NUL"},
		{"long topic", Config{Topics: []string{strings.Repeat("x", 256)}}, "256 bytes"},
		{"an empty topic", Config{Topics: []string{""}}, "topic"},
		{"a negative EndTimeout", Config{EndTimeout: -1}, "EndTimeout"},
		{"a negative MinStores", Config{MinStores: -2}, "MinStores"},
		{"negative bound", Config{MaxBufferedBytes: -1}, "MaxBufferedBytes -1"},
		{"bad address", Config{Node: tower.NodeConfig{Address: "a\x00b"}}, "address"},
		{"bad bind", Config{Node: tower.NodeConfig{Bind: "nonsense"}}, "bind nonsense"},
		{"longest topics", Config{Topics: []string{strings.Repeat("\xff", 255)}, Node: nowhere()}, ""},
		{"no topics", Config{Node: nowhere()}, ""},
	} {
		c, err := Open(test.config)
		if err == nil {
			c.Close()
		}
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.what, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %q", test.what, err, test.want)
		}
	}
}

// Subscriptions change while records flow, from several goroutines; for the race detector above all.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	const records = 2000
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", answerer)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				topic := fmt.Sprint("topic ", i, j%3)
				if err := errors.Join(c.Subscribe(topic), c.Unsubscribe(topic)); err != nil {
					t.Error(err)
				}
				c.Stats()
				c.Subscriptions()
			}
		})
	}
	for sequence := range uint64(records) {
		p.Say(of(zmqwire.Record, c, sequence, content(sequence)))
	}
	if diff := cmp.Diff(lines(0, records), read(t, c, records)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	wg.Wait()
	if diff := cmp.Diff([]string{"hello"}, c.Subscriptions()); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
}

// A record of 100 bytes from the socket's buffer to the user.
func BenchmarkNext(b *testing.B) {
	c := still(b, Config{MaxBufferedBytes: 64 << 20})
	p := &partition{Order: flow.NewOrder("hello", "P", 0)}
	ctx, content := context.Background(), make([]byte, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	waiting := 0
	for b.Loop() {
		if waiting == 0 {
			for waiting = 0; waiting < 1000; waiting++ {
				c.record(source{p, true}, p.Next(), content)
			}
			c.fresh = c.handover.leave(c.fresh)
		}
		if _, err := c.Next(ctx); err != nil {
			b.Fatal(err)
		}
		waiting--
	}
}
