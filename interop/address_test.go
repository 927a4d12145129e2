package interop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// A producer that is given the address of an earlier one is refused before it publishes anything, with fewer records
// than the earlier one had, as many or more. The store keeps what it has.
func TestUsedAddress(t *testing.T) {
	t.Parallel()
	const address = "AN ADDRESS"
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tw.Close() })
	node := tower.NodeConfig{
		Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*",
		Interval: 200 * time.Millisecond,
	}
	s, err := store.Open(store.Config{Dir: filepath.Join(t.TempDir(), "db"), Node: node})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	named := node
	named.Address = address
	open := func(topic string) *producer.Producer {
		t.Helper()
		p, err := producer.Open(producer.Config{Topic: topic, Node: named})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	publish := func(p *producer.Producer, run string, records int) error {
		for i := range records {
			if _, err := p.Send(ctx, fmt.Appendf(nil, "%s %d", run, i)); err != nil {
				return err
			}
		}
		return nil
	}

	first := open("hello")
	if err := errors.Join(publish(first, "first", 5), first.Flush(ctx)); err != nil {
		t.Fatalf("first producer of an address: %v", err)
	}
	// While it runs, and when it is gone.
	for _, gone := range []bool{false, true} {
		if gone {
			if err := first.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for _, records := range []int{3, 5, 8} {
			p := open("hello")
			sent := publish(p, "again", records)
			for what, err := range map[string]error{"Flush": p.Flush(ctx), "Wait": p.Wait(ctx), "Close": p.Close(ctx)} {
				if !errors.Is(err, producer.ErrAddressUsed) {
					t.Errorf("%d records, first gone %v: %s: %v, want %v", records, gone, what, err, producer.ErrAddressUsed)
				}
			}
			if _, err := p.Send(ctx, nil); !errors.Is(err, producer.ErrAddressUsed) || !errors.Is(err, producer.ErrClosed) {
				t.Errorf("Send: %v, want %v", err, producer.ErrAddressUsed)
			}
			if sent != nil && !errors.Is(sent, producer.ErrAddressUsed) {
				t.Errorf("Send: %v", sent)
			}
		}
	}

	// Of another topic it is another partition.
	other := open("other")
	if err := errors.Join(publish(other, "other", 2), other.Close(ctx)); err != nil {
		t.Errorf("the address in another topic: %v", err)
	}

	c, err := consumer.Open(consumer.Config{
		Topics: []string{"hello", "other"}, Reset: consumer.Earliest, UntilEnd: true, Node: node,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := map[string][]string{
		"hello": {"first 0", "first 1", "first 2", "first 3", "first 4"}, "other": {"other 0", "other 1"},
	}
	got := make(map[string][]string)
	for record, err := range c.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got[record.Topic] = append(got[record.Topic], string(record.Content))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored records (-want +got):\n%s", diff)
	}
}
