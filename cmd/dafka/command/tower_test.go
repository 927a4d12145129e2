package command

import (
	"net"
	"net/netip"
	"testing"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

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
