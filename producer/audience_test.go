package producer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// consumerPrefixes are what a consumer of the topic subscribes to.
func consumerPrefixes(address, topic string) []string {
	return []string{"D" + address, "E" + address, "L" + address, "M" + topic, "H" + topic}
}

// A HEAD goes out at once to stores and to consumers made in Go. While a consumer made in C waits for its first record,
// none does, as C producers send HEADs at the interval only.
func TestHeadsAtOnce(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	p := open(t, Config{Topic: "hello", HeadInterval: time.Hour, Node: at(tw)})
	send(t, p, []byte("a"))
	eventually(t, "the record published", func() bool { return published(p) == 1 })

	inGo := zmqwire.NewAddress()
	consumer := join(t, tw, inGo, nil, consumerPrefixes(inGo, "hello")...)
	head := func(at *peer, sequence uint64) {
		t.Helper()
		eventually(t, "a HEAD at once for "+at.Address(), func() bool {
			heads := at.Heard(zmqwire.Head)
			return len(heads) > 0 && heads[len(heads)-1].Sequence == sequence
		})
	}
	head(consumer, 0)

	const inC = "8A8ADDD669C44428A3620000000000FF"
	c := join(t, tw, inC, nil, consumerPrefixes(inC, "hello")...)
	// An answer shows that the producer has the peer's subscriptions, and has done what follows from them.
	answered := func(at *peer) {
		t.Helper()
		for n := range 3 {
			eventually(t, "an answer for "+at.Address(), func() bool {
				at.Say(zmqwire.Message{
					Kind: zmqwire.Fetch, Routing: []byte(p.Address()), Address: []byte(at.Address()),
					Subject: []byte("hello"), Count: 1,
				})
				return len(at.Heard(zmqwire.DirectRecord)) > n
			})
		}
	}
	answered(c)
	late := join(t, tw, "LATE", nil, "H", "M", "DLATE")
	answered(late)
	for _, at := range []*peer{c, late} {
		if heads := at.Heard(zmqwire.Head); len(heads) > 0 {
			t.Errorf("HEAD %d for %s while a consumer made in C waits", heads[0].Sequence, at.Address())
		}
	}

	send(t, p, []byte("b"))
	for _, at := range []*peer{c, late} {
		eventually(t, "the next record", func() bool { return len(at.Heard(zmqwire.Record)) == 1 })
		if diff := cmp.Diff([]record{{1, "b"}}, recordsOf(at.Heard(zmqwire.Record))); diff != "" {
			t.Errorf("records for %s (-sent +received):\n%s", at.Address(), diff)
		}
	}
	head(join(t, tw, "STORE", nil, "H", "M"), 1)
	head(c, 1) // it knows the partition, so it takes no harm
}

func TestAudience(t *testing.T) {
	inC, inGo := "8A8ADDD669C44428A3620000000000FF", zmqwire.NewAddress()
	type subscription struct {
		prefix     string
		connection int
	}
	for _, test := range []struct {
		what          string
		subscriptions []subscription
		want          bool
	}{
		{"nobody", nil, false},
		{"store", []subscription{{"H", 1}}, true},
		{"sniffer", []subscription{{"", 1}}, false},
		{"topic alone", []subscription{{"Hhello", 1}}, false},
		{"consumer made in Go", []subscription{{"E" + inGo, 1}, {"Hhello", 1}}, true},
		{"in another order", []subscription{{"Hhello", 1}, {"E" + inGo, 1}}, true},
		{"prefix", []subscription{{"E" + inGo, 1}, {"Hhel", 1}}, true},
		{"other topics", []subscription{{"E" + inGo, 1}, {"Hhello2", 1}, {"Hjello", 1}}, false},
		{"consumer made in C", []subscription{{"E" + inC, 1}, {"Hhello", 1}}, false},
		{"consumer made in C beside others", []subscription{{"H", 3}, {"E" + inC, 1}, {"Hhello", 1}, {"E" + inGo, 2}, {"Hhello", 2}}, false},
		{"consumer made in C of another topic", []subscription{{"H", 3}, {"E" + inC, 1}, {"Hhello2", 1}}, true},
		{"descriptor used again", []subscription{{"E" + inGo, 1}, {"E" + inC, 1}, {"Hhello", 1}}, false},
	} {
		a := newAudience()
		for _, s := range test.subscriptions {
			a.subscribed([]byte(s.prefix), s.connection, "hello")
		}
		if got := a.wantsHead(); got != test.want {
			t.Errorf("%s: HEAD at once %v, want %v", test.what, got, test.want)
		}
		if a.served(); a.wantsHead() {
			t.Errorf("%s: HEAD at once after one went out", test.what)
		}
	}
}
