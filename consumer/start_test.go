package consumer

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// sequence begins every partition with the same record.
func sequence(first uint64) func(string, string, uint64) uint64 {
	return func(string, string, uint64) uint64 { return first }
}

// newest begins every partition so many records before its end.
func newest(count uint64) func(string, string, uint64) uint64 {
	return func(_, _ string, head uint64) uint64 { return head + 1 - min(count, head+1) }
}

// Each test says something and gives the first records that are read, in order.
func TestStart(t *testing.T) {
	t.Parallel()
	type say struct {
		kind     zmqwire.Kind
		sequence uint64
	}
	const record, head, directHead = zmqwire.Record, zmqwire.Head, zmqwire.DirectHead
	for _, test := range []struct {
		name  string
		start func(string, string, uint64) uint64
		says  []say
		first uint64
		end   uint64
	}{
		{"a sequence that a store has", sequence(7), []say{{directHead, 9}}, 7, 10},
		{"a sequence that a producer has", sequence(7), []say{{head, 9}}, 7, 10},
		{"a sequence before a live record", sequence(7), []say{{record, 9}}, 7, 10},
		{"a sequence yet to come", sequence(12), []say{{directHead, 9}, {record, 10}, {record, 11}, {record, 12}, {record, 13}}, 12, 14},
		{"a sequence yet to come, live", sequence(12), []say{{record, 9}, {record, 10}, {record, 11}, {record, 12}}, 12, 13},
		{"the newest at a store", newest(3), []say{{directHead, 9}, {record, 10}}, 7, 11},
		{"the newest before a live record", newest(3), []say{{record, 9}}, 7, 10},
		{"more than there are", newest(30), []say{{directHead, 9}}, 0, 10},
		{"a head that is a lie", newest(3), []say{{head, 1 << 63}, {record, 9}}, 7, 10},
		{"a sequence and a head that is a lie", sequence(7), []say{{head, 1 << 63}, {record, 9}}, 7, 10},
		{"the highest head there can be", newest(3), []say{{head, 1<<64 - 1}, {directHead, 9}}, 7, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			c := open(t, Config{Topics: []string{"hello"}, Start: test.start, Node: at(tw)})
			p := visit(t, tw, c, "P", func(p *peer, m *zmqwire.Message) {
				// A lie is asked for in vain.
				if m.Sequence < 1<<62 {
					answerer(p, m)
				}
			})
			for _, s := range test.says {
				p.Say(of(s.kind, c, s.sequence, content(s.sequence)))
			}
			if diff := cmp.Diff(lines(test.first, test.end), read(t, c, int(test.end-test.first))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// A partition is asked about once, by its names.
func TestStartIsAskedOnce(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	var mu sync.Mutex
	var asked []string
	c := open(t, Config{Topics: []string{"hello"}, Node: at(tw), Start: func(topic, partition string, head uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprint(topic, " ", partition, " ", head))
		return head
	}})
	p := visit(t, tw, c, "P", answerer)
	if got := p.Heard(zmqwire.GetHeads); len(got) != 0 && string(got[0].Routing) != "hello" {
		t.Errorf("GET-HEADS for %q", got[0].Routing)
	}
	p.Say(of(zmqwire.DirectHead, c, 3, ""))
	p.Say(of(zmqwire.DirectHead, c, 3, ""))
	p.Say(of(zmqwire.DirectHead, c, 4, ""))
	p.Say(of(zmqwire.Record, c, 5, content(5)))
	if diff := cmp.Diff(lines(3, 6), read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	// The second time a live record has proved that the partition exists.
	if diff := cmp.Diff([]string{"hello P 3", "hello P 5"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestOnePartition(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Reset: Earliest, Node: at(tw),
		Filter: func(_, partition string) bool { return partition == "Q" }})
	p := visit(t, tw, c, "P", answerer)
	p.Say(of(zmqwire.Record, c, 0, content(0)))
	p.Say(of(zmqwire.DirectHead, c, 3, ""))
	for sequence := range uint64(2) {
		m := of(zmqwire.Record, c, sequence, content(sequence))
		m.Address = []byte("Q")
		p.Say(m)
	}
	if diff := cmp.Diff([]string{"hello Q 0 content 0", "hello Q 1 content 1"}, read(t, c, 2)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := p.fetches(); len(got) > 0 {
		t.Errorf("FETCH of a partition that nobody wants: %v", got)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"log.", "log.a"}, Prefix: true, Reset: Earliest, Node: at(tw)})
	p := visit(t, tw, c, "P", answerer)
	for _, hello := range p.Heard(zmqwire.ConsumerHello) {
		// Stores in Go match whole topics only, and the empty one stands for all.
		if len(hello.Topics) != 1 || len(hello.Topics[0]) != 0 {
			t.Errorf("CONSUMER-HELLO with topics %q, want an empty one", hello.Topics)
		}
	}
	say := func(kind zmqwire.Kind, topic string, sequence uint64) {
		m := of(kind, c, sequence, content(sequence))
		if m.Subject = []byte(topic); kind == zmqwire.Record {
			m.Routing = m.Subject
		}
		p.Say(m)
	}
	say(zmqwire.DirectHead, "other", 5)
	say(zmqwire.DirectHead, "log", 5)
	say(zmqwire.Record, "log.a", 0)
	say(zmqwire.Record, "log.b", 0)
	say(zmqwire.Record, "log.a", 1)
	want := []string{"log.a P 0 content 0", "log.b P 0 content 0", "log.a P 1 content 1"}
	if diff := cmp.Diff(want, read(t, c, 3)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	say(zmqwire.DirectHead, "log.c", 1)
	if diff := cmp.Diff([]string{"log.c P 0 content 0", "log.c P 1 content 1"}, read(t, c, 2)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]fetch{{"log.c", "P", c.Address(), 0, 2}}, p.fetches()); diff != "" {
		t.Errorf("FETCH (-want +got):\n%s", diff)
	}

	// A topic stays as long as any subscription matches it.
	if err := c.Unsubscribe("log."); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the subscription", func() bool {
		return slices.Contains(p.Subscriptions(), "-Hlog.")
	})
	say(zmqwire.Record, "log.b", 1)
	say(zmqwire.Record, "log.a", 2)
	if diff := cmp.Diff([]string{"log.a P 2 content 2"}, read(t, c, 1)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A live record that comes late, behind what stores have given already, is nothing new, and no reason to begin again.
func TestStartIsNotRepeated(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello"}, Start: sequence(7), Node: at(tw)})
	p := visit(t, tw, c, "P", answerer)
	p.Say(of(zmqwire.DirectHead, c, 9, ""))
	got := read(t, c, 3)
	p.Say(of(zmqwire.Record, c, 8, content(8)))
	p.Say(of(zmqwire.Record, c, 10, content(10)))
	got = append(got, read(t, c, 1)...)
	if diff := cmp.Diff(lines(7, 11), got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// The subscriptions of which no node has announced a partition that is read are known.
func TestUnknown(t *testing.T) {
	t.Parallel()
	unknown := func(c *Consumer, want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%q are unknown", want), func() bool { return slices.Equal(c.Unknown(), want) })
	}
	tw := openTower(t)
	c := open(t, Config{Topics: []string{"hello", "none", "other"}, Reset: Earliest, Node: at(tw),
		Filter: func(topic, _ string) bool { return topic != "other" }})
	prefixes := open(t, Config{Topics: []string{"", "he", "ho"}, Prefix: true, Node: at(tw)})
	unknown(c, "hello", "none", "other")
	unknown(prefixes, "", "he", "ho")
	p := visit(t, tw, c, "P", answerer)
	visit(t, tw, prefixes, "Q", nil)
	eventually(t, "both listen", func() bool { return p.Subscribed("Mhello") && p.Subscribed("Mho") })
	for _, topic := range []string{"hello", "other"} {
		m := of(zmqwire.Record, c, 0, content(0))
		m.Routing, m.Subject = []byte(topic), []byte(topic)
		p.Say(m)
	}
	if diff := cmp.Diff(lines(0, 1), read(t, c, 1)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	unknown(c, "none", "other")
	unknown(prefixes, "ho")
	if err := c.Unsubscribe("none"); err != nil {
		t.Error(err)
	}
	unknown(c, "other")
}
