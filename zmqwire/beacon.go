package zmqwire

import (
	"fmt"
	"strconv"
)

// Discovery's frames:
//
//	node to tower    "B" | address | advertised host, or empty | port in decimal
//	tower to nodes   "B" | address | "tcp://host:port"
//	tower to nodes   "W"                                        welcome: the connection works
//	subscription     1 (or 0 to end it), then the prefix        one frame, as XPUB sockets see it

// Topics of discovery: what nodes subscribe to at a tower.
const (
	BeaconTopic  = "B"
	WelcomeTopic = "W"
)

// What can be wrong with a frame of discovery.
const (
	ErrBeacon       Fault = "malformed_beacon"
	ErrEndpoint     Fault = "malformed_endpoint"
	ErrSubscription Fault = "malformed_subscription"
)

// Beacon is what a node tells a tower of itself. An empty host lets the tower use the address it sees the node at.
type Beacon struct {
	Address string
	Host    string // an IP literal without brackets, a DNS name, or empty
	Port    uint16
}

// Frames gives the beacon as it is sent.
func (b Beacon) Frames() [][]byte {
	return [][]byte{[]byte(BeaconTopic), []byte(b.Address), []byte(b.Host), []byte(strconv.Itoa(int(b.Port)))}
}

// ParseBeacon reads a node's beacon. Whatever is not exactly what Frames gives is refused with ErrBeacon, so that
// nothing a tower passes on can hurt a C node.
func ParseBeacon(frames [][]byte) (Beacon, error) {
	if len(frames) != 4 || string(frames[0]) != BeaconTopic {
		return Beacon{}, fmt.Errorf("%w: %d frames", ErrBeacon, len(frames))
	}
	b := Beacon{Address: string(frames[1]), Host: string(frames[2])}
	if err := CheckName("address", b.Address); err != nil {
		return Beacon{}, fmt.Errorf("%w: %w", ErrBeacon, err)
	}
	if b.Host != "" {
		if err := checkHost(b.Host); err != nil {
			return Beacon{}, fmt.Errorf("%w: %w", ErrBeacon, err)
		}
	}
	port, err := parsePort(string(frames[3]))
	if err != nil {
		return Beacon{}, fmt.Errorf("%w: %w", ErrBeacon, err)
	}
	b.Port = port
	return b, nil
}

// Announcement is what a tower tells nodes of another node.
type Announcement struct {
	Address  string
	Endpoint Endpoint
}

// Frames gives the announcement as it is sent.
func (a Announcement) Frames() [][]byte {
	return [][]byte{[]byte(BeaconTopic), []byte(a.Address), []byte(a.Endpoint.String())}
}

// ParseAnnouncement reads a tower's announcement, as strictly as ParseBeacon.
func ParseAnnouncement(frames [][]byte) (Announcement, error) {
	if len(frames) != 3 || string(frames[0]) != BeaconTopic {
		return Announcement{}, fmt.Errorf("%w: %d frames", ErrBeacon, len(frames))
	}
	a := Announcement{Address: string(frames[1])}
	if err := CheckName("address", a.Address); err != nil {
		return Announcement{}, fmt.Errorf("%w: %w", ErrBeacon, err)
	}
	var err error
	if a.Endpoint, err = ParseEndpoint(string(frames[2])); err != nil {
		return Announcement{}, fmt.Errorf("%w: %w", ErrBeacon, err)
	}
	return a, nil
}

// Subscription is what a subscriber tells the publishers it is connected to.
type Subscription struct {
	Prefix []byte
	Ends   bool // the subscription ends
}

// Append appends the subscription as one frame.
func (s Subscription) Append(dst []byte) []byte {
	if s.Ends {
		return append(append(dst, 0), s.Prefix...)
	}
	return append(append(dst, 1), s.Prefix...)
}

// ParseSubscription reads one as it arrives at an XPUB socket. Prefix points into the frame.
func ParseSubscription(frames [][]byte) (Subscription, error) {
	if len(frames) != 1 || len(frames[0]) == 0 || frames[0][0] > 1 {
		return Subscription{}, ErrSubscription
	}
	return Subscription{Prefix: frames[0][1:], Ends: frames[0][0] == 0}, nil
}

// MaxControlFrame bounds the frames of discovery. A beacon's largest part is an address of 255 bytes, and a
// subscription of 130,000 bytes was enough to crash libzmq.
const MaxControlFrame = 1024
