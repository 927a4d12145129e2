package interop

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// asker is a node that asks stores for heads, again and again until one answers.
type asker struct {
	*testing.T
	node  *node.Node
	batch *zsock.Batch
	asked int
}

func (c *cluster) asker(t *testing.T) *asker {
	t.Helper()
	node, err := node.Join(c.node(), node.Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return &asker{T: t, node: node, batch: zsock.NewBatch()}
}

// answer waits for the first answer to what is asked from now on.
func (a *asker) answer(topic string) {
	a.Helper()
	// A name of its own each time: answers to earlier questions do not count.
	a.asked++
	name := fmt.Sprintf("%s-%d", a.node.Address(), a.asked)
	if err := a.node.Sub[0].Subscribe(string(byte(zmqwire.DirectHead)) + name); err != nil {
		a.Fatal(err)
	}
	eventually(a, "an answer", func() bool {
		a.batch.Reset()
		ask := zmqwire.Message{Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(name)}
		if err := a.batch.AddMessage(&ask); err != nil {
			a.Fatal(err)
		}
		if _, err := a.node.Pub.Send(a.batch); err != nil {
			a.Fatal(err)
		}
		if _, err := a.node.Wait(10*time.Millisecond, func() bool { return false }); err != nil {
			a.Fatal(err)
		}
		if err := a.node.Sub[0].Drain(a.batch); err != nil {
			a.Fatal(err)
		}
		for frames := a.batch.Next(); frames != nil; frames = a.batch.Next() {
			var m zmqwire.Message
			if err := m.Decode(frames); err != nil {
				a.Fatal(err)
			}
			if string(m.Routing) == name {
				return true
			}
		}
		return false
	})
}

// A store that aborts in the midst of its work, and that somebody starts again and again, answers a second after each
// start, and has everything that was acked.
func TestStoreAborts(t *testing.T) {
	within, records := time.Second, int64(400_000)
	if len(buildFlags) > 0 {
		within, records = waitAtMost, 40_000 // a program that looks for races is slower by far
	}
	_, c := startTower(t)
	dir := t.TempDir()
	store := c.store(dir)
	witness := c.witness()
	l := &load{
		T: t, produce: func(stdin *os.File) *process { return c.startOnTerminal(stdin, "produce", "hello") },
		acked: witness.ackedOf,
	}
	before := l.feed("before", 20_000, 10*time.Millisecond)
	eventually(t, "many records", func() bool { return before.given.Load() >= records })
	before.finish()
	steady := l.feed("steady", 200, 10*time.Millisecond)
	a := c.asker(t)
	a.answer("hello")
	for range 5 {
		acked := steady.saidAcked()
		eventually(t, "ACKs", func() bool { return steady.saidAcked() > acked+1000 })
		store.signal(syscall.SIGABRT)
		store.mustEnd(2)
		begin := time.Now()
		store = c.start(nil, "store", "--db", dir)
		a.answer("hello")
		took := time.Since(begin)
		t.Logf("answers %v after its start", took.Round(time.Millisecond))
		if took > within {
			t.Errorf("answers %v after its start, want %v", took, within)
		}
	}
	steady.finish()
	all := c.consume("hello", "--from-beginning", "--until-end")
	all.mustEnd(0)
	l.check("a new consumer", all, true)
	store.end(syscall.SIGTERM, 0)
	t.Logf("%d records compared", l.records)
}
