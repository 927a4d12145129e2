package zmqwire

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An endpoint is "tcp://host:port". ParseEndpoint reads one to connect to, ParseListenEndpoint one to listen at. Every
// endpoint in the program is read by one of the two: from flags, files, variables, beacons and callers of the library.
// libzmq's own parser must never see another one: it takes port 108666 for 43130.

// Endpoint is where a socket can be reached over TCP, the only transport nodes use among each other, or where it listens.
type Endpoint struct {
	Host string // an IP literal without brackets, or a DNS name; to listen also an interface's name, or *
	Port uint16 // 0, to listen only: any free port
}

// String returns the endpoint as ZeroMQ writes it, IPv6 literals in brackets and port 0 as *.
func (e Endpoint) String() string {
	port := "*"
	if e.Port != 0 {
		port = strconv.Itoa(int(e.Port))
	}
	return "tcp://" + net.JoinHostPort(e.Host, port)
}

// ParseEndpoint reads "tcp://host:port". It refuses, with ErrEndpoint, what must not be connected to on a stranger's
// word: other transports, wildcards, unspecified and multicast addresses, source addresses, and what is neither an IP
// literal nor a DNS name. A DNS name may end in a dot.
func ParseEndpoint(s string) (Endpoint, error) {
	host, port, err := splitEndpoint(s)
	if err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{Host: host}
	if err := checkHost(host); err != nil {
		return Endpoint{}, err
	}
	if e.Port, err = parsePort(port); err != nil {
		return Endpoint{}, err
	}
	if e.String() != s {
		return Endpoint{}, fmt.Errorf("%w: %.300q: want %s", ErrEndpoint, s, e)
	}
	return e, nil
}

// ParseListenEndpoint reads "tcp://host:port" as a socket listens at it. The host is an IP address of this machine, the
// name of one of its interfaces, or * for all; the port is 1 to 65535, or * (as is 0) for a free one. It refuses, with
// ErrEndpoint, what no machine could listen at. Whether this machine can is not looked at.
func ParseListenEndpoint(s string) (Endpoint, error) {
	host, port, err := splitEndpoint(s)
	if err != nil {
		return Endpoint{}, err
	}
	if err := checkListenHost(host); err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{Host: host}
	if port != "*" && port != "0" {
		if e.Port, err = parsePort(port); err != nil {
			return Endpoint{}, fmt.Errorf("%w, or * for a free one", err)
		}
	}
	// Brackets around what is no IPv6 address.
	if want := e.String(); want != s && strings.TrimSuffix(want, "*")+"0" != s {
		return Endpoint{}, fmt.Errorf("%w: %.300q: want %s", ErrEndpoint, s, want)
	}
	return e, nil
}

// splitEndpoint takes off the transport.
func splitEndpoint(s string) (host, port string, err error) {
	rest, ok := strings.CutPrefix(s, "tcp://")
	if !ok {
		return "", "", fmt.Errorf("%w: %.300q does not begin with tcp://", ErrEndpoint, s)
	}
	if host, port, err = net.SplitHostPort(rest); err != nil {
		return "", "", fmt.Errorf("%w: %.300q: want tcp://host:port", ErrEndpoint, s)
	}
	return host, port, nil
}

// checkHost accepts what a node may advertise. A zone names an interface of the machine it was written on, which means
// nothing elsewhere.
func checkHost(host string) error {
	ip, err := netip.ParseAddr(host)
	if err == nil {
		if ip.Unmap().IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
			return fmt.Errorf("%w: host %q cannot be connected to", ErrEndpoint, host)
		}
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	if len(name) == 0 || len(name) > 253 {
		return fmt.Errorf("%w: host of %d bytes", ErrEndpoint, len(name))
	}
	label := ""
	for label = range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return fmt.Errorf("%w: host %.300q is neither an IP address nor a DNS name", ErrEndpoint, host)
		}
	}
	if strings.Trim(label, "0123456789") == "" {
		return fmt.Errorf("%w: host %.300q is not an IP address", ErrEndpoint, host)
	}
	return nil
}

// checkListenHost accepts what a socket may listen at. A zone names an interface of this machine. Names of interfaces
// have the bytes of DNS names, and their last label may be a number (eth0.100).
func checkListenHost(host string) error {
	if host == "*" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsMulticast() || ip.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return fmt.Errorf("%w: host %q cannot be listened at", ErrEndpoint, host)
		}
		return nil
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool { return r != '.' && notInName(r) }) {
		return fmt.Errorf("%w: host %.300q is neither an IP address, nor an interface's name, nor *", ErrEndpoint, host)
	}
	if strings.Trim(host, "0123456789.") == "" {
		return fmt.Errorf("%w: host %.300q is not an IP address", ErrEndpoint, host)
	}
	return nil
}

func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

func parsePort(s string) (uint16, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != s {
		return 0, fmt.Errorf("%w: port %.40q: want 1 to 65535", ErrEndpoint, s)
	}
	return uint16(port), nil
}
