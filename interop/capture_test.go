package interop

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// The capture of a C cluster, which a cluster of any assignment is held against: a consumer, a producer of five records,
// a store that comes late, and another consumer.

// captured is what the capture published.
var captured = []string{"event 1", "event 2", "event 3", "", "café"}

// conversation is what all nodes together subscribed to, sorted, and what each of them said, in order. Addresses stand as
// the names of their nodes; what is said twice running stands once, because HEADs are repeated for as long as a cluster
// runs.
type conversation map[string][]string

// subscribers is where a conversation has the subscriptions.
const subscribers = "subscribers"

// hear makes a conversation of what was heard; names are those of the nodes, by address. Hellos are left out: who listens
// to them changes what is said.
func hear(names map[string]string, heard transcript) conversation {
	var pairs []string
	for address, name := range names {
		pairs = append(pairs, address, name)
	}
	named := strings.NewReplacer(pairs...)

	said := make(conversation)
	say := func(node, what string) {
		if n := len(said[node]); n == 0 || said[node][n-1] != what {
			said[node] = append(said[node], what)
		}
	}
	for _, s := range heard.subscriptions {
		if s = named.Replace(s); !slices.Contains(said[subscribers], s) {
			said[subscribers] = append(said[subscribers], s)
		}
	}
	slices.Sort(said[subscribers])
	for _, frames := range heard.messages {
		var m zmqwire.Message
		if m.Decode([][]byte{[]byte(frames[0]), []byte(strings.Join(frames[1:], ""))}[:len(frames)]) != nil {
			continue // the tap has told
		}
		// C asks for all there may be, Go for all there is; either must begin at the same record.
		if m.Kind == zmqwire.Fetch {
			frames = []string{frames[0][:len(frames[0])-4]}
		}
		from := named.Replace(string(m.Address))
		switch m.Kind {
		case zmqwire.ConsumerHello, zmqwire.StoreHello:
			continue
		case zmqwire.Ack:
			// Those of the first records may be one with that of the last, or not.
			said["acker"] = nil
			from = "acker"
		case zmqwire.DirectHead:
			from = "reader"
			// Whether a store has records already when it meets a consumer is chance.
			if named.Replace(string(m.Routing)) == "consumer" {
				continue
			}
		case zmqwire.DirectRecord:
			// Their address is the partition's; a store asks producers, and consumers ask stores here.
			from = "producer to writer"
			if to := named.Replace(string(m.Routing)); to != "writer" {
				from = "reader to " + to
			}
		}
		say(from, named.Replace(strings.Join(frames, " | ")))
	}
	return said
}

// readCapture reads what the C cluster said. The last consumer in it reads from latest, which no other scenario does.
func readCapture(t *trial) conversation {
	t.Helper()
	file, err := os.Open("../zmqwire/testdata/c-dafka-cluster.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const latest = "057ABEB96BB14029BF26F25223EC57A5"
	names := map[string]string{
		"4D448FF50F3D470B83A2F3189A64480E": "consumer",
		"8F4D3AD6199B4E1A8E88E16F6535B2E8": "producer",
		"11E732A07FA847A48A0179007C5D0ADF": "writer",
		"C741337462614F3F91494738B727BB9A": "reader",
		"A8ACDDD669C44428A362F78D9238DE83": "late consumer",
	}
	var heard transcript
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			Kind   string
			Frames []string `json:"frames_hex"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		var frames []string
		for _, digits := range line.Frames {
			frame, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, string(frame))
		}
		switch {
		case strings.Contains(frames[0], latest):
		case line.Kind == "message":
			heard.messages = append(heard.messages, frames)
		case line.Kind == "subscription" && frames[0][0] == 1:
			heard.subscriptions = append(heard.subscriptions, frames[0][1:])
		}
	}
	return hear(names, heard)
}

// ownConsumer is a consumer by the name of C's program, which waits a second before it subscribes, so that the tap hears
// all that it says.
func (m *cast) ownConsumer() *process {
	m.t.Helper()
	if m.plays.consumer == cPlayer {
		return m.liveConsumer("hello")
	}
	link := filepath.Join(m.t.TempDir(), cPrograms["consume"])
	if err := os.Symlink(program, link); err != nil {
		m.t.Fatal(err)
	}
	return run(m.t, nil, exec.Command(link, "hello", "--from-beginning", "-c", m.config(""), "--pub", m.pub[0], "--sub", m.sub[0]))
}

// asCaptured does what the cluster of the capture did, and wants the same to be said, byte for byte.
func asCaptured(m *cast) string {
	names := make(map[string]string)
	// name names the node that subscribed to what is for it, and has no name yet.
	name := func(kind, name string) {
		m.t.Helper()
		eventually(m.t, "the subscriptions of the "+name, func() bool {
			for _, address := range m.heard.subscribers(kind) {
				if names[address] == "" {
					names[address] = name
					return true
				}
			}
			return false
		})
	}
	got := m.ownConsumer()
	name("E", "consumer")
	p := m.openProducer("hello")
	name("K", "producer")
	p.ready = time.Now().Add(cSettle) // so that nobody has to fetch
	p.publish(captured...)
	got.waitForLines(len(captured))
	eventually(m.t, "a HEAD", func() bool { return m.heard.count(zmqwire.Head) > 0 })
	m.openStore(m.plays.store, m.t.TempDir())
	name("W", "reader")
	name("D", "writer")
	eventually(m.t, "the ACK of all records", func() bool { return m.heard.count(zmqwire.Ack) > 0 })
	late := m.ownConsumer()
	name("E", "late consumer")
	late.waitForLines(len(captured))
	published := partitions{"hello/event": captured}
	equal(m.t, "live", published, got.printed())
	equal(m.t, "late", published, late.printed())
	p.done()

	want, said := readCapture(m.t), hear(names, m.heard.transcript())
	// A Go store asks the others for what they have; a C store never does.
	if m.plays.store == goPlayer {
		for node, own := range map[string]string{subscribers: "Ewriter", "writer": "G\x00\x01 writer"} {
			said[node] = slices.DeleteFunc(said[node], func(what string) bool { return what == own })
		}
	}
	// A node may begin to speak before the tap has found it; what follows from its first words is heard all the same.
	for _, node := range []string{"consumer", "late consumer", "writer"} {
		if first := want[node][:1]; !slices.Contains(said[node], first[0]) {
			said[node] = slices.Concat(first, said[node])
		}
	}
	if diff := cmp.Diff(want, said); diff != "" {
		m.t.Errorf("what is said (-in the capture +here):\n%s", diff)
	}
	return ""
}
