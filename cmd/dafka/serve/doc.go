// Package serve runs a tower, a store or both in a process until a signal ends it. It serves metrics and health over HTTP,
// and notifies systemd.
package serve
