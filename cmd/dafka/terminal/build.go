package terminal

import (
	"runtime/debug"
	"strings"
)

// BuildVersion is the module's version, and the commit where the build knows it.
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	build := make(map[string]string)
	for _, s := range info.Settings {
		build[s.Key] = s.Value
	}
	if commit := build["vcs.revision"]; len(commit) >= 12 && !strings.Contains(v, commit[:12]) {
		v += " commit " + commit[:12]
		if build["vcs.modified"] == "true" {
			v += " with changes"
		}
	}
	return v
}
