//go:build race

package interop

import "os"

// A program that looks for races sleeps for a second before it exits, in which it may still find some. That is not what
// the tests of how long programs take are about.
func init() {
	raced, buildFlags = true, append(buildFlags, "-race")
	os.Setenv("GORACE", "atexit_sleep_ms=100 "+os.Getenv("GORACE"))
}
