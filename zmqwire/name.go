package zmqwire

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// NewAddress returns an address that no node had before, in the form the C programs use: 32 upper-case hexadecimal
// digits. It is a UUID of version 7, so addresses sort by the time at which they were made: to the millisecond between
// processes whose clocks agree, and always within one process. C programs make UUIDs of version 4, with a 4 as the 13th
// digit, so that people can be told which is which.
//
//	digits   bits
//	 1 - 12  48   milliseconds since 1970
//	13       4    7, the version
//	14 - 16  12   counts the addresses of one process within a millisecond
//	17       2    10, the variant
//	         2    00: what follows is random. The other values are kept for addresses that hold marks, of the role and
//	              the topic of a node; what reads addresses must take those for addresses of unknown marks.
//	18 - 32  60   random
func NewAddress() string {
	milliseconds, count := addressClock.next(time.Now())
	var b [16]byte
	rand.Read(b[8:])
	binary.BigEndian.PutUint64(b[:8], milliseconds<<16|uuidTime<<12|count)
	b[8] = 0x80 | b[8]&0x0f
	return fmt.Sprintf("%X", b)
}

const (
	uuidVersion = 4 // of C programs
	uuidTime    = 7 // the version whose UUIDs begin with the time
)

var addressClock ascending

// ascending gives each address of a process a later time, or a higher count within the same millisecond.
type ascending struct {
	mu           sync.Mutex
	milliseconds uint64
	count        uint64 // 12 bits
}

// next stays where it is while the clock goes back, and borrows from the next millisecond when the count is used up.
func (a *ascending) next(now time.Time) (milliseconds, count uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ms := uint64(max(0, now.UnixMilli())); ms > a.milliseconds {
		a.milliseconds, a.count = ms, 0
	} else if a.count++; a.count == 1<<12 {
		a.milliseconds, a.count = a.milliseconds+1, 0
	}
	return a.milliseconds, a.count
}

// Began returns when an address was made, by the clock of the machine that made it; false when the address does not
// tell. Addresses of Go nodes before version 7 were random: one in some ten thousand of them tells a wrong time.
func Began(address string) (time.Time, bool) {
	if !isUUID(address) || address[12] != '0'+uuidTime {
		return time.Time{}, false
	}
	milliseconds, err := strconv.ParseInt(address[:12], 16, 64)
	began := time.UnixMilli(milliseconds).UTC()
	return began, err == nil && began.Year() >= 2025 && began.Year() < 2100
}

// MadeInC says that an address looks like those that C programs give themselves.
func MadeInC(address string) bool { return isUUID(address) && address[12] == '0'+uuidVersion }

func isUUID(address string) bool {
	return len(address) == 32 && strings.Contains("89AB", address[16:17]) && strings.Trim(address, "0123456789ABCDEF") == ""
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
