package command

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/survey"
)

func TestShow(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	began := time.Date(2026, 11, 25, 10, 11, 12, 345_000_000, time.UTC)
	s := &survey.Snapshot{
		At:     now,
		Topics: []survey.Topic{{Name: "a\xff", Partitions: 1, Records: 3}, {Name: "b\n", Partitions: 2, Records: 17, LastHead: now.Add(-1234 * time.Millisecond)}},
		Partitions: []survey.Partition{
			{Topic: "a\xff", Address: "Q\xff", Records: 3, Heads: []survey.Head{{Endpoint: "h:1", Lacks: 3}, {Endpoint: "h:2", Records: 3, Silent: true}}},
			{Topic: "b\n", Address: "P", Began: began, Records: 10, Alive: true, Heads: []survey.Head{{Endpoint: "h:1", Records: 10}, {Endpoint: "h:2"}}},
		},
	}
	for _, test := range []struct {
		v            terminal.View
		format, want string
	}{
		{partitionsView(s, "b\n"), "text", "TOPIC  PARTITION  BEGAN                RECORDS  PRODUCER  HEADS            LACKING\n" +
			`"b\n"  P          ` + began.Local().Format(time.DateTime) + `  10       alive     h:1=9, h:2=none  -` + "\n"},
		{partitionsView(s, "a\xff"), "text", "TOPIC    PARTITION  BEGAN  RECORDS  PRODUCER  HEADS             LACKING\n" +
			`"a\xff"  "Q\xff"    -      3        gone      h:1=none, h:2=2?  h:1 lacks 3` + "\n"},
		{partitionsView(s, "b\n"), "json", `[{"topic":"b\n","partition":"P","began":"2026-11-25T10:11:12.345Z","records":10,"producer":"alive","stores":[` +
			`{"endpoint":"h:1","head":9,"lacks":0},{"endpoint":"h:2","head":null,"lacks":0}]}]` + "\n"},
		{partitionsView(s, ""), "yaml", `- topic: "Yf8="
  topic_base64: true
  partition: "Uf8="
  partition_base64: true
  began: null
  records: 3
  producer: gone
  stores:
  - endpoint: "h:1"
    head: null
    lacks: 3
  - endpoint: "h:2"
    head: 2
    lacks: 0
    silent: true
- topic: "b\n"
  partition: P
  began: "2026-11-25T10:11:12.345Z"
  records: 10
  producer: alive
  stores:
  - endpoint: "h:1"
    head: 9
    lacks: 0
  - endpoint: "h:2"
    head: null
    lacks: 0
`},
		{topicsView(s, ""), "json", `[{"topic":"Yf8=","topic_base64":true,"partitions":1,"producers":0,"records":3,"last_heard_seconds":null},` +
			`{"topic":"b\n","partitions":2,"producers":0,"records":17,"last_heard_seconds":1.2}]` + "\n"},
		{partitionsView(&survey.Snapshot{Partitions: []survey.Partition{{}}}, ""), "yaml",
			"- topic: \"\"\n  partition: \"\"\n  began: null\n  records: 0\n  producer: gone\n  stores: []\n"},
	} {
		var out bytes.Buffer
		if err := terminal.Show(&out, test.format, false, test.v); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.format, diff)
		}
	}
	var out bytes.Buffer
	for _, look := range []func(*survey.Snapshot, string) terminal.View{topicsView, partitionsView, peersView, storesView} {
		if err := terminal.Show(&out, "json", true, look(&survey.Snapshot{}, "")); err != nil {
			t.Fatal(err)
		}
	}
	if err := terminal.Show(&out, "yaml", true, topicsView(&survey.Snapshot{}, "")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[]\n[]\n[]\n[]\n---\n[]\n", out.String()); diff != "" {
		t.Errorf("an empty cluster (-want +got):\n%s", diff)
	}
}
