package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// proxy stands before one port of a node and passes on what it is given, as badly as the test wants. It listens on
// 127.0.0.2, which the node advertises, and the node on 127.0.0.1, at the same port.
type proxy struct {
	t        *testing.T
	listener net.Listener
	to       string
	manner   manner

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
	gone  sync.WaitGroup
}

// manner is how badly a proxy passes on.
type manner struct {
	name   string
	delay  time.Duration // of all that passes, at most
	stall  time.Duration // in which now and then nothing passes
	cut    time.Duration // after which a connection is cut, at most; 0 is never
	pieces int           // bytes passed on at once, at most; 0 is all
}

var manners = []manner{
	{name: "delay", delay: 200 * time.Millisecond},
	{name: "stall", stall: 6 * time.Second},
	{name: "cut", cut: time.Second},
	{name: "pieces", pieces: 700, delay: time.Millisecond},
	{name: "all at once", delay: 50 * time.Millisecond, stall: time.Second, cut: 3 * time.Second, pieces: 20_000},
}

// newProxy starts a proxy; false when the port is taken.
func newProxy(t *testing.T, port int, manner manner) bool {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	if err != nil {
		t.Skipf("SKIPPED, nothing was tested: this machine has no second loopback address: %v", err)
	}
	p := &proxy{t: t, listener: listener, to: fmt.Sprintf("127.0.0.1:%d", port), manner: manner, conns: make(map[net.Conn]bool)}
	p.gone.Go(p.accept)
	t.Cleanup(p.end)
	return true
}

func (p *proxy) end() {
	p.listener.Close()
	p.mu.Lock()
	p.ended = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.gone.Wait()
}

// hold remembers a connection until it is closed; false when the proxy has ended.
func (p *proxy) hold(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			near.Close()
			continue
		}
		if !p.hold(near) || !p.hold(far) {
			near.Close()
			return
		}
		if p.manner.cut > 0 {
			time.AfterFunc(p.manner.cut/4+rand.N(p.manner.cut*3/4), func() {
				near.Close()
				far.Close()
			})
		}
		p.gone.Go(func() { p.pass(far, near) })
		p.gone.Go(func() { p.pass(near, far) })
	}
}

// pass passes on one direction. Its waits are what the node on the other side has to bear.
func (p *proxy) pass(to, from net.Conn) {
	defer func() {
		to.Close()
		from.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 64<<10)
	for {
		most := len(buffer)
		if p.manner.pieces > 0 {
			most = 1 + rand.N(p.manner.pieces)
		}
		n, err := from.Read(buffer[:most])
		if p.manner.delay > 0 {
			time.Sleep(rand.N(p.manner.delay))
		}
		if p.manner.stall > 0 && rand.N(50) == 0 {
			time.Sleep(rand.N(p.manner.stall))
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// Everybody hears everybody else, the tower too, by way of a proxy that delays, stalls, cuts, and passes on in pieces.
func TestBadConnections(t *testing.T) {
	t.Parallel()
	rounds := 1
	if torture() > 0 {
		rounds = max(1, torture()/20)
	}
	var records atomic.Int64
	t.Cleanup(func() { t.Logf("%d records checked, failed: %v", records.Load(), t.Failed()) })
	for round := range rounds {
		for _, manner := range manners {
			if torture() == 0 && manner.stall > time.Second {
				continue // takes its time
			}
			t.Run(fmt.Sprint(round, " ", manner.name), func(t *testing.T) {
				t.Parallel()
				_, c := startTower(t)
				bad := &cluster{t: t}
				for from, to := range map[*string]*[]string{&c.pub[0]: &bad.pub, &c.sub[0]: &bad.sub} {
					var port int
					if _, err := fmt.Sscanf(*from, "tcp://127.0.0.1:%d", &port); err != nil {
						t.Fatal(err)
					}
					if !newProxy(t, port, manner) {
						t.Fatalf("port %d is taken", port)
					}
					*to = []string{fmt.Sprintf("tcp://127.0.0.2:%d", port)}
				}
				// behind gives a node's flags: a port of its own, and the next for a store's other half.
				behind := func() []string {
					for {
						if port := ports(t); newProxy(t, port, manner) && newProxy(t, port+1, manner) {
							return []string{"--address", "127.0.0.2", "--bind", fmt.Sprintf("127.0.0.1:%d", port), "--pub", bad.pub[0], "--sub", bad.sub[0]}
						}
					}
				}
				l := &load{
					T: t, acked: func(string) uint64 { return 0 },
					produce: func(stdin *os.File) *process {
						return start(t, stdin, append([]string{"produce", "hello"}, behind()...)...)
					},
				}
				consume := func(flags ...string) *process {
					args := append([]string{"consume", "hello", "--from-beginning", "--format", "json"}, flags...)
					return start(t, nil, append(args, behind()...)...)
				}
				for range 2 {
					start(t, nil, append([]string{"store", "--db", t.TempDir()}, behind()...)...).waitFor("store is running")
				}
				live := consume()
				steady := l.feed("steady", 20, 10*time.Millisecond)
				live.waitForLines(1000)
				steady.finish()
				live.waitForLines(int(steady.given.Load()))
				live.end(syscall.SIGTERM, 0)
				l.check("a consumer that was there", live, true)
				late := consume()
				late.waitForLines(int(steady.given.Load()))
				late.end(syscall.SIGTERM, 0)
				l.check("a consumer that came later", late, true)
				records.Add(int64(l.records))
			})
		}
	}
}
