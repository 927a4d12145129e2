package main

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

func TestBindEndpoint(t *testing.T) {
	for _, test := range []struct{ where, want string }{
		{"5558", "tcp://*:5558"},
		{"*", "tcp://*:*"},
		{"*:5558", "tcp://*:5558"},
		{"127.0.0.1", "tcp://127.0.0.1:*"},
		{"127.0.0.1:5558", "tcp://127.0.0.1:5558"},
		{"127.0.0.1:*", "tcp://127.0.0.1:*"},
		{"127.0.0.1:0", "tcp://127.0.0.1:*"},
		{"0", "tcp://*:*"},
		{"eth0", "tcp://eth0:*"},
		{"eth0:5558", "tcp://eth0:5558"},
		{"::1", "tcp://[::1]:*"},
		{"[::1]", "tcp://[::1]:*"},
		{"[::1]:5558", "tcp://[::1]:5558"},

		{"65536", ""},
		{"05558", ""},
		{"5558x", ""},
		{":5558", ""},
		{":", ""},
		{"127.0.0.1:", ""},
		{"127.0.0.1:-1", ""},
		{"127.0.0.1:http", ""},
		{"tcp://127.0.0.1:5558", ""},
		{"a:b:1", ""},
		{"[::1:5558", ""},
		{"a b", ""},
	} {
		got, err := bindEndpoint(test.where)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, error %v; want %q", test.where, got, err, test.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for bound, want := range map[string]string{
		"tcp://0.0.0.0:5557":  "tcp://127.0.0.1:5557",
		"tcp://[::]:5557":     "tcp://127.0.0.1:5557",
		"tcp://[::1]:5557":    "tcp://[::1]:5557",
		"tcp://10.0.0.0:5557": "tcp://10.0.0.0:5557",
	} {
		if got := reachable(bound); got != want {
			t.Errorf("%s: got %s, want %s", bound, got, want)
		}
	}
}

// Nodes on other machines join with what a tower says that listens for them.
func TestOutward(t *testing.T) {
	for bound, want := range map[string]string{
		"tcp://127.0.0.1:5557": "tcp://127.0.0.1:5557",
		"tcp://10.0.0.0:5557":  "tcp://10.0.0.0:5557",
		"tcp://[::1]:5557":     "tcp://[::1]:5557",
	} {
		if got := outward(bound); got != want {
			t.Errorf("%s: got %s, want %s", bound, got, want)
		}
	}
	elsewhere := false
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		elsewhere = elsewhere || a.(*net.IPNet).IP.IsGlobalUnicast()
	}
	for _, bound := range []string{"tcp://0.0.0.0:5557", "tcp://[::]:5557"} {
		got, err := zmqwire.ParseEndpoint(outward(bound))
		if err != nil || got.Port != 5557 || elsewhere == netip.MustParseAddr(got.Host).IsLoopback() {
			t.Errorf("%s: got %v, error %v; want an address at which others reach this machine: %v", bound, got, err, addresses)
		}
	}
}

// A store with a fixed port says which other one it has.
func TestStorePorts(t *testing.T) {
	for bind, want := range map[string]string{
		"": "", "tcp://127.0.0.1:*": "", "tcp://*:5558": ", its ports are 5558 and 5559", "tcp://[::1]:65534": ", its ports are 65534 and 65535",
	} {
		if got := storePorts(tower.NodeConfig{Bind: bind}); got != want {
			t.Errorf("%q: %q, want %q", bind, got, want)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, f := range []*os.File{null, r, w} {
		if isTerminal(f) {
			t.Errorf("%s is taken for a terminal", f.Name())
		}
	}
}
