package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/godafka/dafka/zmqwire"
)

// towerEndpoints are those of towers at "HOST[:PORT]", a list with commas: nodes announce themselves at PORT and learn of
// each other at the next one.
func towerEndpoints(text string) (pub, sub []string, err error) {
	for _, where := range splitList(text) {
		host, port := where, ""
		if _, err := netip.ParseAddr(unbracket(where)); err != nil {
			host, port, _ = cutLast(where, ":")
		}
		if port == "" && host == where {
			port = "5556"
		}
		endpoint, err := zmqwire.ParseEndpoint("tcp://" + bracket(host) + ":" + port)
		if err == nil && endpoint.Port == math.MaxUint16 {
			err = errors.New("port 65535: a tower has this port and the next: want 1 to 65534")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %s; want HOST or HOST:PORT, such as 10.0.0.1 or tower.example.org:5556", where, reason(err))
		}
		sub = append(sub, endpoint.String())
		endpoint.Port++
		pub = append(pub, endpoint.String())
	}
	return pub, sub, nil
}

// bindEndpoint makes of "[HOST:]PORT" or "HOST" the endpoint to bind. HOST is an IP address, an interface's name or *;
// PORT is a number, or * (as is 0) for a free one.
func bindEndpoint(where string) (string, error) {
	host, port := where, "*"
	if _, err := netip.ParseAddr(unbracket(where)); err != nil {
		if i := strings.LastIndexByte(where, ':'); i >= 0 {
			host, port = where[:i], where[i+1:]
		} else if where != "" && where[0] >= '0' && where[0] <= '9' {
			host, port = "*", where
		}
	}
	endpoint, err := zmqwire.ParseListenEndpoint("tcp://" + bracket(host) + ":" + port)
	if err != nil {
		return "", fmt.Errorf("%s (of %q: want PORT, HOST:PORT or HOST, such as 5558 or 127.0.0.1:5558)", reason(err), where)
	}
	return endpoint.String(), nil
}

// HTTPAddress is where to listen: on loopback unless a host is told, which is * for all interfaces.
func HTTPAddress(text string) (string, error) {
	where := text
	if i := strings.LastIndexByte(text, ':'); i <= 0 {
		where = "127.0.0.1:" + text[i+1:]
	}
	endpoint, err := zmqwire.ParseListenEndpoint("tcp://" + where)
	if err != nil {
		return "", fmt.Errorf("%q: want PORT or HOST:PORT, such as 9090, or *:9090 for all interfaces", text)
	}
	host := endpoint.Host
	if host == "*" {
		host = ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(endpoint.Port))), nil
}

// cutLast cuts around the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// reason is what is wrong with an endpoint whose whole text the user has not written.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), zmqwire.ErrEndpoint.Error()+": ")
}

// splitList splits at commas; spaces around them are how people write lists.
func splitList(text string) []string {
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// bracket puts brackets around an IPv6 address, if it has none yet.
func bracket(host string) string {
	if strings.Contains(host, ":") && host[0] != '[' {
		return "[" + host + "]"
	}
	return host
}

// unbracket takes off the brackets that people put around IPv6 addresses.
func unbracket(host string) string {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}
