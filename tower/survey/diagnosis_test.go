package survey

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

func TestDiagnose(t *testing.T) {
	heard := node.Link{Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 5557}, Connected: true, Repeats: true}
	silent := node.Link{Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 6557}}
	deaf := heard
	deaf.Repeats = false
	healthy := func(d *drawn) {
		d.hears("S1", directHead, "t", "P", 10)
		d.hears("S2", directHead, "t", "P", 10)
		d.hears("P", head, "t", "P", 10)
	}
	for _, test := range []struct {
		name    string
		links   []node.Link
		members []string
		before  func(*drawn)
		after   func(*drawn)
		want    []string // level and what
	}{
		{"healthy", []node.Link{heard}, []string{"S1", "S2", "P", "C"}, healthy, nil, nil},
		{"no tower", []node.Link{silent}, nil, nil, nil, []string{"error: no tower is heard at tcp://127.0.0.1:6557"}},
		{"one tower of two", []node.Link{heard, silent}, []string{"S1", "S2", "P"}, healthy, nil,
			[]string{"warning: no tower is heard at tcp://127.0.0.1:6557"}},
		{"two towers on one port", []node.Link{deaf}, []string{"S1", "S2", "P"}, healthy, nil, []string{
			"error: the tower at tcp://127.0.0.1:5557 does not announce nodes that announce themselves: it does not listen at --sub"}},
		{"no store", []node.Link{heard}, []string{"C"}, nil, nil,
			[]string{"error: no store is there: no record is kept, and producers wait for their ACKs"}},
		{"no store for a producer", []node.Link{heard}, []string{"P"},
			func(d *drawn) { d.hears("P", head, "t", "P", 10) },
			func(d *drawn) { d.hears("P", head, "t", "P", 15) }, []string{
				"error: no store is there: no record is kept, and producers wait for their ACKs",
				"error: the producer of t at $P has 15 unacked records, 5 more than a moment ago"}},
		{"one store", []node.Link{heard}, []string{"S1"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S1", directHead, "t", "Q", 10)
		}, nil, []string{"note: 2 partitions are held by one store only, $S1"}},
		{"an empty store", []node.Link{heard}, []string{"S1"}, nil, nil, nil},
		{"one store of two", []node.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
		}, nil, []string{"warning: 1 partition is held by one store only, $S1"}},
		{"stores differ", []node.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 9)
			d.hears("S1", directHead, "t", "Q", 10)
			d.hears("S2", directHead, "t", "Q", 5)
		}, nil, []string{"warning: stores differ: $S2 lacks 6 records of 2 partitions that others hold"}},
		{"a third store lacks all", []node.Link{heard}, []string{"S1", "S2", "S3"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 10)
		}, nil, []string{"warning: stores differ: $S3 lacks 10 records of 1 partition that others hold"}},
		{"stores differ for a moment", []node.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 9)
		}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 20)
			d.hears("S2", directHead, "t", "P", 10)
		}, nil},
		{"a busy producer", []node.Link{heard}, []string{"S1", "S2", "P"}, healthy, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 15)
			d.hears("S2", directHead, "t", "P", 10)
			d.hears("P", head, "t", "P", 20)
		}, nil},
		{"a producer that is not acked", []node.Link{heard}, []string{"S1", "S2", "P"}, func(d *drawn) {
			healthy(d)
			d.hears("P", head, "t", "P", 11)
		}, nil, []string{"error: the producer of t at $P has 1 unacked record"}},
		{"a producer that is acked only", []node.Link{heard}, []string{"S1", "S2", "P"}, func(d *drawn) {
			healthy(d)
			d.hears("P", head, "t", "P", 11)
		}, func(d *drawn) { d.hears("W", ack, "t", "P", 11) }, nil},
		{"senders", []node.Link{heard}, []string{"S1", "S2", "P", "C"}, healthy, func(d *drawn) {
			d.blame("P", zmqwire.ErrVersion)
			d.blame("C", zmqwire.ErrTruncated)
			d.blame("C", zmqwire.ErrTruncated)
			d.blame("C", zmqwire.ErrKind)
			d.blame("X\n", ErrOldAck)
		}, []string{
			"warning: consumer C at $C sends malformed messages: message ends within a field (2), unknown kind of message (1)",
			"warning: producer P at $P speaks another version of the protocol",
			`warning: "X\n" speaks another version of the protocol`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := draws(t, test.members...)
			if test.before != nil {
				test.before(d)
			}
			before := d.clone()
			if test.after != nil {
				test.after(d)
			}
			e := &evidence{links: test.links, node: tower.NodeConfig{Interval: time.Second}, before: before, after: d.picture, now: d.now}
			whats, status := findings(t, diagnose(e))
			for i, what := range test.want {
				for _, address := range []string{"S1", "S2", "S3", "P", "C"} {
					what = strings.ReplaceAll(what, "$"+address, endpoint(d, address))
				}
				test.want[i] = what
			}
			if diff := cmp.Diff(test.want, whats); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			want := "ok"
			if len(test.want) > 0 && !strings.HasPrefix(test.want[0], "note") {
				want, _, _ = strings.Cut(test.want[0], ":")
			}
			if status != want {
				t.Errorf("status %s, want %s", status, want)
			}
		})
	}
}

// findings are what is wrong by a diagnosis, each with its level.
func findings(t *testing.T, d Diagnosis) (whats []string, status string) {
	t.Helper()
	for _, f := range d.Findings {
		whats = append(whats, string(f.Level)+": "+f.What)
		if f.Do == "" {
			t.Errorf("%s: what to do?", f.What)
		}
	}
	return whats, d.Status
}

// What listens where nodes are said to be, how many stores are expected, and who fell silent.
func TestDiagnoseEvidence(t *testing.T) {
	t.Parallel()
	pub, sub := zmqwire.Endpoint{Host: "127.0.0.1", Port: 5557}, zmqwire.Endpoint{Host: "127.0.0.1", Port: 5556}
	refused := probed{err: errors.New("connection refused")}
	link := func(e *evidence, connected, repeats bool) {
		e.links = []node.Link{{Endpoint: pub, Connected: connected, Repeats: repeats, Own: zmqwire.Endpoint{Host: "127.0.0.9", Port: 9}}}
	}
	for _, test := range []struct {
		name    string
		members []string
		change  func(*drawn, *evidence)
		want    []string
	}{
		{"healthy", []string{"S1", "S2", "P"}, func(*drawn, *evidence) {}, nil},
		{"one store, expected", []string{"S1", "P"}, func(_ *drawn, e *evidence) { e.stores = 1 }, nil},
		{"one store, not known whether it is meant", []string{"S1", "P"}, func(*drawn, *evidence) {},
			[]string{"note: 1 partition is held by one store only, $S1"}},
		{"two of three stores", []string{"S1", "S2", "P"}, func(_ *drawn, e *evidence) { e.stores = 3 },
			[]string{"error: 2 stores are there, 3 should be"}},
		{"a store that fell silent", []string{"S1", "S2", "P"}, func(d *drawn, e *evidence) {
			d.passes(3 * time.Second)
			e.now = d.now
			for i := range d.members {
				if d.members[i].Address != "S2" {
					d.members[i].Heard = d.now
				}
			}
			e.probed[endpoint(d, "S2")] = refused
		}, []string{"warning: the store at $S2 has just left: it was last heard 3 s ago"}},
		{"a store that left meanwhile", []string{"S1", "S2", "P"}, func(d *drawn, e *evidence) { d.present("S1", "P") },
			[]string{"warning: the store at $S2 has just left", "note: 1 partition is held by one store only, $S1"}},
		{"a consumer that left meanwhile", []string{"S1", "S2", "P", "C"}, func(d *drawn, e *evidence) { d.present("S1", "S2", "P") }, nil},
		{"a store that stands still", []string{"S1", "S2", "P"}, func(d *drawn, e *evidence) {
			e.missing = []Missing{{Reason: Silent, Endpoint: endpoint(d, "S2")}}
		}, []string{"error: the store at $S2 does not answer"}},
		{"unreachable nodes", []string{"S1", "S2", "Q", "O"}, func(d *drawn, e *evidence) {
			e.probed[endpoint(d, "Q")] = refused
			e.probed[endpoint(d, "S2")] = probed{socket: "REP"}
			e.probed[endpoint(d, "O")] = probed{err: errors.New("the name x does not resolve: no such host")}
		}, []string{
			"error: the store at $S2 is not there: another program listens at this place",
			"error: the producer at $Q cannot be reached: connection refused",
			"warning: the observer at $O cannot be reached: the name x does not resolve: no such host",
		}},
		{"a node that does not connect", []string{"S1", "S2", "P", "U"}, func(*drawn, *evidence) {},
			[]string{"warning: 1 node does not connect to this command at tcp://127.0.0.9:9: $U"}},
		{"nobody connects", []string{"U", "UU"}, func(d *drawn, e *evidence) { e.host = &net.DNSError{Name: "x", Err: "no such host"} }, []string{
			"error: no node connects to this command at tcp://127.0.0.9:9: what they are and what they hold cannot be seen",
			"warning: this command gives the others a name to reach it by, and the name x does not resolve: no such host"}},
		{"--pub and --sub swapped", nil, func(_ *drawn, e *evidence) {
			link(e, false, false)
			e.probed["127.0.0.1:5557"], e.probed["127.0.0.1:5556"] = probed{socket: "XSUB"}, probed{socket: "XPUB"}
		}, []string{"error: no tower is heard at tcp://127.0.0.1:5557: it is what --sub is for",
			"error: no tower is heard at tcp://127.0.0.1:5556: it is what --pub is for"}},
		{"a node for a tower, and nothing", []string{"S1", "S2"}, func(_ *drawn, e *evidence) {
			link(e, true, false)
			e.probed["127.0.0.1:5556"] = refused
		}, []string{"error: nothing listens at tcp://127.0.0.1:5556, where nodes announce themselves: connection refused"}},
		{"no ZeroMQ", nil, func(_ *drawn, e *evidence) {
			link(e, false, false)
			e.probed["127.0.0.1:5557"] = probed{err: errNotZeroMQ}
		}, []string{"error: no tower is heard at tcp://127.0.0.1:5557: what listens there does not speak ZeroMQ"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := draws(t, test.members...)
			at := d.clone()
			for _, s := range at.stores() {
				d.hears(s.Address, directHead, "t", "P", 10)
			}
			for i, what := range test.want {
				for _, address := range test.members {
					what = strings.ReplaceAll(what, "$"+address, endpoint(d, address))
				}
				test.want[i] = what
			}
			e := &evidence{
				node:   tower.NodeConfig{Pub: []string{pub.String()}, Sub: []string{sub.String()}, Interval: time.Second},
				probed: map[string]probed{"127.0.0.1:5556": {socket: "XSUB"}}, before: d.clone(), now: d.now, after: d.picture,
			}
			link(e, true, true)
			test.change(d, e)
			got, _ := findings(t, diagnose(e))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
