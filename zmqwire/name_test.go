package zmqwire

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, test := range []struct {
		name  string
		says  string // how the error begins, empty for none
		fault error
	}{
		{"t", "", nil},
		{"a topic", "", nil},
		{"\xff\xfe", "", nil},
		{strings.Repeat("n", 255), "", nil},
		{"", "topic is empty", ErrNoName},
		{strings.Repeat("n", 256), "topic is 256 bytes long", ErrName},
		{"a\x00b", `topic "a\x00b" holds a NUL`, ErrName},
		{"\x00", `topic "\x00" holds a NUL`, ErrName},
	} {
		err := CheckName("topic", test.name)
		if !errors.Is(err, test.fault) || err != nil && !strings.HasPrefix(err.Error(), test.says) {
			t.Errorf("%q: error %v, want %q, wrapping %v", test.name, err, test.says, test.fault)
		}
	}
}

func TestNewAddress(t *testing.T) {
	form := regexp.MustCompile(`^[0-9A-F]{32}$`)
	seen := make(map[string]bool)
	for range 100 {
		address := NewAddress()
		if !form.MatchString(address) || seen[address] {
			t.Fatalf("address %q, seen before: %v", address, seen[address])
		}
		seen[address] = true
	}
}

func TestMadeInC(t *testing.T) {
	for address, want := range map[string]bool{
		"8A8ADDD669C44428A3620000000000FF":    true,
		"8A8ADDD669C43428A3620000000000FF":    false, // another version of UUID
		"8A8ADDD669C44428C3620000000000FF":    false, // and another variant
		"8a8addd669c44428a3620000000000ff":    false,
		"8A8ADDD669C44428A3620000000000F":     false,
		"8A8ADDD669C44428A3620000000000FF0":   false,
		"8A8ADDD669C44428A3620000000000F\xff": false,
		"":                                    false,
	} {
		if got := MadeInC(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
	for range 1000 {
		if address := NewAddress(); MadeInC(address) {
			t.Fatalf("%s looks like one from C", address)
		}
	}
}
