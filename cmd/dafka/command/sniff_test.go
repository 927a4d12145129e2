package command

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

func TestSniffed(t *testing.T) {
	kinds, err := parseKinds([]string{"record", "Direct-Record", "FETCH", "get-heads"})
	if err != nil {
		t.Fatal(err)
	}
	s := sniffed{kinds: kinds, topic: "t", peer: "127.0.0.1:5"}
	if diff := cmp.Diff([]string{"Mt", "D", "F", "Gt"}, s.prefixes()); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	if _, err := parseKinds([]string{"records"}); err == nil {
		t.Error("records: no error")
	}
	p := node.Member{Address: "P", Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 5}}
	q := node.Member{Address: "Q", Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 6}}
	record := &zmqwire.Message{Kind: zmqwire.Record, Routing: []byte("t"), Address: []byte("P"), Subject: []byte("t")}
	for _, test := range []struct {
		sniffed
		from node.Member
		m    *zmqwire.Message
		want bool
	}{
		{sniffed{}, p, record, true},
		{sniffed{topic: "t"}, p, record, true},
		{sniffed{topic: "t2"}, p, record, false},
		{sniffed{peer: "127.0.0.1:5"}, p, record, true},
		{sniffed{peer: "127.0.0.1:5"}, q, record, false},
		{sniffed{peer: "Q"}, q, record, true},
		{sniffed{peer: "P"}, q, record, true},
		{sniffed{peer: "R"}, q, record, false},
		{sniffed{peer: "R"}, q, &zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte("R"), Address: []byte("Q")}, true},
		{sniffed{topic: "t"}, q, &zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte("t"), Address: []byte("Q")}, true},
		{sniffed{topic: "t"}, q, &zmqwire.Message{Kind: zmqwire.ConsumerHello, Routing: []byte("S"), Topics: [][]byte{[]byte("t")}}, true},
		{sniffed{topic: "t"}, q, &zmqwire.Message{Kind: zmqwire.StoreHello, Routing: []byte("S"), Address: []byte("Q")}, false},
		{sniffed{}, q, &zmqwire.Message{Kind: zmqwire.StoreHello, Address: []byte("Q")}, false},
	} {
		if got := test.wants(test.from, test.m); got != test.want {
			t.Errorf("%+v wants %v from %s: %v", test.sniffed, test.m.Kind, test.from.Address, got)
		}
	}
}

func TestPrintMessage(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	from := node.Member{Address: "S", Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 5}}
	m := func(kind zmqwire.Kind, routing string) *zmqwire.Message {
		return &zmqwire.Message{Kind: kind, Routing: []byte(routing), Address: []byte("P"), Subject: []byte("a topic"), Sequence: 7, Count: 3}
	}
	record := m(zmqwire.Record, "a topic")
	record.Content = []byte("\x00" + strings.Repeat("x", 100))
	hello := m(zmqwire.ConsumerHello, "S")
	hello.Topics = [][]byte{[]byte("t"), nil}
	for _, test := range []struct {
		m    *zmqwire.Message
		want string
	}{
		{record, `RECORD topic="a topic" partition=P sequence=7 bytes=101 "\x00` + strings.Repeat("x", 59) + `"`},
		{m(zmqwire.DirectRecord, "C"), `DIRECT-RECORD to=C topic="a topic" partition=P sequence=7 bytes=0 ""`},
		{m(zmqwire.Head, "a topic"), `HEAD topic="a topic" partition=P sequence=7`},
		{m(zmqwire.DirectHead, "C"), `DIRECT-HEAD to=C topic="a topic" partition=P sequence=7`},
		{m(zmqwire.Fetch, "Q"), `FETCH by=P topic="a topic" partition=Q sequence=7 count=3`},
		{m(zmqwire.Ack, "Q"), `ACK topic="a topic" partition=Q sequence=7`},
		{m(zmqwire.GetHeads, ""), `GET-HEADS by=P topic=""`},
		{hello, `CONSUMER-HELLO by=P to=S topic=t topic=""`},
		{m(zmqwire.StoreHello, "C"), `STORE-HELLO by=P to=C`},
	} {
		var out bytes.Buffer
		p := recordio.NewPrinter(&out)
		printMessage(p, now, from, test.m)
		p.Flush()
		if diff := cmp.Diff("03:04:05.006 127.0.0.1:5 "+test.want+"\n", out.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.m.Kind, diff)
		}
	}
}
