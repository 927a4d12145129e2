// Package interop runs clusters of real processes: Go nodes alone, Go and C nodes mixed, in containers, and under
// faults. It also holds the rules for what may import what, which no single package can see.
package interop
