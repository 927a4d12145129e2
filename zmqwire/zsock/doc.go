// Package zsock is libzmq as Dafka's nodes use it: contexts, sockets that move many messages with one call of C, pollers,
// and what a node can learn about the connections behind a socket. It is the only package that uses cgo, in socket.c.
//
// A Socket belongs to one goroutine. The bytes that a Batch returns stay valid until the batch is used for the next call.
//
// The package serves the nodes of this module. It makes no promise to stay compatible.
package zsock
