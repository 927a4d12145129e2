package main

import "testing"

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
