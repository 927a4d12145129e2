package interop

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// Containers in different networks.

// TestContainersAcrossNetworks has a tower in one network, a store in another, a producer and consumers in a third. They
// reach each other only through the ports that the host publishes, which is what each advertises. C nodes cannot be told
// their port, so Go plays all roles.
func TestContainersAcrossNetworks(t *testing.T) {
	t.Parallel()
	needContainers(t)
	all := roles{goPlayer, goPlayer, goPlayer, goPlayer}
	scores.keep(t, "across container networks", all, func(t *trial) (string, func() map[string]int) {
		towers, stores, others := newFleet(t, all), newFleet(t, all), newFleet(t, all)
		// host is the host's address in a network.
		host := func(f *fleet) string {
			t.Helper()
			return f.docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", f.name)
		}
		pub, sub := freePorts(t)
		towers.running(towers.start(goPlayer, nil, []string{
			"--publish", fmt.Sprintf("%d:5557", pub), "--publish", fmt.Sprintf("%d:5556", sub),
		}, "tower"))
		at := host(towers)
		stores.meet = []string{"--pub", fmt.Sprintf("tcp://%s:%d", at, pub), "--sub", fmt.Sprintf("tcp://%s:%d", at, sub)}
		others.meet = stores.meet
		open := func(f *fleet, stdin io.Reader, args ...string) *box {
			t.Helper()
			port, next := freePorts(t)
			ports := fmt.Sprintf("%[1]d-%[2]d:%[1]d-%[2]d", port, next)
			b := f.start(goPlayer, stdin, []string{"--publish", ports},
				append(args, "--address", host(f), "--bind", fmt.Sprint(port))...)
			f.running(b)
			return b
		}

		open(stores, nil, "store", "--db", "/data")
		consume := []string{"consume", "hello", "--from-beginning", "--format", "c"}
		live := open(others, nil, consume...)
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		producer := open(others, in, "produce", "hello")
		want := lines("a", 1000)
		if _, err := io.WriteString(out, strings.Join(want, "\n")+"\n"); err != nil {
			t.Fatal(err)
		}
		live.waitForLines(len(want))
		out.Close()
		producer.mustEnd(0)
		equal(t, "live", partitions{"hello/a": want}, live.printed())
		late := open(others, nil, consume...)
		late.waitForLines(len(want))
		equal(t, "from the store in another network", partitions{"hello/a": want}, late.printed())
		return "", func() map[string]int { return nil }
	})
}

// freePorts gives two ports of the host that follow one another.
func freePorts(t testing.TB) (port, next int) {
	t.Helper()
	c := meetingPoint(t)
	for endpoint, to := range map[string]*int{c.pub[0]: &port, c.sub[0]: &next} {
		if _, err := fmt.Sscanf(endpoint, "tcp://127.0.0.1:%d", to); err != nil {
			t.Fatal(err)
		}
	}
	return port, next
}
