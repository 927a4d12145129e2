package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	inputs := [][]string{{"a", "", "a"}, {"b", "c"}}
	const whole = `{"topic":"package-log","partition":"P","sequence":0,"content":"b"}
{"topic":"package-log","partition":"Q","sequence":0,"content":"a"}
{"topic":"package-log","partition":"Q","sequence":1,"content":""}
{"topic":"package-log","partition":"P","sequence":1,"content":"Yw==","content_base64":true}
{"topic":"package-log","partition":"Q","sequence":2,"content":"a"}
`
	lines := strings.SplitAfter(whole, "\n")
	for _, test := range []struct {
		name, output, want string
	}{
		{"whole", whole, ""},
		{"nothing", "", "0 partitions came out where 2 went in"},
		{"a partition missing", lines[0] + lines[3], "1 partitions came out where 2 went in"},
		{"a partition too many", whole + strings.Replace(lines[0], `"P"`, `"R"`, 1), "3 partitions came out where 2 went in"},
		{"an end missing", lines[0] + lines[1] + lines[2] + lines[3], "partition Q: 2 records came out where 3 went in; the first 2 are the same"},
		{"a record missing", lines[0] + lines[1] + lines[3] + lines[4], `partition Q: record 2 of topic "package-log" where record 1 of "package-log" should be`},
		{"a record twice", whole + lines[4], `partition Q: record 2 of topic "package-log" where record 3 of "package-log" should be`},
		{"records exchanged", lines[3] + lines[0] + lines[1] + lines[2] + lines[4], `partition P: record 1 of topic "package-log" where record 0 of "package-log" should be`},
		{"another topic", strings.Replace(whole, `"package-log"`, `"package"`, 1), `partition P: record 0 of topic "package" where record 0 of "package-log" should be`},
		{"another content", strings.Replace(whole, `"content":""`, `"content":"x"`, 1), `partition Q: record 1 is "x" and should be ""`},
		{"one input twice", strings.NewReplacer(`"b"`, `"a"`, `"Yw=="`, `""`).Replace(whole), `partition P: 2 records came out where 3 went in; the first 2 are the same`},
	} {
		t.Run(test.name, func(t *testing.T) {
			records, err := parseRecords([]byte(test.output))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := compare(inputs, records); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRecordsMalformed(t *testing.T) {
	for _, output := range []string{"nonsense\n", `{"content":"%","content_base64":true}`, `{"topic":"cut off`} {
		if records, err := parseRecords([]byte(output)); err == nil {
			t.Errorf("%q: got %v, want an error", output, records)
		}
	}
}

func TestLines(t *testing.T) {
	lines := split("a\n\nb\r\nc")
	if diff := cmp.Diff([]string{"a", "", "b", "c"}, lines); diff != "" {
		t.Errorf("split (-want +got):\n%s", diff)
	}
	hands := deal(lines, 2)
	if diff := cmp.Diff([][]string{{"a", "b"}, {"", "c"}}, hands); diff != "" {
		t.Errorf("deal (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("a\n\nb\nc\n", string(join(lines))); diff != "" {
		t.Errorf("join (-want +got):\n%s", diff)
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
