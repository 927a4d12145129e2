package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShow(t *testing.T) {
	d := draws(t, "S1")
	d.hears("S1", directHead, "b\n", "P", 10)
	d.expect()
	v := partitionsView(d.picture, "", d.now)
	for _, test := range []struct{ format, want string }{
		{"text", "TOPIC  PARTITION  RECORDS  PRODUCER  HEADS            LACKING\n" +
			`"b\n"  P          10       gone      127.0.0.1:881=9  -` + "\n"},
		{"json", `[{"topic":"b\n","partition":"P","records":10,"producer":"gone","stores":[{"endpoint":"127.0.0.1:881","head":9,"lacks":0}]}]` + "\n"},
		{"yaml", "- topic: |\n    b\n  partition: P\n  records: 10\n  producer: gone\n  stores:\n  - endpoint: 127.0.0.1:881\n    head: 9\n    lacks: 0\n"},
	} {
		var out bytes.Buffer
		if err := show(&out, test.format, false, v); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(test.want, "127.0.0.1:881", endpoint(d, "S1"))
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.format, diff)
		}
	}
	var out bytes.Buffer
	for _, look := range []func(*picture, string, time.Time) view{topicsView, partitionsView, peersView, storesView} {
		if err := show(&out, "json", true, look(newPicture(), "", d.now)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff("[]\n[]\n[]\n[]\n", out.String()); diff != "" {
		t.Errorf("an empty cluster (-want +got):\n%s", diff)
	}
}
