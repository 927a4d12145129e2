package zsock

// #include "socket.h"
import "C"

import "runtime"

// Load counts the bytes of contents that libzmq holds for peers, and bounds them: its own limits count messages, and a
// thousand of them may be a gigabyte. What several peers are sent counts once, until the last of them has it. Contents
// below 1 KiB are left to libzmq's limit.
//
// The bound cannot be a high-water mark that changes with the size of records: libzmq up to 4.3.5 writes into freed
// memory when one is set while a connection ends.
type Load struct {
	c *C.dafka_load
}

// NewLoad makes a load of at most so many bytes, or of one larger content. Several loads can share the bound of a
// parent, which then counts what any of them does; each of them may hold one content in spite of it.
func NewLoad(most int64, parent *Load) *Load {
	var counted *C.dafka_load
	if parent != nil {
		counted = parent.c
	}
	l := &Load{C.dafka_load_new(C.size_t(most), counted)}
	runtime.KeepAlive(parent)
	if l.c == nil {
		panic("zmqwire: out of memory")
	}
	runtime.AddCleanup(l, func(c *C.dafka_load) { C.dafka_load_free(c) }, l.c)
	return l
}

// Bytes is how much is under way.
func (l *Load) Bytes() int { return int(C.dafka_load_bytes(l.c)) }
