package main

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// drawn is a picture under test. Its members are named by role: S1 and S2 are stores, W is a store's writer, P and Q are
// producers, C is a consumer, O only asks, U has not subscribed to anything.
type drawn struct {
	*picture
	t   *testing.T
	now time.Time
}

func draws(t *testing.T, members ...string) *drawn {
	d := &drawn{newPicture(), t, time.Unix(1_000_000, 0)}
	for _, address := range members {
		for _, prefix := range map[byte][]string{
			'S': {"F", "G", "W" + address},
			'W': {"D" + address, "E" + address, "M", "H"},
			'P': {"K" + address, "F" + address},
			'Q': {"K" + address, "F" + address},
			'C': {"D" + address, "E" + address, "L" + address, "Mhello", "Hhello"},
			'O': {"E" + address},
		}[address[0]] {
			d.subscribed([]byte(prefix), d.now)
		}
	}
	d.present(members...)
	return d
}

// present are the members from now on.
func (d *drawn) present(members ...string) {
	slices.Sort(members)
	var all []tower.Member
	for _, address := range members {
		port := uint16(len(address)) + uint16(address[0])*10 + uint16(address[len(address)-1])
		e := zmqwire.Endpoint{Host: "127.0.0.1", Port: port}
		all = append(all, tower.Member{Address: address, Endpoint: e, At: e.String(), Since: d.now, Heard: d.now})
	}
	d.meet(all, d.now)
}

// hears takes what the member says of so many records of a partition.
func (d *drawn) hears(from string, kind zmqwire.Kind, topic, partition string, records uint64) {
	d.t.Helper()
	m := zmqwire.Message{Kind: kind, Routing: []byte("own"), Address: []byte(partition), Subject: []byte(topic), Sequence: records - 1}
	switch kind {
	case zmqwire.Head:
		m.Routing = m.Subject
	case zmqwire.Ack:
		m.Routing, m.Address = m.Address, nil
	}
	frame, err := m.Append(nil)
	if err == nil {
		err = d.hear(from, "own", [][]byte{frame}, d.now)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *drawn) passes(time time.Duration) { d.now = d.now.Add(time) }

const (
	head       = zmqwire.Head
	directHead = zmqwire.DirectHead
	ack        = zmqwire.Ack
)

func TestRoles(t *testing.T) {
	d := draws(t, "S1", "S2", "W", "P", "C", "O", "U")
	got := make(map[string]role)
	for _, m := range d.members {
		got[m.Address] = d.role(m.Address)
	}
	want := map[string]role{
		"S1": roleReader, "S2": roleReader, "W": roleWriter, "P": roleProducer, "C": roleConsumer, "O": roleObserver, "U": roleUnknown,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func endpoint(d *drawn, address string) string {
	m, _ := d.member(address)
	return hostPort(m)
}

func TestRows(t *testing.T) {
	d := draws(t, "S1", "S2", "P", "U")
	d.hears("P", head, "b", "P", 10)
	d.hears("S1", directHead, "b", "P", 10)
	d.hears("S2", directHead, "b", "P", 7)
	d.hears("S1", directHead, "b", "GONE", 5)
	d.hears("S1", directHead, "a\xff", "GONE\xff", 3)
	d.hears("S2", directHead, "a\xff", "GONE\xff", 3)
	d.expect()
	d.hears("W", ack, "b", "P", 12) // since the stores were asked: they do not lack it
	d.passes(1234 * time.Millisecond)

	age := seconds(1.2)
	if diff := cmp.Diff([]topicRow{
		{Topic: "Yf8=", TopicBase64: true, Partitions: 1, Records: 3},
		{Topic: "b", Partitions: 2, Producers: 1, Records: 17, LastHeard: &age},
	}, d.topicRows(d.now)); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}

	at := func(address string, records, lacks uint64) storeHead {
		s := storeHead{Endpoint: endpoint(d, address), Lacks: lacks}
		if records > 0 {
			last := records - 1
			s.Head = &last
		}
		return s
	}
	b := []partitionRow{
		{Topic: "b", Partition: "GONE", Records: 5, Producer: "gone", Stores: []storeHead{at("S1", 5, 0), at("S2", 0, 5)}},
		{Topic: "b", Partition: "P", Records: 12, Producer: "alive", Stores: []storeHead{at("S1", 10, 0), at("S2", 7, 3)}},
	}
	if diff := cmp.Diff(b, d.partitionRows("b")); diff != "" {
		t.Errorf("partitions of b (-want +got):\n%s", diff)
	}
	a := partitionRow{
		Topic: "Yf8=", TopicBase64: true, Partition: "R09ORf8=", PartitionBase64: true, Records: 3, Producer: "gone",
		Stores: []storeHead{at("S1", 3, 0), at("S2", 3, 0)},
	}
	if diff := cmp.Diff(append([]partitionRow{a}, b...), d.partitionRows("")); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]storeRow{
		{Endpoint: endpoint(d, "S1"), Address: "S1", Made: "go", Partitions: 3, Records: 18, Beacon: 1.2},
		{Endpoint: endpoint(d, "S2"), Address: "S2", Made: "go", Partitions: 2, Records: 10, Lacks: 8, Beacon: 1.2},
	}, d.storeRows(d.now)); diff != "" {
		t.Errorf("stores (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]peerRow{
		{Role: roleProducer, Address: "P", Endpoint: endpoint(d, "P"), Made: "go", Beacon: 1.2},
		{Role: roleReader, Address: "S1", Endpoint: endpoint(d, "S1"), Made: "go", Beacon: 1.2},
		{Role: roleReader, Address: "S2", Endpoint: endpoint(d, "S2"), Made: "go", Beacon: 1.2},
		{Role: roleUnknown, Address: "U", Endpoint: endpoint(d, "U"), Made: "go", Beacon: 1.2},
	}, d.peerRows(d.now)); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}

	// What a store that is gone said, does not count.
	d.present("S2", "P")
	if got := d.partitionRows("b")[1].Stores; len(got) != 1 || got[0].Endpoint != endpoint(d, "S2") {
		t.Errorf("stores of a partition: %+v, want those that are there", got)
	}
}

func TestNews(t *testing.T) {
	d := draws(t, "S1", "P")
	for _, test := range []struct {
		what string
		do   func()
		news bool
	}{
		{"a head", func() { d.hears("S1", directHead, "t", "P", 1) }, true},
		{"the head of a busy partition", func() { d.hears("S1", directHead, "t", "P", 2) }, false},
		{"a producer's head", func() { d.hears("P", head, "t", "P", 3) }, false},
		{"another store's head", func() { d.hears("S2", directHead, "t", "P", 3) }, true},
		{"a partition", func() { d.hears("P", head, "t2", "P", 3) }, true},
		{"the same members", func() { d.meet(slices.Clone(d.members), d.now) }, false},
		{"another member", func() { d.present("S1", "Q") }, true},
		{"a role", func() { d.subscribed([]byte("WS9"), d.now) }, true},
		{"a role again", func() { d.subscribed([]byte("WS9"), d.now) }, false},
		{"a subscription to topics", func() { d.subscribed([]byte("Mhello"), d.now) }, false},
	} {
		d.passes(time.Second)
		before := d.news
		test.do()
		if got := d.news != before; got != test.news {
			t.Errorf("%s: news %v, want %v", test.what, got, test.news)
		}
	}
}

func TestMalformedMessagesAreDropped(t *testing.T) {
	d := draws(t, "P")
	for _, frames := range [][][]byte{
		{}, {nil}, {[]byte("H")}, {[]byte("Ht\x00\x02\x01P\x01t\x00\x00\x00\x00\x00\x00\x00\x00")},
		{[]byte("Ht\x00\x01\x01P\x01u\x00\x00\x00\x00\x00\x00\x00\x00")},
		{[]byte("K\x00\x01\x01t\x00\x00\x00\x00\x00\x00\x00\x00")},
	} {
		if err := d.hear("P", "own", frames, d.now); err == nil {
			t.Errorf("%q: no error", frames)
		}
	}
	if len(d.partitions) > 0 {
		t.Errorf("partitions of malformed messages: %v", d.names())
	}
}
