// Package flow has the rules of the protocol that more than one kind of node follows: the order of a partition's records
// (Order), which records to request and when (Backlog), how requests are answered (Answers), and how what peers make a node
// hold is shared out (Shares, Turns).
//
// These types decide. They hold no socket and read no clock: the time is a parameter. Each belongs to one goroutine.
//
// The package serves the nodes of this module. It makes no promise to stay compatible.
package flow
