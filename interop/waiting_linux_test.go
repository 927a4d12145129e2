package interop

import (
	"strings"
	"syscall"
	"testing"
)

// On a terminal a consumer says what it waits for when no node knows it; into a file it says nothing.
func TestConsumerSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	c.produce("hello", lines("a", 10)).mustEnd(0)
	quiet := c.start(nil, "consume", "none", "--from-beginning")
	waiting := make(map[string]*process)
	for args, want := range map[string]string{
		"none --from-beginning":              "no node knows topic none; waiting",
		"none":                               "no producer announces topic none; waiting",
		"--prefix no. -o start":              "no node knows a topic that begins with no.; waiting",
		"hello -o 100":                       "no partition has a record 100, where -o begins: the longest has 10 records; waiting",
		"hello -o start --partition NOWHERE": "no node knows partition NOWHERE of what is read; waiting",
	} {
		waiting[want] = c.startOnTerminal(nil, append([]string{"consume"}, strings.Fields(args)...)...)
	}
	known := c.startOnTerminal(nil, "consume", "hello", "--from-beginning")
	for want, p := range waiting {
		p.waitFor(want)
		p.end(syscall.SIGTERM, 0)
	}
	for _, p := range []*process{known, quiet} {
		p.end(syscall.SIGTERM, 0)
		if said := p.stderr.String(); strings.Contains(said, "waiting") {
			t.Errorf("%s says %q", p, said)
		}
	}
}
