package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// row is an object that a command printed.
type row = map[string]any

// look runs a command that prints JSON, which must end with this status.
func (c *cluster) look(status int, into any, args ...string) {
	c.t.Helper()
	p := c.start(nil, append([]string{args[0], "--format", "json"}, args[1:]...)...)
	p.mustEnd(status)
	if err := json.Unmarshal([]byte(p.stdout.String()), into); err != nil {
		c.t.Fatalf("%s: %v: %s", p, err, p.stdout.String())
	}
}

// rows runs a command that prints rows, without the fields that differ from run to run.
func (c *cluster) rows(args ...string) (rows []row) {
	c.t.Helper()
	c.look(0, &rows, args...)
	for _, r := range rows {
		if text, ok := r["began"].(string); r["partition"] != nil {
			if began, err := time.Parse(time.RFC3339, text); !ok || err != nil || time.Since(began) > time.Hour || time.Until(began) > time.Minute {
				c.t.Errorf("partition %v began at %v, %v", r["partition"], r["began"], err)
			}
		}
		for _, name := range []string{"began", "address", "partition", "endpoint", "last_beacon_seconds", "last_heard_seconds"} {
			delete(r, name)
		}
		stores, _ := r["stores"].([]any)
		for _, s := range stores {
			delete(s.(row), "endpoint")
		}
	}
	return rows
}

// findings runs the doctor.
func (c *cluster) findings(status int, flags ...string) (whats []string) {
	c.t.Helper()
	var d struct {
		Findings []struct{ Level, What, Do string }
	}
	c.look(status, &d, append([]string{"doctor"}, flags...)...)
	for _, f := range d.Findings {
		whats = append(whats, f.Level+": "+f.What)
	}
	return whats
}

// finds says that the findings are these, by their beginnings.
func finds(t *testing.T, got []string, want ...string) {
	t.Helper()
	same := slices.EqualFunc(got, want, strings.HasPrefix)
	if !same {
		t.Errorf("findings:\n%s\nwant those that begin with:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	finds(t, c.findings(2), "error: no store is there")
	c.store(filepath.Join(t.TempDir(), "one"))
	finds(t, c.findings(0))
	c.produce("gone", lines("gone", 3)).mustEnd(0)
	_, publish, _ := c.produceSlowly("alive")
	publish(lines("alive", 5)...)
	c.awaitHeads("gone", 1, 1, 3)
	c.awaitHeads("alive", 1, 1, 5)
	// Whether one store is meant, as it is for development, only the user knows.
	finds(t, c.findings(0), "note: 2 partitions are held by one store only, 127.0.0.1:")
	finds(t, c.findings(0, "--stores", "1"))
	finds(t, c.findings(2, "--stores", "2"), "error: 1 store is there, 2 should be", "note: 2 partitions")

	second := c.store(filepath.Join(t.TempDir(), "two"))
	c.awaitHeads("gone", 2, 1, 3)
	c.awaitHeads("alive", 2, 1, 5)
	consumer := c.consume("alive").connected()
	finds(t, c.findings(0))

	if diff := cmp.Diff([]row{
		{"topic": "alive", "partitions": 1., "producers": 1., "records": 5.},
		{"topic": "gone", "partitions": 1., "producers": 0., "records": 3.},
	}, c.rows("topics")); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	at := func(head float64) []any {
		s := row{"head": head, "lacks": 0.}
		return []any{s, s}
	}
	gone := row{"topic": "gone", "records": 3., "producer": "gone", "stores": at(2)}
	if diff := cmp.Diff([]row{{"topic": "alive", "records": 5., "producer": "alive", "stores": at(4)}, gone}, c.rows("partitions")); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]row{gone}, c.rows("partitions", "gone")); diff != "" {
		t.Errorf("partitions of a topic (-want +got):\n%s", diff)
	}
	store := row{"made_in": "go", "partitions": 2., "records": 8., "lacks": 0.}
	if diff := cmp.Diff([]row{store, store}, c.rows("stores")); diff != "" {
		t.Errorf("stores (-want +got):\n%s", diff)
	}
	var roles []row
	for _, role := range []string{"consumer", "producer", "store", "store", "store writer", "store writer"} {
		r := row{"role": role, "made_in": "go"}
		if role == "consumer" || role == "producer" {
			r["topics"] = []any{row{"topic": "alive"}}
		}
		roles = append(roles, r)
	}
	if diff := cmp.Diff(roles, c.rows("peers")); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}

	sniff := c.start(nil, "sniff", "--topic", "alive", "--kind", "record,ack", "--verbose")
	sniff.waitFor("connected to tower")
	// It connects to the producer when it hears of it, some time after the tower.
	sent := 5
	eventually(t, "a RECORD and an ACK are printed", func() bool {
		publish(fmt.Sprint("alive ", sent))
		sent++
		said := sniff.stdout.String()
		return strings.Contains(said, " RECORD topic=alive partition=") && strings.Contains(said, ` "alive `) &&
			strings.Contains(said, " ACK topic=alive partition=")
	})
	sniff.end(syscall.SIGINT, 0)
	consumer.end(syscall.SIGINT, 0)

	watch := c.start(nil, "stores", "--watch")
	watch.waitForLines(6) // two tables of two stores
	second.kill()
	eventually(t, "a store less", func() bool {
		tables := strings.Split(watch.stdout.String(), "ENDPOINT")
		return strings.Count(tables[len(tables)-2], "127.0.0.1:") == 1
	})
	watch.end(syscall.SIGTERM, 0)
}

// A sender of bytes that nobody understands is named.
func TestDoctorBlamesSenders(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	node, err := node.Join(c.node(), node.Sockets{Publish: zsock.PUB})
	if err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan bool), make(chan error, 1)
	go func() {
		batch := zsock.NewBatch()
		for {
			select {
			case <-done:
				ended <- node.Close()
				return
			default:
			}
			batch.Reset()
			batch.Add([]byte("Ht\x00\x02\x01P\x01t\x00\x00\x00\x00\x00\x00\x00\x00"))
			batch.Add([]byte("H"))
			node.Pub.Send(batch)
			node.Wait(50*time.Millisecond, func() bool { return false })
		}
	}()
	finds(t, c.findings(1), "warning: 1 node does not connect to this command at tcp://127.0.0.1:",
		"warning: unknown "+node.Address()+" at 127.0.0.1:", "warning: unknown "+node.Address()+" at 127.0.0.1:")
	close(done)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A node that hears one tower and announces itself to another finds nobody, and would not know why.
func TestDoctorSeesTowersMixedUp(t *testing.T) {
	t.Parallel()
	one, other := newCluster(t), newCluster(t)
	mixed := &cluster{t: t, pub: one.pub, sub: other.sub}
	got := mixed.findings(2)
	finds(t, got, "error: the tower at "+one.pub[0]+" does not announce nodes that announce themselves", "error: no store is there")
}

func TestInspectWithoutTower(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, pub: []string{"tcp://127.0.0.1:1"}, sub: []string{"tcp://127.0.0.1:1"}}
	p := c.start(nil, "topics")
	p.mustEnd(3)
	if said := p.stderr.String(); !strings.Contains(said, "dafka: error: no tower was heard at tcp://127.0.0.1:1") {
		t.Errorf("stderr %q", said)
	}
	finds(t, c.findings(2), "error: no tower is heard at tcp://127.0.0.1:1")
}

// Inputs are split, and outputs begun and formatted, as the flags say.
func TestProduceAndConsumeFlags(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("whole\nfile\x00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(nil, "produce", "--whole", "log.whole", file).mustEnd(0)
	c.start(strings.NewReader("a|b\n|c"), "produce", "--delimiter", "|", "--rate", "1000", "--timeout", "20s", "log.split").mustEnd(0)
	c.produce("other", lines("other", 10)).mustEnd(0)
	c.awaitHeads("log.whole", 1, 1, 1)
	c.awaitHeads("log.split", 1, 1, 3)

	var rows []struct{ Partition string }
	c.look(0, &rows, "partitions", "other")
	c.produce("other", lines("second", 10)).mustEnd(0)
	var both []struct{ Partition string }
	c.look(0, &both, "partitions", "other")

	for _, test := range []struct {
		args string
		want []string // sorted
	}{
		{"--prefix log. -o start -f '%t:%s:%c;'", []string{"log.split:0:a", "log.split:1:b\n", "log.split:2:c", "log.whole:0:whole\nfile\x00\n"}},
		{"other -o -2 -f %s;", []string{"8", "8", "9", "9"}},
		{"other -o 7 -f %s;", []string{"7", "7", "8", "8", "9", "9"}},
		{"other -o 7 --partition " + rows[0].Partition + " -f %s:%c;", []string{
			"7:" + lines("other", 10)[7], "8:" + lines("other", 10)[8], "9:" + lines("other", 10)[9]}},
		{"other -o start -n 2 --partition " + rows[0].Partition + " -f %c;", lines("other", 2)},
		{"other -o 10 -f %s;", nil},
		{"other -o end -f %s;", nil},
		{"--all -o start --exclude oth* -f '%t:%s:%c;'", []string{"log.split:0:a", "log.split:1:b\n", "log.split:2:c", "log.whole:0:whole\nfile\x00\n"}},
		{"--all -o start --exclude *.whole --exclude other -f '%t:%s;'", []string{"log.split:0", "log.split:1", "log.split:2"}},
		{"other -o 9 --partition " + both[0].Partition + " --partition " + both[1].Partition + " -f %s;", []string{"9", "9"}},
	} {
		p := c.start(nil, append([]string{"consume", "--until-end"}, strings.Fields(strings.ReplaceAll(test.args, "'", ""))...)...)
		p.mustEnd(0)
		var got []string
		for record := range strings.SplitSeq(strings.TrimSuffix(p.stdout.String(), ";"), ";") {
			if record != "" {
				got = append(got, record)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.args, diff)
		}
	}

	// What no node knows is an error that says so.
	for args, want := range map[string]string{
		"log. -o start":                     "no node knows topic log.; ",
		"--prefix none. also. -o start":     "no node knows a topic that begins with also., and no node knows a topic that begins with none.; ",
		"other -o 100":                      "no partition has a record 100, where -o begins: the longest has 10 records; ",
		"other -o start --partition NOBODY": "no node knows partition NOBODY of what is read; ",
	} {
		p := c.start(nil, append([]string{"consume", "--until-end", "-f", ""}, strings.Fields(args)...)...)
		p.mustEnd(1)
		if said := p.stderr.String(); !strings.Contains(said, want) || p.stdout.String() != "" {
			t.Errorf("%s: stdout %q, stderr %q, want %q", args, p.stdout.String(), said, want)
		}
	}
}
