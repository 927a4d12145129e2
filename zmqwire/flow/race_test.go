//go:build race

package flow

// The race detector makes a simulation ten times slower, and it has one goroutine.
func init() { simulations = 500 }
