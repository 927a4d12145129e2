package bench

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A C program that hangs costs its own figure, and no other; one that fails or says nothing is an error.
func TestBenchOfC(t *testing.T) {
	for _, test := range []struct {
		script string
		want   string
		hung   bool
	}{
		{"echo 'mean throughput: 1234 [msg/s]'", "", false},
		{"exec sleep 60", "sh: did not finish", true},
		{"exit 3", "sh: exit status 3", false},
		{"echo hello", "printed no throughput", false},
	} {
		c := &cCluster{bench: &bench{ctx: t.Context()}, bin: "/bin", bound: time.Second, flags: []string{"-c", test.script}}
		command, err := c.start("sh")
		if err != nil {
			t.Fatal(err)
		}
		rate, err := c.rate(command)
		if test.want == "" && (err != nil || rate != 1234) {
			t.Errorf("%s: %v, error %v", test.script, rate, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, errHung) != test.hung) {
			t.Errorf("%s: error %v, want %s", test.script, err, test.want)
		}
	}
}
