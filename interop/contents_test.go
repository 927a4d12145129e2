package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
)

// Any bytes can be a record, and nearly any a topic.

func openProducer(t *testing.T, c *cluster, topic string) *producer.Producer {
	t.Helper()
	p, err := producer.Open(producer.Config{Topic: topic, Node: c.node()})
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	t.Cleanup(func() { p.Close(cancelled) })
	return p
}

func openConsumer(t *testing.T, c *cluster, topics ...string) *consumer.Consumer {
	t.Helper()
	got, err := consumer.Open(consumer.Config{Topics: topics, Reset: consumer.Earliest, Node: c.node()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { got.Close() })
	return got
}

// read gives the next n records of a consumer, their contents as summary shows them.
func read(t *testing.T, c *consumer.Consumer, n int) (records []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for len(records) < n {
		r, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("%v after %d records of %d", err, len(records), n)
		}
		records = append(records, fmt.Sprintf("%q %d %s", r.Topic, r.Sequence, summary(r.Content)))
	}
	return records
}

func summary(content []byte) string {
	return fmt.Sprintf("%d bytes, %x", len(content), sha256.Sum256(content))
}

func TestEmptyAndLargeRecords(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	live := openConsumer(t, c, "hello")
	p := openProducer(t, c, "hello")
	var want []string
	send := func(size int) {
		content := bytes.Repeat([]byte{byte(len(want))}, size)
		if size >= 8 {
			binary.BigEndian.PutUint64(content[size-8:], uint64(len(want)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
		defer cancel()
		if _, err := p.Send(ctx, content); err != nil {
			t.Fatalf("record %d of %d bytes: %v", len(want), size, err)
		}
		want = append(want, fmt.Sprintf("%q %d %s", "hello", len(want), summary(content)))
	}
	// The many small ones fill queues whose bounds then move with the large ones.
	for range 3 {
		send(0)
		for i := range 700 {
			send(i)
		}
		send(64 << 20)
		send(0)
		send(64<<10 - 1)
		send(64 << 10)
		send(1 << 20)
	}
	send(64 << 20)
	send(0)
	if diff := cmp.Diff(want, read(t, live, len(want))); diff != "" {
		t.Errorf("live (-published +consumed):\n%s", diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	late := openConsumer(t, c, "hello")
	if diff := cmp.Diff(want, read(t, late, len(want))); diff != "" {
		t.Errorf("from the store (-published +consumed):\n%s", diff)
	}
}

func TestOddTopics(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	topics := []string{
		"\xff", "\xff\xfe\x80", "line\nbreak", " ", "-n", "M", "tab\tand \"quotes\"", "\x01", strings.Repeat("\xc3", 244), strings.Repeat("\xc4", 245), strings.Repeat("\xc5", 254), strings.Repeat("\xc3", 255),
	}
	live := c.consume(append([]string{"--from-beginning", "--"}, topics...)...).connected()
	want := partitions{}
	for _, topic := range topics {
		contents := append(lines("a", 100), "", "\x00\xff\xfe", "\xc3\x28")
		want[topic+"/a"] = contents
		p := openProducer(t, c, topic)
		ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
		defer cancel()
		for _, content := range contents {
			if _, err := p.Send(ctx, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(ctx); err != nil {
			t.Fatalf("topic %q: %v", topic, err)
		}
	}
	equal(t, "from the store", want, c.all(topics...))
	live.waitForLines(len(topics) * 103)
	equal(t, "live", want, live.partitions())
}

// raw is the contents alone, whatever their bytes are.
func TestRawOutput(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	p := openProducer(t, c, "hello")
	var want []byte
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for i := range 2000 {
		content := bytes.Repeat([]byte{byte(i), '\n', 0, byte(i >> 8), '\r'}, i%50)
		if _, err := p.Send(ctx, content); err != nil {
			t.Fatal(err)
		}
		want = append(want, content...)
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	raw := c.start(nil, "consume", "hello", "--from-beginning", "--until-end", "--format", "raw")
	raw.mustEnd(0)
	if got := raw.stdout.String(); got != string(want) {
		t.Errorf("raw output of %d bytes differs from the %d published", len(got), len(want))
	}
}

// Lines in, lines out: endings of both kinds, empty lines, no ending at the end.
func TestTextIsWhatWentIn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	file := filepath.Join(t.TempDir(), "lines")
	long := strings.Repeat("a line longer than any buffer ", 40_000)
	if err := os.WriteFile(file, []byte("first\n\n two \r\n"+long+"\n\xff\xfe\n\nno newline at the end"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(nil, "produce", "hello", file).mustEnd(0)
	text := c.start(nil, "consume", "--until-end", "hello", "--from-beginning")
	text.mustEnd(0)
	want := "first\n\n two \n" + long + "\n\xff\xfe\n\nno newline at the end\n"
	if diff := cmp.Diff(want, text.stdout.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}
