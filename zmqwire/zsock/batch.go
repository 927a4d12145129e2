package zsock

// #include "socket.h"
import "C"

import (
	"github.com/godafka/dafka/zmqwire"
	"net/netip"
	"syscall"
)

const (
	batchBytes    = 512 << 10
	batchMessages = 4096
)

// Batch is a number of whole messages in one buffer: what one call moves between Go and libzmq. It is made once and
// used again and again; the frames it hands out live until it is drained into or reset.
type Batch struct {
	bytes  []byte
	shapes []C.dafka_shape
	frames [C.DAFKA_FRAMES + 1][]byte
	next   int // the message Next gives
	offset int // where its bytes begin
}

// NewBatch returns a batch with room for some 4,096 small messages.
func NewBatch() *Batch {
	return &Batch{
		bytes:  make([]byte, 0, batchBytes),
		shapes: make([]C.dafka_shape, 0, batchMessages),
	}
}

// makeRoom empties the batch and gives it room for one message of so many bytes, or its usual room.
func (b *Batch) makeRoom(bytes int) {
	if bytes > cap(b.bytes) || bytes == 0 && cap(b.bytes) > batchBytes {
		b.bytes = make([]byte, 0, max(bytes, batchBytes))
	}
	b.Reset()
}

// Reset empties the batch.
func (b *Batch) Reset() {
	b.bytes, b.shapes = b.bytes[:0], b.shapes[:0]
	b.next, b.offset = 0, 0
}

// Cut removes the first n messages, those that were sent.
func (b *Batch) Cut(n int) {
	rest := Batch{shapes: b.shapes[n:]}
	b.bytes = append(b.bytes[:0], b.bytes[len(b.bytes)-rest.size():]...)
	b.shapes = append(b.shapes[:0], rest.shapes...)
	b.next, b.offset = 0, 0
}

// Len is the number of messages in the batch.
func (b *Batch) Len() int { return len(b.shapes) }

// Add appends a message of one to four frames, copying their bytes.
func (b *Batch) Add(frames ...[]byte) {
	shape := C.dafka_shape{frames: C.uint32_t(len(frames))}
	for i, frame := range frames {
		shape.length[i] = C.uint32_t(len(frame))
		b.bytes = append(b.bytes, frame...)
	}
	b.shapes = append(b.shapes, shape)
}

// AddMessage appends a message, encoded. An error (see Message.Append) leaves the batch as it was.
func (b *Batch) AddMessage(m *zmqwire.Message) error {
	start := len(b.bytes)
	var err error
	if b.bytes, err = m.Append(b.bytes); err != nil {
		return err
	}
	shape := C.dafka_shape{frames: 1}
	shape.length[0] = C.uint32_t(len(b.bytes) - start)
	if m.Kind.HasContent() {
		shape.frames = 2
		shape.length[1] = C.uint32_t(len(m.Content))
		b.bytes = append(b.bytes, m.Content...)
	}
	b.shapes = append(b.shapes, shape)
	return nil
}

// Next gives the frames of the next message, nil after the last. Of a message with more than four frames it gives five,
// the last one nil: no message has so many, and none is taken for a shorter one. The slice itself is used again by the
// next call.
func (b *Batch) Next() [][]byte {
	if b.next == len(b.shapes) {
		return nil
	}
	shape := &b.shapes[b.next]
	b.next++
	frames := min(int(shape.frames), len(b.frames))
	for i := range min(frames, C.DAFKA_FRAMES) {
		end := b.offset + int(shape.length[i])
		b.frames[i] = b.bytes[b.offset:end:end]
		b.offset = end
	}
	return b.frames[:frames]
}

// Source is the endpoint of the peer that sent the message Next gave last, which tells apart peers whose messages do
// not name their sender. It is known while the connection lasts, and when the socket that received it has Sources.
func (b *Batch) Source() (peer netip.AddrPort, ok bool) { return PeerOf(b.Connection()) }

// Origin is Source for those who count: a connection that has ended is the unspecified endpoint, which is valid, and one
// that is not known, because the socket has no Sources, the zero one. It takes some 300 ns.
func (b *Batch) Origin() netip.AddrPort {
	connection := b.Connection()
	if connection < 0 {
		return netip.AddrPort{}
	}
	if peer, ok := PeerOf(connection); ok {
		return peer
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}

// Connection is the connection by which the message came that Next gave last: its file descriptor, which another one may
// have when this one has ended, and -1 when the socket that received it has no Sources, or there is no message.
func (b *Batch) Connection() int {
	if b.next == 0 {
		return -1
	}
	return int(b.shapes[b.next-1].source)
}

// HangUp ends a connection to a peer, if it is one. libzmq takes it for one that has failed. What it held for the last one
// that was hung up on is given back to the system: it may have been much, in small pieces.
func HangUp(connection int) {
	if _, ok := PeerOf(connection); ok {
		C.dafka_hang_up(C.int(connection))
	}
}

// PeerOf is the endpoint of the peer at the other end of a connection, as long as that lasts.
func PeerOf(connection int) (peer netip.AddrPort, ok bool) {
	if connection < 0 {
		return netip.AddrPort{}, false
	}
	address, err := syscall.Getpeername(connection)
	if err != nil {
		return netip.AddrPort{}, false
	}
	switch a := address.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), true
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), true
	}
	return netip.AddrPort{}, false
}

// size is the sum of the frames' lengths.
func (b *Batch) size() int {
	size := 0
	for i := range b.shapes {
		shape := &b.shapes[i]
		for j := range min(int(shape.frames), C.DAFKA_FRAMES) {
			size += int(shape.length[j])
		}
	}
	return size
}
