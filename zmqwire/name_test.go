package zmqwire

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
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
	form := regexp.MustCompile(`^[0-9A-F]{12}7[0-9A-F]{3}8[0-9A-F]{15}$`)
	begin := time.Now().Truncate(time.Millisecond)
	const most = 10_000 // more than a millisecond has
	last, random := "", make(map[string]bool)
	for range most {
		address := NewAddress()
		began, ok := Began(address)
		switch {
		case !form.MatchString(address):
			t.Fatalf("address %q", address)
		case address <= last:
			t.Fatalf("address %q after %q", address, last)
		case !ok || began.Before(begin) || began.After(time.Now().Add(time.Second)):
			t.Fatalf("address %q began at %v, %v; it is %v", address, began, ok, time.Now())
		}
		last = address
		random[address[17:]] = true
	}
	if len(random) < most {
		t.Errorf("%d different endings of %d addresses", len(random), most)
	}
}

// Addresses ascend when the clock goes back, and when there are many within a millisecond.
func TestAddressesAscend(t *testing.T) {
	var a ascending
	now := time.UnixMilli(1_800_000_000_000)
	last := uint64(0)
	for i := range 20_000 {
		at := now
		if i%3 == 0 {
			at = now.Add(-time.Hour)
		}
		milliseconds, count := a.next(at)
		if next := milliseconds<<12 | count; count >= 1<<12 || next <= last {
			t.Fatalf("number %d: %d, %d", i, milliseconds, count)
		} else {
			last = next
		}
	}
}

func TestBegan(t *testing.T) {
	for address, want := range map[string]string{
		"019ABCDEF01274428000000000000000": "2025-11-25T21:15:18.418Z",
		"019ABCDEF0127442B3620000000000FF": "2025-11-25T21:15:18.418Z",
		"019ABCDEF01244428000000000000000": "", // made in C
		"019ABCDEF0127442C000000000000000": "", // another variant
		"F19ABCDEF01274428000000000000000": "", // a time that is not to be expected
		"019abcdef01274428000000000000000": "",
		"AN ADDRESS":                       "",
		"":                                 "",
	} {
		got := ""
		if began, ok := Began(address); ok {
			got = began.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q began at %q, want %q", address, got, want)
		}
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
