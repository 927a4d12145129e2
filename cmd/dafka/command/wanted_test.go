package command

import (
	"testing"

	"github.com/godafka/dafka/consumer"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"log", "log", true}, {"log", "logs", false}, {"log", "", false}, {"", "", true}, {"", "log", false},
		{"*", "", true}, {"*", "log\x00\xff", true}, {"**", "log", true},
		{"log.*", "log.", true}, {"log.*", "log.a/b", true}, {"log.*", "log", false}, {"*.log", "a.log", true},
		{"*.log", "a.log.b", false}, {"a*a", "a", false}, {"a*a", "aa", true}, {"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false}, {"a*b*b", "ab", false}, {"*ab*ab*", "abab", true}, {"*ab*ab*", "abaab", true},
		{"?", "x", false}, {"[x]", "x", false},
	} {
		if got := matches(test.pattern, test.text); got != test.want {
			t.Errorf("%q, %q: %v, want %v", test.pattern, test.text, got, test.want)
		}
	}
}

func TestBeginAt(t *testing.T) {
	const head = 99
	for where, want := range map[string]uint64{
		"0": 0, "7": 7, "18446744073709551615": 1<<64 - 1, "-1": 99, "-10": 90, "-100": 0, "-1000": 0, "-0": 100,
	} {
		var config consumer.Config
		if err := new(wanted).beginAt(where, &config); err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if got := config.Start("topic", "partition", head); got != want {
			t.Errorf("%s: begins with %d, want %d", where, got, want)
		}
	}
	for where, want := range map[string]consumer.Reset{"end": consumer.Latest, "start": consumer.Earliest} {
		var config consumer.Config
		if err := new(wanted).beginAt(where, &config); err != nil || config.Reset != want || config.Start != nil {
			t.Errorf("%q: %+v, error %v", where, config, err)
		}
	}
	for _, where := range []string{"", "begin", "+1", "1.5", "--1", "-", "18446744073709551616"} {
		if err := new(wanted).beginAt(where, &consumer.Config{}); err == nil {
			t.Errorf("%q: no error", where)
		}
	}
}
