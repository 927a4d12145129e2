package survey

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

// drawn is a picture under test. Its members are named by role: S1 and S2 are stores, W is a store's writer, P and Q are
// producers, C is a consumer, O only asks, X compares, U has not subscribed to anything.
type drawn struct {
	*picture
	t   *testing.T
	now time.Time
}

func draws(t *testing.T, members ...string) *drawn {
	d := &drawn{newPicture(), t, time.Unix(1_000_000, 0)}
	for i, address := range members {
		for _, prefix := range map[byte][]string{
			'S': {"F", "G", "W" + address},
			'W': {"D" + address, "E" + address, "M", "H"},
			'P': {"K" + address, "F" + address},
			'Q': {"K" + address, "F" + address},
			'C': {"D" + address, "E" + address, "L" + address, "Mhello", "Hhello"},
			'O': {"E" + address},
			'X': {"D" + address, "E" + address, "G" + address},
		}[address[0]] {
			d.subscribed([]byte(prefix), i, d.now)
		}
	}
	d.present(members...)
	return d
}

// present are the members from now on.
func (d *drawn) present(members ...string) {
	slices.Sort(members)
	var all []node.Member
	for _, address := range members {
		port := uint16(len(address)) + uint16(address[0])*10 + uint16(address[len(address)-1])
		e := zmqwire.Endpoint{Host: "127.0.0.1", Port: port}
		all = append(all, node.Member{Address: address, Endpoint: e, At: e.String(), Since: d.now, Heard: d.now})
	}
	d.meet(all, d.now)
}

// hears takes what the member says of so many records of a partition.
func (d *drawn) hears(from string, kind zmqwire.Kind, topic, partition string, records uint64) {
	d.t.Helper()
	m := zmqwire.Message{
		Kind: kind, Routing: []byte("own"), Address: []byte(partition), Subject: []byte(topic), Sequence: records - 1,
	}
	switch kind {
	case zmqwire.Head:
		m.Routing = m.Subject
	case zmqwire.Ack:
		m.Routing, m.Address = m.Address, nil
	}
	frame, err := m.Append(nil)
	if err == nil {
		err = d.receive(from, "own", [][]byte{frame}, d.now)
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
	d := draws(t, "S1", "S2", "W", "P", "C", "O", "U", "X")
	got := make(map[string]Role)
	for _, m := range d.members {
		got[m.Address] = d.role(m.Address)
	}
	want := map[string]Role{
		"S1": Store, "S2": Store, "W": StoreWriter, "P": Producer, "C": Consumer, "O": Observer, "U": Unknown, "X": Observer,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func endpoint(d *drawn, address string) string {
	m, _ := d.member(address)
	return hostPort(m)
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	d := draws(t, "S1", "S2", "P", "C", "U")
	began := d.now
	d.hears("P", head, "b", "P", 10)
	d.hears("S1", directHead, "b", "P", 10)
	d.hears("S2", directHead, "b", "P", 7)
	d.hears("S1", directHead, "b", "GONE", 5)
	d.hears("S1", directHead, "a\xff", "GONE\xff", 3)
	d.hears("S2", directHead, "a\xff", "GONE\xff", 3)
	d.expect()
	d.hears("W", ack, "b", "P", 12) // since the stores were asked: they do not lack it
	d.hears("P", head, "b", "P", 13)
	d.passes(time.Second)

	at := func(address string, records, lacks uint64) Head {
		return Head{Endpoint: endpoint(d, address), Records: records, Lacks: lacks, Silent: address == "S2"}
	}
	want := &Snapshot{
		At: d.now,
		Topics: []Topic{
			{Name: "a\xff", Partitions: 1, Records: 3},
			{Name: "b", Partitions: 2, Producers: 1, Records: 18, Unacked: 1, LastHead: began},
		},
		Partitions: []Partition{
			{Topic: "a\xff", Address: "GONE\xff", Records: 3, Heads: []Head{at("S1", 3, 0), at("S2", 3, 0)}},
			{Topic: "b", Address: "GONE", Records: 5, Heads: []Head{at("S1", 5, 0), at("S2", 0, 5)}},
			{Topic: "b", Address: "P", Records: 13, Unacked: 1, Alive: true, Heads: []Head{at("S1", 10, 0), at("S2", 7, 3)}},
		},
		Stores: []StoreState{
			{Address: "S1", Endpoint: endpoint(d, "S1"), Partitions: 3, Records: 18, LastBeacon: began},
			{Address: "S2", Endpoint: endpoint(d, "S2"), Partitions: 2, Records: 10, Lacks: 8, LastBeacon: began, Silent: true},
		},
		Peers: []Peer{
			{Role: Consumer, Address: "C", Endpoint: endpoint(d, "C"), Topics: []string{"hello"}, LastBeacon: began},
			{Role: Producer, Address: "P", Endpoint: endpoint(d, "P"), Topics: []string{"b"}, LastBeacon: began},
			{Role: Store, Address: "S1", Endpoint: endpoint(d, "S1"), LastBeacon: began},
			{Role: Store, Address: "S2", Endpoint: endpoint(d, "S2"), LastBeacon: began},
			{Role: Unknown, Address: "U", Endpoint: endpoint(d, "U"), LastBeacon: began},
		},
	}
	if diff := cmp.Diff(want, d.snapshot(map[string]bool{"S2": true}, d.now)); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}

	// What a store that is gone said, does not count.
	d.present("S2", "P")
	if got := d.snapshot(nil, d.now).Partitions[2].Heads; len(got) != 1 || got[0].Endpoint != endpoint(d, "S2") {
		t.Errorf("heads of a partition: %+v, want those of stores that are there", got)
	}
}

// Heads are what anybody claims. Their sums end at the largest number.
func TestSumsDoNotOverflow(t *testing.T) {
	t.Parallel()
	d := draws(t, "S1")
	const most = math.MaxUint64
	d.hears("S1", directHead, "t", "P", 1<<63)
	d.hears("S1", directHead, "t", "Q", 1<<63)
	d.hears("S1", directHead, "t", "R", 0) // 2^64-1 is its sequence
	d.hears("P", head, "t", "P", 0)
	d.expect()
	s := d.snapshot(nil, d.now)
	if s.Topics[0].Records != most || s.Stores[0].Records != most || s.Partitions[2].Records != most ||
		s.Topics[0].Unacked != most-1<<63 {
		t.Errorf("%+v, want sums of %d", s, uint64(most))
	}
}

// A rate is of records that were published while somebody looked. Stores that come back publish nothing.
func TestRates(t *testing.T) {
	t.Parallel()
	d := draws(t, "S1", "P")
	rate := func() float64 {
		t.Helper()
		d.measure(d.now)
		s := d.snapshot(nil, d.now)
		if len(s.Topics) == 0 {
			return 0
		}
		return s.Topics[0].Rate
	}
	expect := func(what string, want float64) {
		t.Helper()
		if got := rate(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v records/s, want %v", what, got, want)
		}
	}
	d.hears("S1", directHead, "t", "OLD", 70_000)
	d.hears("P", head, "t", "P", 100)
	expect("at first", 0)
	for i := range 10 {
		d.passes(time.Second)
		d.hears("S1", directHead, "t", "OLD", 70_000)
		d.hears("P", head, "t", "P", uint64(100+(i+1)*105))
		expect("a steady producer", 105)
	}
	d.complete = d.now

	// Another store comes with records and partitions that nobody had.
	d.passes(time.Second)
	d.subscribed([]byte("WS2"), 98, d.now)
	d.present("S1", "S2", "P")
	d.hears("P", head, "t", "P", 1255)
	d.hears("S2", directHead, "t", "OLD", 76_000)
	d.hears("S2", directHead, "t", "OLDER", 50_000)
	expect("another store", 105)

	// No store, no tower, nothing known for a minute; then all of it again.
	d.present()
	for range 60 {
		d.passes(time.Second)
		if rate() > 105 {
			t.Fatal("a rate grows though nothing is known")
		}
	}
	expect("nothing known", 0)
	d.present("S1", "S2", "P")
	d.hears("S2", directHead, "t", "OLD", 76_000)
	d.hears("P", head, "t", "P", 1255+60*105)
	expect("the mean of the minute", 105)
	if got := d.snapshot(nil, d.now).Topics[0].Records; got != 76_000+50_000+1255+60*105 {
		t.Errorf("%d records", got)
	}

	// A producer that comes and goes between two looks: its store was there, and had none of it.
	d.passes(time.Second)
	d.complete = d.now
	d.passes(2 * time.Second)
	d.hears("S1", directHead, "new", "Q", 1000)
	d.measure(d.now)
	if got := d.snapshot(nil, d.now).Topics[0]; got.Name != "new" || got.Rate != 500 {
		t.Errorf("a short producer: %+v, want 500 records/s", got)
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
		{"a role", func() { d.subscribed([]byte("WS9"), 99, d.now) }, true},
		{"a role again", func() { d.subscribed([]byte("WS9"), 99, d.now) }, false},
		{"a subscription to topics", func() { d.subscribed([]byte("Mhello"), 99, d.now) }, false},
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
		if err := d.receive("P", "own", frames, d.now); err == nil {
			t.Errorf("%q: no error", frames)
		}
	}
	if len(d.partitions) > 0 {
		t.Errorf("partitions of malformed messages: %v", d.names())
	}
}
