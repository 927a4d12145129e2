//go:build race

package interop

func init() { raced, buildFlags = true, append(buildFlags, "-race") }
