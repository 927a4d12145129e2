package interop

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An answer that may lack something is printed, and never as if it were certain: stderr has what may be missing, and the
// exit status is 3.
func TestIncompleteAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	type question struct {
		args   string
		status int
		rows   int
		stderr string
	}
	// ask runs commands that print rows, all at once.
	ask := func(questions ...question) {
		t.Helper()
		var running []*process
		for _, q := range questions {
			args := append(strings.Fields(q.args), "--format", "json")
			if q.status == 3 {
				args = append(args, "--timeout", "1500ms")
			}
			running = append(running, c.start(nil, args...))
		}
		for i, q := range questions {
			p := running[i]
			p.mustEnd(q.status)
			if said := p.stderr.String(); !strings.Contains(said, q.stderr) || q.stderr == "" && said != "" {
				t.Errorf("%s: stderr %q, want %q", q.args, said, q.stderr)
			}
			var rows []json.RawMessage
			if err := json.Unmarshal([]byte(p.stdout.String()), &rows); err != nil || len(rows) != q.rows {
				t.Errorf("%s: %v, want %d rows: %s", q.args, err, q.rows, p.stdout.String())
			}
		}
	}
	ask(
		question{"topics", 3, 0, "incomplete: no store is known"},
		question{"partitions", 3, 0, "incomplete: no store is known"},
		question{"stores", 3, 0, "incomplete: no store is known"},
		question{"compare", 3, 0, "incomplete: 0 stores known, 2 wanted"},
		question{"topics --min-stores 0", 0, 0, ""},
	)
	// An empty store is an answer.
	store := c.store(filepath.Join(t.TempDir(), "one"))
	ask(question{"topics", 0, 0, ""}, question{"topics --min-stores 2", 3, 0, "incomplete: 1 store known, 2 wanted"})
	c.produce("hello", lines("hello", 3)).mustEnd(0)
	c.awaitHeads("hello", 1, 1, 3)
	ask(
		question{"topics", 0, 1, ""},
		question{"compare", 3, 1, "1 store known, 2 wanted"},
		// What no node knows is no empty answer.
		question{"partitions hell", 1, 0, "no node knows the topic hell;"},
		question{"compare hell --min-stores 1", 1, 0, "no node knows the topic hell;"},
		// Who cannot be reached gets no answer.
		question{"topics --address 127.0.0.78", 3, 0, "has not connected, and may be a store"},
	)
	// A second store that stands still may have more.
	second := c.store(filepath.Join(t.TempDir(), "two"))
	c.awaitHeads("hello", 2, 1, 3)
	watch := c.start(nil, "stores", "--watch")
	watch.waitForLines(3)
	second.signal(syscall.SIGSTOP)
	watch.waitFor("does not answer within")
	second.signal(syscall.SIGCONT)
	watch.end(syscall.SIGTERM, 0)
	store.end(syscall.SIGTERM, 0)
	second.end(syscall.SIGTERM, 0)
}

// Nodes that others cannot reach, and this command's own ends that do not fit, are named with what to do.
func TestDoctorSeesWhatCannotBeReached(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	input, end := io.Pipe()
	defer end.Close()
	c.start(input, "produce", "hello", "--address", "127.0.0.77", "--verbose").connected()
	c.start(nil, "consume", "hello", "--address", "nowhere.invalid", "--verbose").connected()
	got := c.findings(2, "--stores", "1")
	finds(t, got, "error: the producer at 127.0.0.77:", "error: the consumer at nowhere.invalid:")
	if said := strings.Join(got, "\n"); !strings.Contains(said, "cannot be reached: connection refused") ||
		!strings.Contains(said, "cannot be reached: the name nowhere.invalid does not resolve") {
		t.Errorf("findings %s", said)
	}
	finds(t, c.findings(2, "--address", "nowhere.invalid", "--timeout", "1s"),
		"error: no node connects to this command at tcp://nowhere.invalid:", "warning: the node at ", "warning: the node at ",
		"warning: this command gives the others a name to reach it by, and the name nowhere.invalid does not resolve")

	swapped := &cluster{t: t, pub: c.sub, sub: c.pub}
	finds(t, swapped.findings(2, "--timeout", "1s"), "error: no tower is heard at "+c.sub[0]+": it is what --sub is for",
		"error: no tower is heard at "+c.pub[0]+": it is what --pub is for")
	unnamed := &cluster{t: t, pub: []string{"tcp://nowhere.invalid:5557"}, sub: []string{"tcp://nowhere.invalid:5556"}}
	finds(t, unnamed.findings(2, "--timeout", "1s"),
		"error: no tower is heard at tcp://nowhere.invalid:5557: the name nowhere.invalid does not resolve",
		"error: no tower is heard at tcp://nowhere.invalid:5556: the name nowhere.invalid does not resolve")
}
