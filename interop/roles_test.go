package interop

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The four roles, each played by Go or by C.

// player is who plays a role.
type player byte

const (
	goPlayer player = 'g'
	cPlayer  player = 'c'
)

// other is the other one, where there are both.
func (p player) other() player {
	if p == goPlayer && os.Getenv("DAFKA_C_BIN") != "" {
		return cPlayer
	}
	return goPlayer
}

// roles is an assignment: who plays what.
type roles struct {
	tower, producer, store, consumer player
}

// String gives one letter for each role, in the order of the fields.
func (r roles) String() string {
	return string([]byte{byte(r.tower), byte(r.producer), byte(r.store), byte(r.consumer)})
}

// everyRoles is all sixteen assignments.
func everyRoles() (all []roles) {
	players := []player{goPlayer, cPlayer}
	for _, tower := range players {
		for _, producer := range players {
			for _, store := range players {
				for _, consumer := range players {
					all = append(all, roles{tower, producer, store, consumer})
				}
			}
		}
	}
	return all
}

// cSettle is how long a producer is given before its first record where C is in the cluster. A C producer sends to whom
// it knows by then, and tells nobody when it knows them. A C consumer asks once for what it missed of a producer that
// it has just met, and never again if nobody can answer at that moment.
const cSettle = 2 * time.Second

var cPrograms = map[string]string{
	"tower": "dafka_towerd", "store": "dafka_stored", "produce": "dafka_console_producer", "consume": "dafka_console_consumer",
}

// cFolder gives the folder of the C programs, none where nobody asks for them.
func cFolder() (string, error) {
	folder := os.Getenv("DAFKA_C_BIN")
	if folder == "" {
		return "", nil
	}
	for _, name := range cPrograms {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return "", fmt.Errorf("DAFKA_C_BIN: %w: set it to the folder that holds the C programs, or to nothing", err)
		}
	}
	return folder, nil
}

// trial is a test that remembers what it failed of.
type trial struct {
	*testing.T
	mu     sync.Mutex
	reason string
}

func (t *trial) failed(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason == "" {
		t.reason = reason
	}
}

func (t *trial) Error(a ...any) {
	t.Helper()
	t.failed(fmt.Sprint(a...))
	t.T.Error(a...)
}

func (t *trial) Errorf(format string, a ...any) {
	t.Helper()
	t.failed(fmt.Sprintf(format, a...))
	t.T.Errorf(format, a...)
}

func (t *trial) Fatal(a ...any) {
	t.Helper()
	t.failed(fmt.Sprint(a...))
	t.T.Fatal(a...)
}

func (t *trial) Fatalf(format string, a ...any) {
	t.Helper()
	t.failed(fmt.Sprintf(format, a...))
	t.T.Fatalf(format, a...)
}

// cast is a cluster with an assignment.
type cast struct {
	*cluster
	plays roles
	t     *trial
	heard *tap
	fault string // a known fault of C that was seen
}

// start starts the program of a role.
func (m *cast) start(who player, stdin io.Reader, args ...string) *process {
	m.t.Helper()
	if who == goPlayer {
		if args[0] == "tower" {
			return m.cluster.tower()
		}
		return m.cluster.start(stdin, args...)
	}
	folder, err := cFolder()
	if err != nil {
		m.t.Fatal(err)
	}
	// What it prints would stay in its memory for a long time; stdbuf becomes the program, under the same process id.
	cmd := exec.Command("stdbuf", "-oL", filepath.Join(folder, cPrograms[args[0]]))
	// zargs takes a bare word after a flag for the flag's value, so topics come first.
	cmd.Args = append(cmd.Args, args[1:]...)
	cmd.Args = append(cmd.Args, "--pub", strings.Join(m.pub, ","), "--sub", strings.Join(m.sub, ","))
	// A producer that is given more lines at once than its pipe holds stops for ever.
	cmd.Env = append(os.Environ(), "ZSYS_PIPEHWM=1000000")
	return run(m.t, stdin, cmd)
}

// config writes a C node's configuration file.
func (m *cast) config(more string) string {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "dafka.cfg")
	text := "beacon\n    address = 127.0.0.1\n" + more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// openTower starts the tower, again perhaps.
func (m *cast) openTower() *process {
	m.t.Helper()
	if m.plays.tower == goPlayer {
		return m.start(goPlayer, nil, "tower")
	}
	p := m.start(cPlayer, nil, "tower", "-c", m.config("tower\n    verbose = 1\n"))
	p.waitForOutput("tower is running")
	return p
}

// openStore starts a store and waits until it runs.
func (m *cast) openStore(who player, dir string) *process {
	m.t.Helper()
	if who == goPlayer {
		return m.cluster.store(dir)
	}
	p := m.start(cPlayer, nil, "store", "-c", m.config("store\n    verbose = 1\n    db = "+dir+"\n"))
	p.waitForOutput("Store: running")
	return p
}

// stop ends a node: Go as one should, C by force, since signals may not end it.
func (m *cast) stop(who player, p *process) {
	m.t.Helper()
	if who == goPlayer {
		p.end(syscall.SIGTERM, 0)
	} else {
		p.kill()
	}
}

// source is a producer and its input.
type source struct {
	*process
	who   player
	in    *os.File
	ready time.Time
}

// openProducer starts a producer.
func (m *cast) openProducer(topic string) *source {
	m.t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { out.Close() })
	f := &source{who: m.plays.producer, in: out}
	if f.who == goPlayer {
		f.process = m.start(goPlayer, in, "produce", topic)
	} else {
		f.process = m.start(cPlayer, in, "produce", topic, "-c", m.config("producer\n    verbose = 1\n"))
	}
	if m.plays != (roles{goPlayer, goPlayer, goPlayer, goPlayer}) {
		f.ready = time.Now().Add(cSettle)
	}
	return f
}

// publish gives the producer further records.
func (f *source) publish(lines ...string) {
	f.t.Helper()
	time.Sleep(time.Until(f.ready)) // see cSettle
	if _, err := io.WriteString(f.in, strings.Join(lines, "\n")+"\n"); err != nil {
		f.t.Errorf("%s: %v", f, err)
	}
}

// done ends the input and waits until all is acked.
func (f *source) done() {
	f.t.Helper()
	f.in.Close()
	f.acked()
}

// acked waits until all is acked and the producer has gone. A C producer has then done its work, but its process may
// hang for ever over what a socket had still to say to a peer that is gone.
func (f *source) acked() {
	f.t.Helper()
	if f.who == goPlayer {
		f.mustEnd(0)
		return
	}
	f.waitForOutput(", terminating\n")
	f.kill()
}

// openConsumer starts a consumer that begins with the oldest records and prints in C's format.
func (m *cast) openConsumer(who player, topic string) *process {
	m.t.Helper()
	if who == goPlayer {
		return m.start(goPlayer, nil, "consume", topic, "--from-beginning", "--format", "c")
	}
	return m.start(cPlayer, nil, "consume", topic, "--from-beginning", "-c", m.config(""))
}

// liveConsumer starts a consumer and waits until it is subscribed at others.
func (m *cast) liveConsumer(topic string) *process {
	m.t.Helper()
	before := m.heard.subscribed("M" + topic)
	p := m.openConsumer(m.plays.consumer, topic)
	eventually(m.t, fmt.Sprintf("%s subscribes", p), func() bool { return m.heard.subscribed("M"+topic) > before })
	return p
}

// waitForOutput waits until stdout says something.
func (p *process) waitForOutput(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s says %q", p, text), func() bool {
		if strings.Contains(p.stdout.String(), text) {
			return true
		}
		select {
		case <-p.ended:
			if !strings.Contains(p.stdout.String(), text) {
				p.t.Fatalf("%s has ended (%v) and did not say %q", p, p.cmd.ProcessState, text)
			}
		default:
		}
		return false
	})
}

// printed reads what a consumer printed in C's format, whole lines only.
func (p *process) printed() partitions {
	p.t.Helper()
	contents := make(map[string][]string)
	text := p.stdout.String()
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(words) != 3 {
			p.t.Fatalf("%s printed %.200q, want a topic, a partition and a content", p, line)
		}
		name := words[0] + " " + words[1]
		contents[name] = append(contents[name], words[2])
	}
	named := make(partitions)
	for name, contents := range contents {
		topic, _, _ := strings.Cut(name, " ")
		producer, _, _ := strings.Cut(contents[0], " ")
		if named[topic+"/"+producer] != nil {
			p.t.Errorf("%s: two partitions begin with %q", p, producer)
		}
		named[topic+"/"+producer] = contents
	}
	return named
}
