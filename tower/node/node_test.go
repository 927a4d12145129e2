package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pebbe/zmq4"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// at is the configuration of a node on loopback that looks for these towers.
func at(towers ...*tower.Tower) tower.NodeConfig {
	config := tower.NodeConfig{
		Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*", Interval: 50 * time.Millisecond, Timeout: 2 * time.Second,
	}
	for _, tw := range towers {
		config.Pub, config.Sub = append(config.Pub, tw.Pub()), append(config.Sub, tw.Sub())
	}
	return config
}

// member is a node and the goroutine that owns it. It hears everything its peers say.
type member struct {
	*Node
	heard chan string
	leave func()

	mu     sync.Mutex
	posted [][]byte
}

func join(t testing.TB, config tower.NodeConfig) *member {
	t.Helper()
	node, err := Join(config, Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}}})
	must(t, err)
	must(t, node.Sub[0].Subscribe(""))
	m := &member{Node: node, heard: make(chan string, 10_000)}
	var leaving atomic.Bool
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for !leaving.Load() {
			if err := m.turn(func() bool { return leaving.Load() || m.hasPosted() }); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	m.leave = sync.OnceFunc(func() {
		leaving.Store(true)
		node.Wake()
		within(t, "leave", func() {
			<-gone
			if err := node.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Cleanup(m.leave)
	return m
}

func (m *member) hasPosted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.posted) > 0
}

// turn is one round of a node's owner: wait, receive, send.
func (m *member) turn(work func() bool) error {
	ready, err := m.Wait(time.Second, work)
	if err != nil {
		return err
	}
	batch := zsock.NewBatch()
	if ready.Sub(0) {
		if err := m.Sub[0].Drain(batch); err != nil {
			return err
		}
		for frames := batch.Next(); frames != nil; frames = batch.Next() {
			m.heard <- string(frames[0])
		}
	}
	if ready.Pub() {
		if err := m.Pub.Drain(batch); err != nil {
			return err
		}
	}
	m.mu.Lock()
	posted := m.posted
	m.posted = nil
	m.mu.Unlock()
	batch.Reset()
	for _, message := range posted {
		batch.Add(message)
	}
	_, err = m.Pub.Send(batch)
	return err
}

func (m *member) say(text string) {
	m.mu.Lock()
	m.posted = append(m.posted, []byte(text))
	m.mu.Unlock()
	m.Wake()
}

func knows(t testing.TB, m *member, peers int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s knows %d peers", m.Address(), peers), func() bool { return m.Peers() == peers })
}

func hears(t testing.TB, m *member, towers int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s hears %d towers", m.Address(), towers), func() bool { return m.Connected() == towers })
}

// reaches waits until what one says is heard by the other.
func reaches(t testing.TB, from, to *member) {
	t.Helper()
	text := zmqwire.NewAddress()
	eventually(t, fmt.Sprintf("%s hears what %s says", to.Address(), from.Address()), func() bool {
		from.say(text)
		for {
			select {
			case heard := <-to.heard:
				if heard == text {
					return true
				}
			default:
				return false
			}
		}
	})
}

func TestNodesFindEachOther(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	a, b := join(t, at(tw)), join(t, at(tw))
	for _, m := range []*member{a, b} {
		hears(t, m, 1)
		knows(t, m, 1)
	}
	reaches(t, a, b)
	reaches(t, b, a)
	c := join(t, at(tw))
	for _, m := range []*member{a, b, c} {
		knows(t, m, 2)
	}
	reaches(t, c, a)
	reaches(t, b, c)
	if faults := tw.Stats().Faults; len(faults) > 0 {
		t.Errorf("faults of the tower: %v", faults)
	}
}

func TestNodeAnnouncesItself(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ host, want string }{
		{"127.0.0.1", "127.0.0.1"}, {"", ""}, {"[::1]", "::1"}, {"::1", "::1"}, {"some.name", "some.name"},
	} {
		fake := newFakeTower(t)
		config := fake.config()
		config.Host, config.Address = test.host, "A"
		n := join(t, config)
		port, _ := zmqwire.ParseEndpoint(n.bound(t))
		want := zmqwire.Beacon{Address: "A", Host: test.want, Port: port.Port}.Frames()
		for range 3 { // again and again
			if diff := cmp.Diff(want, next(t, fake.beacons)); diff != "" {
				t.Errorf("beacon of a node that advertises %q (-want +got):\n%s", test.host, diff)
			}
		}
	}
}

// bound is the endpoint the node got.
func (m *member) bound(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("tcp://127.0.0.1:%s", m.beacon[3])
}

func TestNodeIsNoPeerOfItsOwn(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	n, other := join(t, at(tw)), joinRaw(t, tw)
	hears(t, n, 1)
	for range 10 {
		if message := other.Next(t); string(message[1]) != n.Address() {
			t.Fatalf("announcement of %q", message)
		}
	}
	eventually(t, "probes of the other expire", func() bool { return n.Peers() == 0 })
}

// A node opens, works and closes without a tower, and finds the one that comes later.
func TestNodeWaitsForItsTower(t *testing.T) {
	t.Parallel()
	config := at()
	config.Pub, config.Sub = []string{reserve(t)}, []string{reserve(t)}
	var a, b *member
	within(t, "join without a tower", func() { a, b = join(t, config), join(t, config) })
	if a.Connected() != 0 || a.Peers() != 0 {
		t.Errorf("hears %d towers and knows %d peers, and there are none", a.Connected(), a.Peers())
	}
	within(t, "leave without a tower", b.leave)
	openTowerAgain(t, config)
	c := join(t, config)
	hears(t, a, 1)
	knows(t, a, 1)
	reaches(t, a, c)
	reaches(t, c, a)
}

// openTowerAgain opens a tower where one was or will be expected. Somebody else may have the port for a moment.
func openTowerAgain(t testing.TB, config tower.NodeConfig) *tower.Tower {
	t.Helper()
	var tw *tower.Tower
	eventually(t, "the tower's ports are free", func() (ok bool) {
		var err error
		tw, err = tower.Open(tower.Config{Pub: config.Pub[0], Sub: config.Sub[0]})
		return err == nil
	})
	t.Cleanup(func() { closeTower(t, tw) })
	return tw
}

func TestTowerIsRestarted(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	config := at(tw)
	a, b := join(t, config), join(t, config)
	knows(t, a, 1)
	knows(t, b, 1)
	reaches(t, a, b)
	for range 2 {
		closeTower(t, tw)
		hears(t, a, 0)
		hears(t, b, 0)
		// Who knows each other goes on without a tower.
		if a.Peers() != 1 || b.Peers() != 1 {
			t.Errorf("%d and %d peers without a tower, want 1", a.Peers(), b.Peers())
		}
		reaches(t, a, b)
		tw = openTowerAgain(t, config)
		hears(t, a, 1)
		hears(t, b, 1)
		c := join(t, config)
		for _, m := range []*member{a, b, c} {
			knows(t, m, 2)
		}
		reaches(t, c, a)
		c.leave()
		knows(t, a, 1)
		knows(t, b, 1)
		reaches(t, b, a)
	}
}

// While no tower is heard, silence means nothing; and when one is heard again, peers get their time to be.
func TestPeersOutliveATowersSilence(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	config := f.config()
	n := f.join(t, config)
	f.say(t, "B", "peer", "tcp://127.0.0.1:1")
	knows(t, n, 1)
	hears(t, n, 0)
	eventually(t, "the tower is heard again", func() bool {
		f.say(t, "W")
		return n.Connected() == 1
	})
	begin := time.Now()
	// From one beacon to the next, a node looks for peers that are gone.
	var beacons int
	must(t, f.beacons.SetRcvtimeo(time.Millisecond))
	for drained := false; beacons < 3 || !drained; {
		_, err := f.beacons.RecvMessageBytes(0)
		switch {
		case err != nil:
			drained = true
		case drained:
			beacons++
		}
		if time.Since(begin) > config.Timeout/2 {
			t.Skip("the machine is too busy to tell silence from slowness")
		}
	}
	if n.Peers() != 1 {
		t.Errorf("%d peers as soon as the tower is heard again, want 1", n.Peers())
	}
	eventually(t, "the peer expires after all", func() bool {
		f.say(t, "W")
		return n.Peers() == 0
	})
}

func TestTwoTowers(t *testing.T) {
	t.Parallel()
	one, two := openTower(t), openTower(t)
	left, both, right := join(t, at(one)), join(t, at(one, two)), join(t, at(two))
	hears(t, both, 2)
	hears(t, left, 1)
	hears(t, right, 1)
	knows(t, both, 2)
	knows(t, left, 1)
	knows(t, right, 1)
	reaches(t, left, both)
	reaches(t, both, right)
	closeTower(t, one)
	hears(t, both, 1)
	hears(t, left, 0)
	// The other tower serves as before, for those that come later too.
	late := join(t, at(two))
	eventually(t, "the late one is known", func() bool { return late.Peers() == 2 && right.Peers() == 2 })
	reaches(t, late, both)
	reaches(t, both, right)
}

func TestNodeThatLeavesIsForgotten(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	a, b, c := join(t, at(tw)), join(t, at(tw)), join(t, at(tw))
	knows(t, a, 2)
	knows(t, b, 2)
	c.leave()
	knows(t, a, 1)
	knows(t, b, 1)
	reaches(t, a, b)
}

func TestNodeMoves(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	config := at(tw)
	config.Address = "mover"
	a, mover := join(t, at(tw)), join(t, config)
	knows(t, a, 1)
	reaches(t, mover, a)
	before := mover.bound(t)
	mover.leave()
	mover = join(t, config)
	if mover.bound(t) == before {
		t.Skip("the system gave the same port again")
	}
	reaches(t, mover, a)
	reaches(t, a, mover)
	knows(t, a, 1)
}

// A node ends and another takes its port: nothing of the first one's end may touch the second one's connection. The
// second may write the same place in another way.
func TestSuccessorAtTheSameEndpoint(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			tw := openTower(t)
			a, first := join(t, at(tw)), join(t, at(tw))
			knows(t, a, 1)
			reaches(t, first, a)
			config := at(tw)
			config.Bind, config.Host = first.bound(t), host
			first.leave()
			second := join(t, config)
			eventually(t, "both are known", func() bool { return a.Peers() == 2 })
			reaches(t, second, a)
			knows(t, a, 1)
			reaches(t, second, a)
		})
	}
}

func TestTowersByName(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	config := at(tw)
	name := func(endpoints []string) []string {
		return []string{strings.Replace(endpoints[0], "127.0.0.1", "localhost", 1)}
	}
	config.Pub, config.Sub = name(config.Pub), name(config.Sub)
	config.Host = "localhost"
	a, b := join(t, config), join(t, config)
	for _, m := range []*member{a, b} {
		hears(t, m, 1)
		knows(t, m, 1)
	}
	reaches(t, a, b)
}

// bothFamilies is a name of this machine with an address of each family.
const bothFamilies = "both-families.test"

func init() {
	system := lookUp
	lookUp = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		if host == bothFamilies {
			return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
		}
		return system(ctx, network, host)
	}
}

// Of a name's addresses the one at which something listens is taken, whatever the family, and IPv4 where both listen: C
// nodes know nothing else.
func TestNameOfBothFamilies(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	ips := []netip.Addr{v4, v6}
	listen := func(at string) uint16 {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip("no IPv6 here: ", err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	gone, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	gone.Close()
	for _, test := range []struct {
		name string
		port uint16
		want netip.Addr
	}{
		{"both", listen("[::]:0"), v4},
		{"IPv4", listen("127.0.0.1:0"), v4},
		{"IPv6", listen("[::1]:0"), v6},
		{"none", gone.Addr().(*net.TCPAddr).AddrPort().Port(), netip.Addr{}},
	} {
		if got, ok := firstToAnswer(t.Context(), ips, test.port); got != test.want || ok != test.want.IsValid() {
			t.Errorf("%s: %v, %v; want %v", test.name, got, ok, test.want)
		}
	}

	for _, host := range []string{"[::1]", "127.0.0.1", "*"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			tw, err := tower.Open(tower.Config{Pub: "tcp://" + host + ":*", Sub: "tcp://" + host + ":*"})
			must(t, err)
			t.Cleanup(func() { tw.Close() })
			config := at(tw)
			named := func(endpoint string) []string {
				return []string{"tcp://" + bothFamilies + endpoint[strings.LastIndex(endpoint, ":"):]}
			}
			config.Pub, config.Sub = named(tw.Pub()), named(tw.Sub())
			config.Host, config.Bind = bothFamilies, "tcp://"+host+":*"
			a, b := join(t, config), join(t, config)
			for _, m := range []*member{a, b} {
				hears(t, m, 1)
				knows(t, m, 1)
			}
			reaches(t, a, b)
			reaches(t, b, a)
		})
	}
}

// A node and a tower with their defaults listen for both families.
func TestListenForBothFamilies(t *testing.T) {
	t.Parallel()
	tw, err := tower.Open(tower.Config{Pub: "tcp://*:*", Sub: "tcp://*:*"})
	must(t, err)
	t.Cleanup(func() { tw.Close() })
	port := func(endpoint string) string { return endpoint[strings.LastIndex(endpoint, ":"):] }
	var all []*member
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if l, err := net.Listen("tcp", host+":0"); err != nil {
			t.Skip("no IPv6 here: ", err)
		} else {
			l.Close()
		}
		all = append(all, join(t, tower.NodeConfig{
			Pub: []string{"tcp://" + host + port(tw.Pub())}, Sub: []string{"tcp://" + host + port(tw.Sub())},
			Host: host, Interval: 50 * time.Millisecond, Timeout: 2 * time.Second,
		}))
	}
	for i, m := range all {
		hears(t, m, 1)
		knows(t, m, 1)
		reaches(t, m, all[1-i])
	}
}

// A look-up may be done before the node is.
func TestJoinWhileNamesAreLookedUp(t *testing.T) {
	for range 300 {
		n, err := Join(tower.NodeConfig{
			Pub: []string{"tcp://localhost:1"}, Sub: []string{"tcp://localhost:2", "tcp://there-is-no-such-host.invalid:3"},
			Bind: "tcp://127.0.0.1:*",
		}, Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
		must(t, err)
		within(t, "close", func() { must(t, n.Close()) })
	}
}

// A connection that libzmq does not begin is begun again, to a peer and to a tower.
func TestConnectIsTriedAgain(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	peer := join(t, at(tw))
	n, err := Join(at(tw), Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}, {}}})
	must(t, err)
	defer n.Close()
	for _, s := range n.Sub {
		must(t, s.Subscribe(""))
	}
	port, err := strconv.ParseUint(string(peer.beacon[3]), 10, 16)
	must(t, err)
	endpoint := zmqwire.Endpoint{Host: "127.0.0.1", Port: uint16(port)}
	n.connect(endpoint)
	// What libzmq refuses stands for what it cannot do for the time being.
	n.foundIPs = []found{{host: "127.0.0.1", ip: "no address"}}
	n.applyFound()
	if at, refused := n.connected[endpoint], n.Faults().Counts()[ErrConnect]; at != "" || refused != 1 {
		t.Fatalf("connected to %q, %d times refused", at, refused)
	}
	for _, d := range n.dials {
		if d.at != "" {
			t.Fatalf("connected to tower %q", d.at)
		}
	}

	var heard [2]bool
	eventually(t, "the tower, and the peer on both sockets", func() bool {
		peer.say("hello")
		_, err := n.Wait(10*time.Millisecond, func() bool { return false })
		must(t, err)
		for i, s := range n.Sub {
			must(t, s.Drain(n.batch))
			heard[i] = heard[i] || n.batch.Len() > 0
		}
		// The peer knows of the node when the tower has heard that.
		return n.Connected() == 1 && heard[0] && heard[1] && peer.Peers() == 1
	})
}

// A name server that does not know the name, or does not answer, holds up neither the node nor its end.
func TestTowerWhoseNameIsUnknown(t *testing.T) {
	t.Parallel()
	tw := openTower(t)
	config := at(tw)
	config.Pub = append([]string{"tcp://there-is-no-such-host.invalid:5557"}, config.Pub...)
	config.Sub = append([]string{"tcp://there-is-no-such-host.invalid:5556"}, config.Sub...)
	a, b := join(t, config), join(t, at(tw))
	hears(t, a, 1)
	knows(t, a, 1)
	reaches(t, a, b)
	within(t, "leave", a.leave)
}

func TestInvalidConfig(t *testing.T) {
	for _, test := range []struct {
		config tower.NodeConfig
		says   []string
	}{
		{tower.NodeConfig{Address: strings.Repeat("a", 256)}, []string{"address is 256 bytes"}},
		{tower.NodeConfig{Address: "a\x00b"}, []string{"address", "NUL"}},
		{tower.NodeConfig{Pub: []string{"nonsense"}}, []string{"nonsense"}},
		{tower.NodeConfig{Sub: []string{"tcp://*:5556"}}, []string{"*"}},
		{tower.NodeConfig{Sub: []string{""}}, []string{`""`}},
		{tower.NodeConfig{Pub: make([]string, 9)}, []string{"9 towers"}},
		{tower.NodeConfig{Host: "tcp://host"}, []string{"advertised host"}},
		{tower.NodeConfig{Host: "0.0.0.0"}, []string{"advertised host"}},
		{tower.NodeConfig{Interval: -1}, []string{"interval -1ns"}},
		{tower.NodeConfig{Timeout: -1}, []string{"timeout -1ns"}},
		{tower.NodeConfig{Limits: tower.Limits{Peers: -1}}, []string{"limit peers is -1", "want 1 to 2147483647, or 0 for 1024"}},
		{tower.NodeConfig{Limits: tower.Limits{Frame: 1<<10 - 1}}, []string{"limit frame is 1023", "want 1024 to 1073741824"}},
		{tower.NodeConfig{Limits: tower.Limits{Frame: 1<<30 + 1}}, []string{"limit frame is 1073741825"}},
		{
			tower.NodeConfig{Interval: -1, Limits: tower.Limits{Frame: -1, Topics: -2, Requests: -3, PeerBytes: -4, Bytes: -5, Subscriptions: -6}},
			[]string{"interval -1ns", "frame is -1", "topics is -2", "requests is -3", "peer_bytes is -4", "bytes is -5", "subscriptions is -6"},
		},
		{tower.NodeConfig{Interval: 2 * time.Second, Timeout: time.Second}, []string{"interval 2s, timeout 1s"}},
		{tower.NodeConfig{Bind: "nonsense"}, []string{"nonsense", "tcp://interface:port"}},
		{tower.NodeConfig{Bind: "inproc://x"}, []string{"inproc://x", "port"}},
		{
			tower.NodeConfig{
				Address: "a\x00b", Pub: []string{"pub"}, Sub: []string{"sub", "tcp://0.0.0.0:1"}, Host: "a b", Interval: -1,
			},
			[]string{"address", `"pub"`, `"sub"`, "0.0.0.0", "advertised host", "interval -1ns"},
		},
	} {
		n, err := Join(test.config, Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
		if err == nil {
			t.Errorf("%+v: no error", test.config)
			within(t, "close", func() { n.Close() })
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: error %q does not say %q", test.config, err, says)
			}
		}
	}
}

func TestJoinWithABindThatIsTaken(t *testing.T) {
	tw := openTower(t)
	first := join(t, at(tw))
	config := at(tw)
	config.Bind = first.bound(t)
	_, err := Join(config, Sockets{Publish: zsock.PUB})
	if err == nil || !strings.Contains(err.Error(), config.Bind) {
		t.Errorf("error %v, want one that names %s", err, config.Bind)
	}
}

func TestNodeClose(t *testing.T) {
	tw := openTower(t)
	n, err := Join(at(tw), Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}, {}}})
	must(t, err)
	for range 2 {
		within(t, "close", func() { must(t, n.Close()) })
	}
	if _, err := n.Wait(0, func() bool { return false }); !errors.Is(err, zsock.ErrClosed) {
		t.Errorf("Wait on a closed node: %v, want %v", err, zsock.ErrClosed)
	}
}

// fakeTower says what a test wants.
type fakeTower struct {
	beacons *zmq4.Socket // XSUB
	mesh    *zmq4.Socket // XPUB
	pub     string
	sub     string
}

func newFakeTower(t testing.TB) *fakeTower {
	t.Helper()
	f := &fakeTower{beacons: raw(t, zmq4.XSUB), mesh: raw(t, zmq4.XPUB)}
	must(t, f.mesh.SetXpubWelcomeMsg("W"))
	for socket, endpoint := range map[*zmq4.Socket]*string{f.beacons: &f.sub, f.mesh: &f.pub} {
		must(t, socket.Bind("tcp://127.0.0.1:*"))
		var err error
		*endpoint, err = socket.GetLastEndpoint()
		must(t, err)
	}
	if _, err := f.beacons.SendBytes([]byte("\x01B"), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fakeTower) config() tower.NodeConfig {
	config := at()
	config.Pub, config.Sub = []string{f.pub}, []string{f.sub}
	return config
}

// join returns a node that has subscribed to this tower.
func (f *fakeTower) join(t testing.TB, config tower.NodeConfig) *member {
	t.Helper()
	n := join(t, config)
	seen := make(map[string]bool)
	for range 2 {
		seen[string(next(t, f.mesh)[0])] = true
	}
	if diff := cmp.Diff(map[string]bool{"\x01B": true, "\x01W": true}, seen); diff != "" {
		t.Errorf("the node's subscriptions (-want +got):\n%s", diff)
	}
	return n
}

func (f *fakeTower) say(t testing.TB, message ...string) {
	t.Helper()
	if _, err := f.mesh.SendMessage(frames(message...)); err != nil {
		t.Fatal(err)
	}
}

// What ends every C node costs a node of Go's a line in its log.
func TestNodeSurvivesMalformedAnnouncements(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	n := f.join(t, f.config())
	malformed := [][]string{
		{"B"},
		{"B", "A"},
		{"B", "A", ""},
		{"B", "A", "tcp://127.0.0.1:5000", ""},
		{"B", "A", "", "5000"},
		{"B", "A", "tcp://127.0.0.1:5000", "1", "2", "3", "4"},
		{"Bx"},
		{"Bx", "A", "tcp://127.0.0.1:5000"},
		{"W", "A", "tcp://127.0.0.1:5000"},
		{"Welcome"},
		{"B", "", "tcp://127.0.0.1:5000"},
		{"B", "A\x00", "tcp://127.0.0.1:5000"},
		{"B", "A", "127.0.0.1:5000"},
		{"B", "A", "tcp://127.0.0.1"},
		{"B", "A", "tcp://127.0.0.1:0"},
		{"B", "A", "tcp://127.0.0.1:99999"},
		{"B", "A", "tcp://*:5000"},
		{"B", "A", "tcp://0.0.0.0:5000"},
		{"B", "A", "tcp://127.0.0.1:*"},
		{"B", "A", "ipc:///tmp/x"},
		{"B", "A", "inproc://x"},
		{"B", "A", "tcp://127.0.0.1:1;127.0.0.1:5000"},
		{"B", strings.Repeat("n", 256), "tcp://127.0.0.1:5000"},
	}
	for _, message := range malformed {
		f.say(t, message...)
	}
	f.say(t, "B", "good", "tcp://127.0.0.1:1")
	knows(t, n, 1)
	want := map[zmqwire.Fault]uint64{zmqwire.ErrBeacon: uint64(len(malformed))}
	if diff := cmp.Diff(want, n.Faults().Counts()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// A frame too large for discovery may come through a C tower, which passes on whatever it gets. The node must not lose
// the tower by it.
func TestNodeSurvivesLargeAnnouncements(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	n := f.join(t, f.config())
	hears(t, n, 1)
	f.say(t, "B", "large", strings.Repeat("x", 10_000))
	eventually(t, "the node hears the tower again", func() bool {
		f.say(t, "B", "good", "tcp://127.0.0.1:1")
		return n.Peers() == 1
	})
}

// A C tower passes its nodes' subscriptions on to all nodes, however long they are.
func TestNodeSurvivesLargeSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	n := f.join(t, f.config())
	if beacon := next(t, f.beacons); string(beacon[1]) != n.Address() {
		t.Fatalf("beacon %q", beacon)
	}
	if _, err := f.beacons.SendBytes([]byte("\x01"+strings.Repeat("x", 10_000)), 0); err != nil {
		t.Fatal(err)
	}
	// The tower is an honest one from now on, and alive.
	if _, err := f.beacons.SendBytes([]byte("\x00"+strings.Repeat("x", 10_000)), 0); err != nil {
		t.Fatal(err)
	}
	must(t, f.beacons.SetRcvtimeo(time.Millisecond))
	ended := false
	eventually(t, "the node announces itself again", func() bool {
		f.say(t, "B", "other", "tcp://127.0.0.1:1")
		_, err := f.beacons.RecvMessageBytes(0)
		heard := err == nil
		ended = ended || !heard
		return ended && heard
	})
}

func TestNodeBoundsItsPeers(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	config := f.config()
	config.Limits.Peers = 3
	config.Timeout = time.Hour
	n := f.join(t, config)
	for i := range 5 {
		f.say(t, "B", fmt.Sprint(i), fmt.Sprintf("tcp://127.0.0.1:%d", 1+i))
	}
	eventually(t, "two are too many", func() bool { return n.Faults().Counts()[ErrPeers] == 2 })
	knows(t, n, 3)
}

// A node tells its owner whom it knows, and how its towers treat it.
func TestNodeTellsWhatItKnows(t *testing.T) {
	t.Parallel()
	f := newFakeTower(t)
	begin := time.Now()
	n, err := Join(f.config(), Sockets{Publish: zsock.PUB})
	must(t, err)
	defer n.Close()
	waitFor := func(what string, condition func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			_, err := n.Wait(10*time.Millisecond, func() bool { return false })
			must(t, err)
			return condition()
		})
	}
	at, err := zmqwire.ParseEndpoint(f.pub)
	must(t, err)
	link := Link{Endpoint: at}
	if diff := cmp.Diff([]Link{link}, n.Links()); diff != "" {
		t.Errorf("links before the tower is heard (-want +got):\n%s", diff)
	}
	_, err = n.Wait(0, func() bool { return false }) // connects
	must(t, err)
	for range 2 {
		next(t, f.mesh) // a subscription; the welcome is the answer to it
	}
	waitFor("a tower", func() bool { return n.Connected() == 1 })

	f.say(t, "B", "B", "tcp://127.0.0.1:2")
	f.say(t, "B", "A", "tcp://127.0.0.1:1")
	waitFor("peers", func() bool { m := n.Members(); return len(m) == 2 && m[0].At != "" && m[1].At != "" })
	var want []Member
	for i, m := range n.Members() {
		if m.Since.Before(begin) || m.Heard.Before(m.Since) {
			t.Errorf("member %s heard at %v, first at %v", m.Address, m.Heard, m.Since)
		}
		want = append(want, Member{
			Address: string(rune('A' + i)), Endpoint: zmqwire.Endpoint{Host: "127.0.0.1", Port: uint16(1 + i)},
			At: fmt.Sprintf("tcp://127.0.0.1:%d", 1+i), Since: m.Since, Heard: m.Heard,
		})
	}
	if diff := cmp.Diff(want, n.Members()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	link.Connected = true
	if diff := cmp.Diff([]Link{link}, n.Links()); diff != "" {
		t.Errorf("links to a tower that repeats nothing (-want +got):\n%s", diff)
	}
	f.say(t, "B", n.Address(), "tcp://127.0.0.1:3")
	waitFor("the node's own beacon", func() bool { return n.Links()[0].Repeats })
	if at, _ := n.Namesake(); at != "tcp://127.0.0.1:3" {
		t.Errorf("node of the same address at %q, want tcp://127.0.0.1:3", at)
	}
	waitFor("silence of the tower", func() bool { return n.Connected() == 0 })
	if diff := cmp.Diff([]Link{{Endpoint: at}}, n.Links()); diff != "" {
		t.Errorf("links to a tower that is gone (-want +got):\n%s", diff)
	}
}
