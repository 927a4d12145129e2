package interop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// WaitConnected of each node waits for a tower: it names the towers when the context ends, and ends with the node.
func TestWaitConnected(t *testing.T) {
	t.Parallel()
	port := ports(t)
	pub, sub := fmt.Sprintf("tcp://127.0.0.1:%d", port+1), fmt.Sprintf("tcp://127.0.0.1:%d", port)
	node := tower.NodeConfig{Pub: []string{pub}, Sub: []string{sub}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}
	type waiter interface{ WaitConnected(context.Context) error }
	type role struct {
		open   func() (waiter, func() error, error)
		closed error
	}
	roles := map[string]role{
		"producer": {func() (waiter, func() error, error) {
			p, err := producer.Open(producer.Config{Topic: "hello", Node: node})
			return p, func() error { return p.Close(context.Background()) }, err
		}, producer.ErrClosed},
		"consumer": {func() (waiter, func() error, error) {
			c, err := consumer.Open(consumer.Config{Topics: []string{"hello"}, Node: node})
			return c, func() error { return c.Close() }, err
		}, consumer.ErrClosed},
		"store": {func() (waiter, func() error, error) {
			s, err := store.Open(store.Config{Dir: filepath.Join(t.TempDir(), "db"), Node: node})
			return s, func() error { return s.Close() }, err
		}, store.ErrClosed},
	}
	waiting := make(map[string]chan error)
	for name, r := range roles {
		w, end, err := r.open()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := w.WaitConnected(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), pub) {
			t.Errorf("%s without a tower: %v, want an error that names it and wraps %v", name, err, context.DeadlineExceeded)
		}
		done := make(chan error, 1)
		go func() { done <- w.WaitConnected(context.Background()) }()
		if err := end(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if err := <-done; err != r.closed {
			t.Errorf("%s closed: %v, want %v", name, err, r.closed)
		}

		again, end, err := r.open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end() })
		connected := make(chan error, 1)
		waiting[name] = connected
		go func() { connected <- again.WaitConnected(context.Background()) }()
	}
	tw, err := tower.Open(tower.Config{Pub: pub, Sub: sub})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tw.Close() })
	for name, done := range waiting {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s, when the tower is there: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: a tower is there, and WaitConnected does not return", name)
		}
	}
}
