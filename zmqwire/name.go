package zmqwire

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// NewAddress returns a random address in the form the C programs use: 32 upper-case hexadecimal digits. Theirs are
// random UUIDs, with a 4 as the 13th digit; ours have any other digit there, so that people can be told which is which.
func NewAddress() string {
	var b [16]byte
	for rand.Read(b[:]); b[6]>>4 == uuidVersion; {
		rand.Read(b[6:7])
	}
	return fmt.Sprintf("%X", b)
}

const uuidVersion = 4

// MadeInC says that an address looks like those that C programs give themselves.
func MadeInC(address string) bool {
	if len(address) != 32 || address[12] != '0'+uuidVersion || !strings.Contains("89AB", address[16:17]) {
		return false
	}
	return strings.Trim(address, "0123456789ABCDEF") == ""
}

// CheckName says why a topic or an address cannot be used: it must be 1 to 255 bytes long and hold no NUL. It need not
// be UTF-8. The error wraps ErrName, or ErrNoName for an empty one, and begins with what.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is empty, the protocol carries 1 to %d bytes: %w", what, MaxName, ErrNoName)
	case len(name) > MaxName:
		return fmt.Errorf("%s is %d bytes long, the protocol carries at most %d: %w", what, len(name), MaxName, ErrName)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%s %q holds a NUL byte: %w", what, name, ErrName)
	}
	return nil
}
