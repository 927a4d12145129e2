package tower

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/zmqwire"
)

func TestAnnounce(t *testing.T) {
	own := func(loopback string) string { return OwnAddress(netip.MustParseAddr(loopback)).String() }
	for _, test := range []struct {
		name   string
		frames [][]byte
		peer   string
		want   string // the endpoint, empty when refused
	}{
		{"host", frames("B", "A", "10.0.0.1", "5000"), "10.0.0.2", "tcp://10.0.0.1:5000"},
		{"host and no peer", frames("B", "A", "10.0.0.1", "5000"), "", "tcp://10.0.0.1:5000"},
		{"name", frames("B", "A", "store.example", "5000"), "10.0.0.2", "tcp://store.example:5000"},
		{"loopback as host", frames("B", "A", "127.0.0.1", "5000"), "127.0.0.1", "tcp://127.0.0.1:5000"},
		{"IPv6 host", frames("B", "A", "2001:db8::1", "5000"), "10.0.0.2", "tcp://[2001:db8::1]:5000"},
		{"no host", frames("B", "A", "", "5000"), "10.0.0.2", "tcp://10.0.0.2:5000"},
		{"no host, IPv6 peer", frames("B", "A", "", "5000"), "2001:db8::2", "tcp://[2001:db8::2]:5000"},
		{"no host, peer with a zone", frames("B", "A", "", "5000"), "fe80::2%eth0", "tcp://[fe80::2]:5000"},
		{"no host, mapped peer", frames("B", "A", "", "5000"), "::ffff:10.0.0.2", "tcp://10.0.0.2:5000"},
		{"no host, loopback peer", frames("B", "A", "", "5000"), "127.0.0.1", "tcp://" + own("127.0.0.1") + ":5000"},
		{"no host, other loopback peer", frames("B", "A", "", "5000"), "127.1.2.3", "tcp://" + own("127.1.2.3") + ":5000"},
		{"no host, mapped loopback peer", frames("B", "A", "", "5000"), "::ffff:127.0.0.1", "tcp://" + own("127.0.0.1") + ":5000"},
		{"no host, IPv6 loopback peer", frames("B", "A", "", "5000"), "::1", "tcp://[" + own("::1") + "]:5000"},

		{"no host, no peer", frames("B", "A", "", "5000"), "", ""},
		{"no host, strange peer", frames("B", "A", "", "5000"), "10.0.0.2:6000", ""},
		{"no frame", nil, "10.0.0.2", ""},
		{"one frame", frames("B"), "10.0.0.2", ""},
		{"an announcement", frames("B", "A", "tcp://10.0.0.1:5000"), "10.0.0.2", ""},
		{"no port", frames("B", "A", "", ""), "10.0.0.2", ""},
		{"port 0", frames("B", "A", "", "0"), "10.0.0.2", ""},
		{"endpoint as host", frames("B", "A", "tcp://10.0.0.1", "5000"), "10.0.0.2", ""},
		{"no address", frames("B", "", "", "5000"), "10.0.0.2", ""},
	} {
		peer, _ := netip.ParseAddr(test.peer) // not valid where libzmq does not know it
		got, err := announce(test.frames, peer)
		if test.want == "" {
			if !errors.Is(err, zmqwire.ErrBeacon) {
				t.Errorf("%s: %v, error %v, want %v", test.name, got, err, zmqwire.ErrBeacon)
			}
			continue
		}
		if err != nil || got.Address != "A" || got.Endpoint.String() != test.want {
			t.Errorf("%s: %v, error %v, want %s", test.name, got, err, test.want)
		}
	}
}

func TestOwnAddress(t *testing.T) {
	for _, loopback := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")} {
		got := OwnAddress(loopback)
		if got.Is4() != loopback.Is4() || got != loopback && !got.IsGlobalUnicast() {
			t.Errorf("in place of %v: %v", loopback, got)
		}
	}
}

func TestTowerRewritesBeacons(t *testing.T) {
	tw := openTower(t)
	a, b := joinRaw(t, tw), joinRaw(t, tw)
	own := OwnAddress(netip.MustParseAddr("127.0.0.1"))
	for _, test := range []struct{ beacon, want [][]byte }{
		{frames("B", "A", "127.0.0.1", "5000"), frames("B", "A", "tcp://127.0.0.1:5000")},
		{frames("B", "A", "", "65535"), frames("B", "A", fmt.Sprintf("tcp://%v:65535", own))},
		{frames("B", "\xff\xfe", "::1", "1"), frames("B", "\xff\xfe", "tcp://[::1]:1")},
		{
			frames("B", strings.Repeat("n", 255), strings.Repeat("a.", 126)+"a", "1"),
			frames("B", strings.Repeat("n", 255), "tcp://"+strings.Repeat("a.", 126)+"a:1"),
		},
	} {
		a.Send(t, test.beacon)
		// All hear it, the sender too.
		for _, n := range []*rawNode{a, b} {
			if diff := cmp.Diff(test.want, n.Next(t)); diff != "" {
				t.Errorf("announcement (-want +got):\n%s", diff)
			}
		}
	}
	// Each raw node joined with a probe at least, under an address of its own; A came twice.
	eventually(t, "all counted", func() bool { s := tw.Stats(); return s.Forwarded >= 6 && s.Nodes == int(s.Forwarded)-1 })
	stats := tw.Stats()
	want := Stats{Received: stats.Forwarded, Forwarded: stats.Forwarded, Nodes: stats.Nodes, Faults: map[zmqwire.Fault]uint64{}, LastRound: stats.LastRound}
	if diff := cmp.Diff(want, stats); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	eventually(t, "another round of the idle tower", func() bool { return tw.Stats().LastRound.After(stats.LastRound) })
}

// Each of these, passed on by a C tower, would end every C node, or makes a C tower mix it with the next beacon.
func TestTowerDropsMalformedBeacons(t *testing.T) {
	tw := openTower(t)
	n := joinRaw(t, tw)
	malformed := [][][]byte{
		frames("B"),
		frames("B", "A"),
		frames("B", "A", ""),
		frames("B", "A", "127.0.0.1"),
		frames("B", "A", "127.0.0.1", "5000", ""),
		frames("B", "A", "127.0.0.1", "5000", "B", "B", "127.0.0.1", "5000"),
		frames("Bx", "A", "127.0.0.1", "5000"),
		frames("B\x00", "A", "127.0.0.1", "5000"),
		frames("B", "", "127.0.0.1", "5000"),
		frames("B", "A\x00", "127.0.0.1", "5000"),
		frames("B", strings.Repeat("n", 256), "127.0.0.1", "5000"),
		frames("B", "A", "127.0.0.1", ""),
		frames("B", "A", "127.0.0.1", "0"),
		frames("B", "A", "127.0.0.1", "65536"),
		frames("B", "A", "127.0.0.1", "-1"),
		frames("B", "A", "127.0.0.1", "5000 "),
		frames("B", "A", "127.0.0.1", "5000;tcp://x"),
		frames("B", "A", "*", "5000"),
		frames("B", "A", "0.0.0.0", "5000"),
		frames("B", "A", "127.0.0.1:1;127.0.0.1", "5000"),
		frames("B", "A", "[::1]", "5000"),
		frames("B", "A", "fe80::1%lo", "5000"),
		frames("B", "A", "a b", "5000"),
		frames("B", "A", "tcp://127.0.0.1", "5000"),
		frames("B", "A", strings.Repeat("a", 300), "5000"),
		frames("B", "A", "%s%n", "5000"),
	}
	for i, message := range malformed {
		good := fmt.Sprint("good ", i)
		n.Send(t, message)
		n.Send(t, frames("B", good, "127.0.0.1", "5000"))
		if diff := cmp.Diff(frames("B", good, "tcp://127.0.0.1:5000"), n.Next(t)); diff != "" {
			t.Fatalf("announcement behind %q (-want +got):\n%s", message, diff)
		}
	}
	want := map[zmqwire.Fault]uint64{zmqwire.ErrBeacon: uint64(len(malformed))}
	if diff := cmp.Diff(want, tw.Stats().Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// A frame larger than any of discovery ends its sender's connection, and nothing else.
func TestTowerSurvivesLargeFrames(t *testing.T) {
	tw := openTower(t)
	n, bad := joinRaw(t, tw), joinRaw(t, tw)
	bad.Send(t, frames("B", strings.Repeat("n", 10<<20), "127.0.0.1", "5000"))
	must(t, bad.Mesh.SetSubscribe(strings.Repeat("n", 2000)))
	n.Send(t, frames("B", "good", "127.0.0.1", "5000"))
	if diff := cmp.Diff(frames("B", "good", "tcp://127.0.0.1:5000"), n.Next(t)); diff != "" {
		t.Errorf("announcement (-want +got):\n%s", diff)
	}
}

// A C tower passes its nodes' subscriptions on to all nodes. A node of Go's never learns of them.
func TestTowerForwardsNoSubscriptions(t *testing.T) {
	tw := openTower(t)
	n := joinRaw(t, tw) // which subscribed to W and B, and has seen the tower's own subscription
	must(t, n.Mesh.SetSubscribe("X"))
	// The tower looks at both of its sockets in turn, so that after some beacons it has seen the subscription.
	for i := range 10 {
		n.Send(t, frames("B", fmt.Sprint(i), "127.0.0.1", "5000"))
		n.Next(t)
	}
	if message, err := n.Beacons.RecvMessageBytes(zmq4.DONTWAIT); err == nil {
		t.Errorf("the tower sent %q to a node's beacon socket", message)
	}
}

func TestTowerOnIPv6(t *testing.T) {
	tw, err := Open(Config{Pub: "tcp://[::1]:*", Sub: "tcp://[::1]:*"})
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	t.Cleanup(func() { closeTower(t, tw) })
	n := joinRaw(t, tw)
	n.Send(t, frames("B", "A", "", "5000"))
	want := frames("B", "A", fmt.Sprintf("tcp://[%v]:5000", OwnAddress(netip.MustParseAddr("::1"))))
	if diff := cmp.Diff(want, n.Next(t)); diff != "" {
		t.Errorf("announcement (-want +got):\n%s", diff)
	}
}

func TestTowerThatCannotBind(t *testing.T) {
	taken := openTower(t)
	free := "tcp://127.0.0.1:*"
	for _, test := range []struct {
		config Config
		says   []string
	}{
		{Config{Pub: taken.Pub(), Sub: free}, []string{taken.Pub(), "another tower"}},
		{Config{Pub: free, Sub: taken.Sub()}, []string{taken.Sub(), "another tower"}},
		{Config{Pub: "nonsense", Sub: free}, []string{"nonsense", "tcp://interface:port"}},
		{Config{Pub: free, Sub: "tcp://127.0.0.1"}, []string{"tcp://127.0.0.1", "tcp://interface:port"}},
		{Config{Pub: "tcp://203.0.113.1:*", Sub: free}, []string{"tcp://203.0.113.1:*", "tcp://interface:port"}},
	} {
		tw, err := Open(test.config)
		if err == nil {
			t.Errorf("%+v: no error", test.config)
			closeTower(t, tw)
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: error %q does not say %q", test.config, err, says)
			}
		}
	}
	// A tower that failed leaves nothing bound.
	pub := taken.Pub()
	sub := reserve(t)
	if _, err := Open(Config{Pub: pub, Sub: sub}); err == nil {
		t.Fatal("two towers at one endpoint")
	}
	openTowerAt(t, Config{Pub: free, Sub: sub})
}

// reserve returns an endpoint that nobody uses.
func reserve(t testing.TB) string {
	t.Helper()
	tw := openTower(t)
	closeTower(t, tw)
	return tw.Sub()
}

func TestTowerClose(t *testing.T) {
	tw := openTower(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := tw.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait under a context that ended: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- tw.Wait(context.Background()) }()
	var closing sync.WaitGroup
	for range 4 {
		closing.Go(func() { closeTower(t, tw) })
	}
	closing.Wait()
	within(t, "wait for the closed tower", func() {
		if err := <-waited; err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
	closeTower(t, tw)
	// Its ports are free again.
	openTowerAt(t, Config{Pub: tw.Pub(), Sub: tw.Sub()})
}

// Close ends a tower that is busy, and one whose nodes do not read.
func TestTowerClosesUnderLoad(t *testing.T) {
	tw := openTower(t)
	n := joinRaw(t, tw)
	must(t, n.Beacons.SetSndhwm(0))
	for i := range 50_000 {
		n.Send(t, frames("B", fmt.Sprint(i), "127.0.0.1", "5000"))
	}
	n.Next(t)
	closeTower(t, tw)
}
