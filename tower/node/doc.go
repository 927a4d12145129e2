// Package node has what producers, consumers and both halves of a store are made of: a Node owns the sockets of a member of
// the cluster, announces it to the towers, learns of the other members, connects to them, and disconnects those that fell
// silent.
//
// A Node belongs to one goroutine, which calls Wait in a loop. Methods that any goroutine may call say so.
//
// The package serves the nodes of this module. It makes no promise to stay compatible.
package node
