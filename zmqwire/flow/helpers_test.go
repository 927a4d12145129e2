package flow

import (
	"testing"
	"time"

	"github.com/godafka/dafka/zmqwire/wiretest"
	"github.com/godafka/dafka/zmqwire/zsock"
)

var (
	must       = wiretest.Must
	runOf      = wiretest.NewRun
	contentsOf = wiretest.Contents
)

// bound is how long a test waits for what must come.
const bound = 30 * time.Second

// pair returns an XPUB and a SUB that is connected to it and subscribed to everything, in a context each.
func pair(t testing.TB, pubOptions, subOptions zsock.Options) (pub, sub *zsock.Socket) {
	t.Helper()
	open := func(kind zsock.Type, options zsock.Options) *zsock.Socket {
		context, err := zsock.NewContext()
		must(t, err)
		socket, err := context.Open(kind, options)
		must(t, err)
		t.Cleanup(func() {
			must(t, socket.Close())
			if !context.Close(2 * bound) {
				t.Error("the context does not end")
			}
		})
		return socket
	}
	pub, sub = open(zsock.XPUB, pubOptions), open(zsock.SUB, subOptions)
	endpoint, err := pub.Bind("tcp://127.0.0.1:*")
	must(t, err)
	must(t, sub.Subscribe(""))
	must(t, sub.Connect(endpoint))
	await(t, pub, 1)
	return pub, sub
}

// await receives n messages and drops them.
func await(t testing.TB, s *zsock.Socket, n int) {
	t.Helper()
	poller, err := zsock.NewPoller(s)
	must(t, err)
	defer poller.Close()
	batch := zsock.NewBatch()
	for begin, got := time.Now(), 0; got < n; got += batch.Len() {
		if time.Since(begin) > bound {
			t.Fatalf("%d of %d messages came in %v", got, n, bound)
		}
		_, err := poller.Wait(20*time.Millisecond, func() bool { return false })
		must(t, err)
		must(t, s.Drain(batch))
	}
}
