package zsock

// #cgo pkg-config: libzmq
// #cgo CFLAGS: -O2 -Wall -Wextra
// #include <stdlib.h>
// #include "socket.h"
//
// #cgo noescape dafka_drain
// #cgo nocallback dafka_drain
// #cgo noescape dafka_send
// #cgo nocallback dafka_send
// #cgo noescape dafka_send_run
// #cgo nocallback dafka_send_run
import "C"

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/godafka/dafka/zmqwire"
	"github.com/pebbe/zmq4"
)

// ErrClosed is returned by every call on a closed socket, poller or context.
var ErrClosed = errors.New("closed")

// ErrFull is returned by sends that found no room for even one message in a peer's queue.
var ErrFull = errors.New("a peer's queue is full")

// ErrInUse is returned by Bind when another socket, of any program, has the port.
var ErrInUse error = zmq4.Errno(syscall.EADDRINUSE)

// Context holds libzmq's I/O thread and the sockets it serves. Each node has one of its own: a busy or blocked peer of
// one node then costs another nothing, and a socket left open shows, because Close never ends.
type Context struct {
	zmq unsafe.Pointer
}

// NewContext starts a context with one I/O thread.
func NewContext() (*Context, error) {
	zmq, err := C.zmq_ctx_new()
	if zmq == nil {
		return nil, fmt.Errorf("new ZeroMQ context: %w", zmqError(err))
	}
	// libzmq's default of 1,023 sockets and no limit on the file descriptors behind them suit a node, which has few
	// sockets and many connections.
	return &Context{zmq: zmq}, nil
}

// Close ends the context, whose sockets must be closed. What is queued at those that were bound is still sent; Close
// waits for that as long as linger, and tells whether it is done. What then is left goes on in the background until the
// peer has it, is gone, or has taken nothing for half a minute. A second call does nothing.
//
// ZMQ_LINGER does not cut it off (see Lingering).
func (c *Context) Close(linger time.Duration) (ended bool) {
	if c.zmq == nil {
		return true
	}
	zmq := c.zmq
	c.zmq = nil
	end := make(chan struct{})
	go func() {
		defer close(end)
		for {
			if rc, err := C.zmq_ctx_term(zmq); rc == 0 || !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	}()
	select {
	case <-end:
		return true
	case <-time.After(linger):
		return false
	}
}

// Lingering is the ZMQ_LINGER of bound sockets. libzmq aborts when a connection happens to end at the moment in which a
// message on it, half sent, is given up, and whole clusters end at one moment. So nothing is given up before TCP has
// given up peers that take nothing. Without any limit libzmq would wait for ever for a peer that left as Close began.
const Lingering = tcpPatience + 10*time.Second

// tcpPatience is how long TCP waits for a peer that does not answer, or takes nothing.
const tcpPatience = 30 * time.Second

// Type is the kind of a socket.
type Type C.int

// The sockets nodes use.
const (
	PUB  Type = C.ZMQ_PUB
	SUB  Type = C.ZMQ_SUB
	XPUB Type = C.ZMQ_XPUB // a PUB that receives its subscribers' subscriptions and their ends, repeated ones too
	XSUB Type = C.ZMQ_XSUB // a SUB that sends its subscriptions as messages
)

// DefaultMaxFrame is the greatest frame a socket accepts when its options do not say: 1 GiB.
const DefaultMaxFrame = 1 << 30

// Options are what a socket is made with. The zero value serves.
type Options struct {
	// SendLimit and ReceiveLimit are the high-water marks: how many messages wait for one peer. 0 is 1,000, with which
	// a queue stays in the processor's caches and TCP slows the sender down.
	SendLimit    int
	ReceiveLimit int
	// MaxFrame is the size in bytes of the largest frame accepted; a peer that sends a larger one is disconnected.
	// 0 is DefaultMaxFrame, and no more than 4 GiB - 1 is possible.
	MaxFrame int64
	// Sources lets Batch.Source tell who sent a message, at some cost for each.
	Sources bool
	// PeerAddresses lets Socket.PeerAddress return the sender of a message. Drain then takes one message at a time.
	PeerAddresses bool
	// Welcome is what an XPUB sends to everyone that connects and subscribes to it; none by default.
	Welcome string
	// Patience makes PUB and XPUB refuse a message that a peer's queue has no room for, instead of dropping it for
	// that peer: after waiting so long where a call can wait.
	Patience time.Duration
}

// Socket is a ZeroMQ socket that belongs to one goroutine. libzmq corrupts memory when two threads use a socket at
// once, which no race detector sees, so a second user in the middle of a call is answered with a panic.
type Socket struct {
	c    *C.dafka_socket
	busy atomic.Bool
	full bool // the last Drain stopped for lack of room

	sendLimit int
	patience  time.Duration
}

// Open makes a socket of the context.
func (c *Context) Open(t Type, o Options) (*Socket, error) {
	if c.zmq == nil {
		return nil, ErrClosed
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = DefaultMaxFrame
	}
	if o.MaxFrame < 0 || o.MaxFrame > 1<<32-1 {
		return nil, fmt.Errorf("largest frame of %d bytes: want 1 to 4 GiB - 1", o.MaxFrame)
	}
	sock, err := C.dafka_socket_new(c.zmq, C.int(t))
	if sock == nil {
		return nil, fmt.Errorf("new ZeroMQ socket: %w", zmqError(err))
	}
	s := &Socket{c: sock, sendLimit: orDefault(o.SendLimit), patience: o.Patience}
	if o.Sources {
		sock.sources = 1
	}
	if o.PeerAddresses {
		sock.peers = 1
	}
	options := []struct {
		name  C.int
		value int
	}{
		{C.ZMQ_SNDHWM, s.sendLimit},
		{C.ZMQ_RCVHWM, orDefault(o.ReceiveLimit)},
		{C.ZMQ_LINGER, 0},
		// A host that vanished without a word is noticed by TCP, within half a minute; one that does not speak ZMTP at
		// all is dropped by the handshake's limit. ZMTP's own heartbeats are not an option: they replace a connection
		// while its queue is full, and then libzmq aborts (its issue 3937).
		{C.ZMQ_TCP_KEEPALIVE, 1},
		{C.ZMQ_TCP_KEEPALIVE_IDLE, 15},
		{C.ZMQ_TCP_KEEPALIVE_INTVL, 5},
		{C.ZMQ_TCP_KEEPALIVE_CNT, 3},
		{C.ZMQ_TCP_MAXRT, int(tcpPatience.Milliseconds())},
		// When a cluster starts, every node connects to every other one at once.
		{C.ZMQ_BACKLOG, 4096},
		{C.ZMQ_HANDSHAKE_IVL, 3000},
		{C.ZMQ_RECONNECT_IVL, 100},
		{C.ZMQ_RECONNECT_IVL_MAX, 5000},
	}
	// ZMQ_XPUB_MANUAL, with which a node could refuse subscriptions, serves nobody: libzmq keeps those that are refused
	// too, uses freed memory when one is applied whose peer has left, and applies them to the wrong peers after a message
	// that is none.
	if t == XPUB {
		options = append(options, struct {
			name  C.int
			value int
		}{C.ZMQ_XPUB_VERBOSER, 1})
	}
	for _, option := range options {
		if err := s.set(option.name, option.value); err != nil {
			s.Close()
			return nil, err
		}
	}
	maxFrame := C.int64_t(o.MaxFrame)
	if rc, err := C.zmq_setsockopt(s.c.zmq, C.ZMQ_MAXMSGSIZE, unsafe.Pointer(&maxFrame), 8); rc != 0 {
		s.Close()
		return nil, fmt.Errorf("set largest frame: %w", zmqError(err))
	}
	if o.Welcome != "" {
		if err := s.setText(C.ZMQ_XPUB_WELCOME_MSG, o.Welcome); err != nil {
			s.Close()
			return nil, fmt.Errorf("welcome message: %w", err)
		}
	}
	if o.Patience > 0 {
		if err := errors.Join(s.Refuse(true), s.set(C.ZMQ_SNDTIMEO, max(1, int(o.Patience.Milliseconds())))); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func orDefault(limit int) int {
	if limit == 0 {
		return 1000
	}
	return limit
}

func (s *Socket) set(name C.int, value int) error {
	v := C.int(value)
	if rc, err := C.zmq_setsockopt(s.c.zmq, name, unsafe.Pointer(&v), C.size_t(unsafe.Sizeof(v))); rc != 0 {
		return fmt.Errorf("set ZeroMQ option %d to %d: %w", name, value, zmqError(err))
	}
	return nil
}

func (s *Socket) setText(name C.int, value string) error {
	v := C.CString(value)
	defer C.free(unsafe.Pointer(v))
	if rc, err := C.zmq_setsockopt(s.c.zmq, name, unsafe.Pointer(v), C.size_t(len(value))); rc != 0 {
		return zmqError(err)
	}
	return nil
}

// enter takes the socket for one call.
func (s *Socket) enter() error {
	if !s.busy.CompareAndSwap(false, true) {
		panic("zmqwire: socket used by two goroutines at once")
	}
	if s.c == nil {
		s.busy.Store(false)
		return ErrClosed
	}
	return nil
}

func (s *Socket) leave() { s.busy.Store(false) }

// Refuse says what a PUB or XPUB does with a message that some peer's queue has no room for: refuse it for all
// (ErrFull), or drop it for that peer.
func (s *Socket) Refuse(refuse bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	noDrop := 0
	if refuse {
		noDrop = 1
	}
	return s.set(C.ZMQ_XPUB_NODROP, noDrop)
}

// PeerAddress is the IP address of the peer that sent the message of the last Drain; not valid where that is not known.
// An IPv4 peer at a socket that listens for both families has its IPv4 address.
func (s *Socket) PeerAddress() netip.Addr {
	if s.c == nil {
		return netip.Addr{}
	}
	peer, err := netip.ParseAddr(C.GoString(&s.c.peer[0]))
	if err != nil {
		return netip.Addr{}
	}
	return peer.Unmap()
}

// Bind listens on an endpoint as ParseListenEndpoint reads it, and returns the endpoint it got, with the port. With * for
// the host it listens for IPv6 and IPv4, for IPv4 alone where the machine has no IPv6. What is queued for those who connect outlives the socket (Context.Close), unlike what is queued for a peer that
// the socket connects to, which may never be there.
func (s *Socket) Bind(endpoint string) (string, error) {
	if _, err := zmqwire.ParseListenEndpoint(endpoint); err != nil {
		return "", fmt.Errorf("bind %s: %w", endpoint, err)
	}
	bind := func(c *C.char) (rc C.int, err error) { rc, err = C.zmq_bind(s.c.zmq, c); return }
	ipv6 := isIPv6(endpoint)
	all := strings.HasPrefix(endpoint, "tcp://*:")
	err := s.endpoint(endpoint, ipv6 || all, bind)
	if err != nil && !ipv6 && !errors.Is(err, ErrInUse) {
		// All interfaces of a machine whose IPv6 is switched off; or an interface that has no IPv4.
		if again := s.endpoint(endpoint, !all, bind); again == nil {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("bind %s: %w", endpoint, err)
	}
	var bound [1024]C.char
	size := C.size_t(len(bound))
	if rc, err := C.zmq_getsockopt(s.c.zmq, C.ZMQ_LAST_ENDPOINT, unsafe.Pointer(&bound[0]), &size); rc != 0 {
		return "", fmt.Errorf("bind %s: %w", endpoint, zmqError(err))
	}
	return C.GoString(&bound[0]), s.set(C.ZMQ_LINGER, int(Lingering.Milliseconds()))
}

// Connect begins to connect and returns at once; libzmq tries again by itself until Disconnect. The host must be an IP
// literal: libzmq resolves names in its only I/O thread, which then serves nobody for half a minute.
func (s *Socket) Connect(endpoint string) error {
	if _, err := zmqwire.ParseEndpoint(endpoint); err != nil {
		return fmt.Errorf("connect %s: %w", endpoint, err)
	}
	connect := func(c *C.char) (rc C.int, err error) { rc, err = C.zmq_connect(s.c.zmq, c); return }
	if err := s.endpoint(endpoint, isIPv6(endpoint), connect); err != nil {
		return fmt.Errorf("connect %s: %w", endpoint, err)
	}
	return nil
}

// Disconnect ends the connection that Connect began with the same endpoint. What had arrived by it and was not drained
// is lost.
func (s *Socket) Disconnect(endpoint string) error {
	err := s.endpoint(endpoint, isIPv6(endpoint), func(c *C.char) (rc C.int, err error) {
		rc, err = C.dafka_disconnect(s.c, c)
		s.full = s.full || s.c.behind != nil
		return
	})
	if err != nil {
		return fmt.Errorf("disconnect %s: %w", endpoint, err)
	}
	return nil
}

func isIPv6(endpoint string) bool { return strings.Contains(endpoint, "[") }

func (s *Socket) endpoint(endpoint string, ipv6 bool, call func(*C.char) (C.int, error)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	// With this option on, libzmq makes even IPv4 connections over IPv6 sockets, which a machine may not have.
	option := 0
	if ipv6 {
		option = 1
	}
	if err := s.set(C.ZMQ_IPV6, option); err != nil {
		return err
	}
	c := C.CString(endpoint)
	defer C.free(unsafe.Pointer(c))
	for {
		rc, err := call(c)
		if rc == 0 {
			return nil
		}
		// A signal, such as Go's own scheduler sends, interrupts libzmq before it has begun. Nobody else would try again: a
		// store that is not connected to a producer never hears it.
		if !errors.Is(err, syscall.EINTR) {
			return zmqError(err)
		}
	}
}

// Subscribe asks for all messages that begin with prefix, or with its first 245 bytes if it has 246 to 255; as often as it
// is called, so often Unsubscribe must be. Whoever receives must look at names anyway: a topic may be another one's prefix.
func (s *Socket) Subscribe(prefix string) error { return s.subscription(C.ZMQ_SUBSCRIBE, prefix) }

// Unsubscribe takes one Subscribe back.
func (s *Socket) Unsubscribe(prefix string) error { return s.subscription(C.ZMQ_UNSUBSCRIBE, prefix) }

func (s *Socket) subscription(option C.int, prefix string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	// With its command's name a longer one is longer than a short frame may be, and libzmq 4.3 sends it as one: what the
	// other end makes of that is no subscription, and the connection is lost.
	const longest, mangledTo = 245, 255
	if len(prefix) > longest && len(prefix) <= mangledTo {
		prefix = prefix[:longest]
	}
	if err := s.setText(option, prefix); err != nil {
		return fmt.Errorf("subscribe %.300q: %w", prefix, err)
	}
	return nil
}

// Drain replaces the batch's messages by those that wait at the socket, as many as the batch has room for. It does not
// wait: no message is an empty batch. What the batch held before is overwritten, its frames included.
//
// A message larger than the batch makes it grow, and the next Drain lets that room go again.
func (s *Socket) Drain(b *Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	b.makeRoom(0)
	for {
		var needed C.size_t
		n := C.dafka_drain(s.c, (*C.char)(unsafe.Pointer(unsafe.SliceData(b.bytes))), C.size_t(cap(b.bytes)),
			(*C.dafka_shape)(unsafe.Pointer(unsafe.SliceData(b.shapes))), C.int(cap(b.shapes)), &needed)
		if n < 0 {
			if n == -C.EAGAIN {
				n = 0
			} else {
				return fmt.Errorf("receive: %w", zmq4.Errno(-n))
			}
		}
		if n == 0 && needed > 0 {
			b.makeRoom(int(needed))
			continue
		}
		b.shapes = b.shapes[:n]
		b.bytes = b.bytes[:b.size()]
		s.full = s.c.held.frames > 0 || s.c.behind != nil || int(n) == cap(b.shapes) || s.c.peers != 0 && n > 0
		return nil
	}
}

// Send sends the batch's messages in order without waiting, and returns how many it sent. Fewer than all, even none,
// means that a peer's queue is full, which only happens while Refuse is on.
func (s *Socket) Send(b *Batch) (int, error) {
	if len(b.shapes) == 0 {
		return 0, nil
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	n := C.dafka_send(s.c, (*C.char)(unsafe.Pointer(unsafe.SliceData(b.bytes))),
		(*C.dafka_shape)(unsafe.Pointer(unsafe.SliceData(b.shapes))), C.int(len(b.shapes)))
	return sent(n)
}

// SendRun sends the records from..to-1 of a run, each behind the header (AppendRunHeader) and its sequence, and returns
// how many it sent. Fewer than asked for, even none, means that a peer's queue is full, which only happens while Refuse
// is on, or that the load has no room (nil has); with wait, for as long as the socket's patience.
func (s *Socket) SendRun(header []byte, run *zmqwire.Run, from, to int, load *Load, wait bool) (int, error) {
	if from >= to {
		return 0, nil
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	var patience C.int
	if wait {
		patience = C.int(max(1, s.patience.Milliseconds()))
	}
	var counted *C.dafka_load
	if load != nil {
		counted = load.c
	}
	n := C.dafka_send_run(s.c, (*C.char)(unsafe.Pointer(unsafe.SliceData(header))), C.size_t(len(header)),
		C.uint64_t(run.First), (*C.char)(unsafe.Pointer(unsafe.SliceData(run.Contents))),
		(*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(run.Ends))), C.int(from), C.int(to), counted, patience)
	runtime.KeepAlive(load)
	return sent(n)
}

// Window is how many messages a peer's queue has room for at any time if all before them have reached the peer: it
// tells in steps of half its limit what has left it.
func (s *Socket) Window() int { return s.sendLimit / 2 }

// sent makes of what a C call returned what a send returns.
func sent(n C.int) (int, error) {
	switch {
	case n >= 0:
		return int(n), nil
	case n == -C.EAGAIN:
		return 0, nil
	}
	return 0, fmt.Errorf("send: %w", zmq4.Errno(-n))
}

// Close closes the socket. A second call does nothing.
func (s *Socket) Close() error {
	if err := s.enter(); err != nil {
		return nil
	}
	defer s.leave()
	rc := C.dafka_socket_close(s.c)
	s.c = nil
	if rc < 0 {
		return fmt.Errorf("close: %w", zmq4.Errno(-rc))
	}
	return nil
}

// zmqError gives libzmq's own error numbers their text.
func zmqError(err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return zmq4.Errno(errno)
	}
	return err
}

// LibraryVersion is the version of the libzmq in use at run time, such as "4.3.5". zmq4's own Version says 0.0.0 of one
// that it does not know.
func LibraryVersion() string {
	var major, minor, patch C.int
	C.zmq_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}
