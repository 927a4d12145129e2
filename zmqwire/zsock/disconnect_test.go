package zsock

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// libzmq aborts the process when the connection is ended of a message of which only the first frame was read, and to
// wait for messages is to read a first frame. Disconnect must not leave one behind.
func TestDisconnectAfterWait(t *testing.T) {
	for _, messages := range []int{1, 2, 5000} {
		t.Run(fmt.Sprint(messages, " messages"), func(t *testing.T) {
			context, err := NewContext()
			if err != nil {
				t.Fatal(err)
			}
			defer context.Close(0)
			open := func(kind Type) *Socket {
				s, err := context.Open(kind, Options{SendLimit: 1 << 20, ReceiveLimit: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			}
			xpub, sub := open(XPUB), open(SUB)
			defer xpub.Close()
			defer sub.Close()
			endpoint, err := xpub.Bind("tcp://127.0.0.1:*")
			if err != nil {
				t.Fatal(err)
			}
			if err := sub.Connect(endpoint); err != nil {
				t.Fatal(err)
			}
			if err := sub.Subscribe(""); err != nil {
				t.Fatal(err)
			}
			poller, err := NewPoller(xpub, sub)
			if err != nil {
				t.Fatal(err)
			}
			defer poller.Close()
			idle := func() bool { return false }
			batch := NewBatch()
			waitFor := func(bit int) {
				t.Helper()
				for range 100 {
					ready, err := poller.Wait(100*time.Millisecond, idle)
					if err != nil {
						t.Fatal(err)
					}
					if ready&bit != 0 {
						return
					}
				}
				t.Fatal("nothing arrives")
			}
			waitFor(1) // the subscription
			if err := xpub.Drain(batch); err != nil {
				t.Fatal(err)
			}
			out := NewBatch()
			for i := range messages {
				out.Add(fmt.Append(nil, i), []byte("second"), []byte("third"))
			}
			if n, err := xpub.Send(out); n != messages || err != nil {
				t.Fatal(n, err)
			}
			waitFor(2)
			if messages > batchMessages {
				// One drain leaves a message behind that did not fit, and Wait looks for another.
				if err := sub.Drain(batch); err != nil {
					t.Fatal(err)
				}
				waitFor(2)
			}
			if err := sub.Disconnect(endpoint); err != nil {
				t.Fatal(err)
			}
			if err := sub.Drain(batch); err != nil {
				t.Fatal(err)
			}
			for frames := batch.Next(); frames != nil; frames = batch.Next() {
				if diff := cmp.Diff([]string{"second", "third"}, []string{string(frames[1]), string(frames[2])}); diff != "" {
					t.Errorf("frames (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What another peer has sent stays when connections end, also while a message waits that did not fit into the last batch.
func TestDisconnectLosesNothingOfOthers(t *testing.T) {
	context, err := NewContext()
	if err != nil {
		t.Fatal(err)
	}
	defer context.Close(0)
	open := func(kind Type) *Socket {
		s, err := context.Open(kind, Options{SendLimit: 1 << 20, ReceiveLimit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	const messages = 3*batchMessages + 1
	publishers, sub := []*Socket{open(XPUB), open(XPUB), open(XPUB), open(XPUB)}, open(SUB)
	var endpoints []string
	for _, s := range publishers {
		endpoint, err := s.Bind("tcp://127.0.0.1:*")
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Connect(endpoint); err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, endpoint)
	}
	if err := sub.Subscribe(""); err != nil {
		t.Fatal(err)
	}
	poller, err := NewPoller(append(publishers, sub)...)
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	until := func(what string, condition func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !condition(); {
			if time.Now().After(end) {
				t.Fatal("waited in vain: ", what)
			}
		}
	}
	batch, subscribed := NewBatch(), 0
	until("all have the subscription", func() bool {
		ready, err := poller.Wait(100*time.Millisecond, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range publishers {
			if ready>>i&1 != 0 {
				if err := s.Drain(batch); err != nil {
					t.Fatal(err)
				}
				subscribed += batch.Len()
			}
		}
		return subscribed == len(publishers)
	})
	out := NewBatch()
	for i := range messages {
		out.Add(fmt.Append(nil, i), make([]byte, 1000)) // a batch is full of bytes, and the next message held
	}
	if n, err := publishers[0].Send(out); n != messages || err != nil {
		t.Fatal(n, err)
	}
	var got []string
	until("all messages", func() bool {
		ready, err := poller.Wait(100*time.Millisecond, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		if ready>>len(publishers)&1 == 0 {
			return false
		}
		if err := sub.Drain(batch); err != nil {
			t.Fatal(err)
		}
		for frames := batch.Next(); frames != nil; frames = batch.Next() {
			got = append(got, string(frames[0]))
		}
		// A wait reads on.
		if _, err := poller.Wait(0, func() bool { return true }); err != nil {
			t.Fatal(err)
		}
		for _, gone := range endpoints[1:] {
			if err := sub.Disconnect(gone); err != nil {
				t.Fatal(err)
			}
		}
		endpoints = endpoints[:1]
		return len(got) == messages
	})
	for i := range got {
		if got[i] != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got[i])
		}
	}
}
