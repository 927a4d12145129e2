package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

func TestDiagnose(t *testing.T) {
	heard := tower.Link{Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 5557}, Connected: true, Repeats: true}
	silent := tower.Link{Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: 6557}}
	deaf := heard
	deaf.Repeats = false
	healthy := func(d *drawn) {
		d.hears("S1", directHead, "t", "P", 10)
		d.hears("S2", directHead, "t", "P", 10)
		d.hears("P", head, "t", "P", 10)
	}
	for _, test := range []struct {
		name    string
		links   []tower.Link
		members []string
		before  func(*drawn)
		after   func(*drawn)
		want    []string // level and what
	}{
		{"healthy", []tower.Link{heard}, []string{"S1", "S2", "P", "C"}, healthy, nil, nil},
		{"no tower", []tower.Link{silent}, nil, nil, nil, []string{"error: no tower is heard at tcp://127.0.0.1:6557"}},
		{"one tower of two", []tower.Link{heard, silent}, []string{"S1", "S2", "P"}, healthy, nil,
			[]string{"warning: no tower is heard at tcp://127.0.0.1:6557"}},
		{"two towers on one port", []tower.Link{deaf}, []string{"S1", "S2", "P"}, healthy, nil, []string{
			"error: the tower at tcp://127.0.0.1:5557 does not announce nodes that announce themselves: it does not listen at --sub"}},
		{"no store", []tower.Link{heard}, []string{"C"}, nil, nil,
			[]string{"error: no store is there: no record is kept, and producers wait for their ACKs"}},
		{"no store for a producer", []tower.Link{heard}, []string{"P"},
			func(d *drawn) { d.hears("P", head, "t", "P", 10) },
			func(d *drawn) { d.hears("P", head, "t", "P", 15) }, []string{
				"error: no store is there: no record is kept, and producers wait for their ACKs",
				"error: the producer of t at $P has 15 unacked records, 5 more than a moment ago"}},
		{"one store", []tower.Link{heard}, []string{"S1"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S1", directHead, "t", "Q", 10)
		}, nil, []string{"warning: 2 partitions are held by one store only, $S1"}},
		{"an empty store", []tower.Link{heard}, []string{"S1"}, nil, nil, nil},
		{"one store of two", []tower.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
		}, nil, []string{"warning: 1 partition is held by one store only, $S1"}},
		{"stores differ", []tower.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 9)
			d.hears("S1", directHead, "t", "Q", 10)
			d.hears("S2", directHead, "t", "Q", 5)
		}, nil, []string{"warning: stores differ: $S2 lacks 6 records of 2 partitions that others hold"}},
		{"a third store lacks all", []tower.Link{heard}, []string{"S1", "S2", "S3"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 10)
		}, nil, []string{"warning: stores differ: $S3 lacks 10 records of 1 partition that others hold"}},
		{"stores differ for a moment", []tower.Link{heard}, []string{"S1", "S2"}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 10)
			d.hears("S2", directHead, "t", "P", 9)
		}, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 20)
			d.hears("S2", directHead, "t", "P", 10)
		}, nil},
		{"a busy producer", []tower.Link{heard}, []string{"S1", "S2", "P"}, healthy, func(d *drawn) {
			d.hears("S1", directHead, "t", "P", 15)
			d.hears("S2", directHead, "t", "P", 10)
			d.hears("P", head, "t", "P", 20)
		}, nil},
		{"a producer that is not acked", []tower.Link{heard}, []string{"S1", "S2", "P"}, func(d *drawn) {
			healthy(d)
			d.hears("P", head, "t", "P", 11)
		}, nil, []string{"error: the producer of t at $P has 1 unacked record"}},
		{"a producer that is acked only", []tower.Link{heard}, []string{"S1", "S2", "P"}, func(d *drawn) {
			healthy(d)
			d.hears("P", head, "t", "P", 11)
		}, func(d *drawn) { d.hears("W", ack, "t", "P", 11) }, nil},
		{"senders", []tower.Link{heard}, []string{"S1", "S2", "P", "C"}, healthy, func(d *drawn) {
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
			got := diagnose(test.links, before, d.picture)
			var whats []string
			status := "ok"
			for _, f := range got.Findings {
				whats = append(whats, string(f.Level)+": "+f.What)
				if f.Do == "" {
					t.Errorf("%s: what to do?", f.What)
				}
				if status != "error" {
					status = string(f.Level)
				}
			}
			for i, what := range test.want {
				for _, address := range []string{"S1", "S2", "S3", "P", "C"} {
					what = strings.ReplaceAll(what, "$"+address, endpoint(d, address))
				}
				test.want[i] = what
			}
			if diff := cmp.Diff(test.want, whats); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if got.Status != status {
				t.Errorf("status %s, want %s", got.Status, status)
			}
		})
	}
}
