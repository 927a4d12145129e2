package interop

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/godafka/dafka/producer"
)

// Nodes come in any order.

func TestConsumerBeforeProducer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	early := c.consume("hello", "--from-beginning").connected()
	latest := c.consume("hello").connected()
	first := c.consume("hello", "--from-beginning", "-n", "100").connected()

	// What a latest consumer gives begins somewhere, and from there on it misses nothing.
	want := lines("a", 3000)
	p, publish, end := c.produceSlowly("hello")
	n := 0
	eventually(t, "a record at the latest consumer", func() bool {
		publish(want[n])
		n++
		return latest.stdout.lineCount() > 0
	})
	publish(want[n:]...)
	end()
	p.mustEnd(0)
	early.waitForLines(len(want))
	early.end(syscall.SIGTERM, 0)
	equal(t, "from the beginning", partitions{"hello/a": want}, early.partitions())
	first.mustEnd(0)
	equal(t, "the first 100", partitions{"hello/a": want[:100]}, first.partitions())

	eventually(t, "the last record at the latest consumer", func() bool {
		return strings.Contains(latest.stdout.String(), fmt.Sprintf(`"sequence":%d,`, len(want)-1))
	})
	latest.end(syscall.SIGTERM, 0)
	got := latest.partitions()["hello/a"]
	if skipped := len(want) - len(got); skipped > n {
		t.Errorf("the latest consumer skipped %d records, and had one when %d were published", skipped, n)
	} else {
		equal(t, "latest", partitions{"hello/a": want[skipped:]}, latest.partitions())
	}
}

func TestConsumerAfterProducer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	want := partitions{}
	for _, name := range []string{"a", "b", "c"} {
		want["hello/"+name] = lines(name, 2000)
		c.produce("hello", want["hello/"+name]).mustEnd(0)
	}
	equal(t, "until the end", want, c.all("hello"))
}

func TestStoreAfterProducer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	want := partitions{"hello/a": lines("a", 5000), "hello/b": lines("b", 1)}
	a := c.produce("hello", want["hello/a"])
	b := c.produce("hello", want["hello/b"])
	// So long have they waited for it.
	a.waitFor("5000 records wait for a store")
	b.waitFor("1 record waits for a store")
	c.store(t.TempDir())
	a.mustEnd(0)
	b.mustEnd(0)
	equal(t, "from the store", want, c.all("hello"))
}

func TestNodesBeforeTower(t *testing.T) {
	t.Parallel()
	tw, c := startTower(t)
	tw.end(syscall.SIGTERM, 0)
	store := c.store(t.TempDir())
	consumer := c.consume("hello", "--from-beginning")
	want := lines("a", 1000)
	producer := c.produce("hello", want)
	for _, p := range []*process{store, consumer, producer} {
		p.waitFor("waiting for tower")
	}
	c.tower()
	producer.mustEnd(0)
	consumer.waitForLines(len(want))
	consumer.end(syscall.SIGINT, 0)
	equal(t, "consumed", partitions{"hello/a": want}, consumer.partitions())
}

func TestSeveralConsumers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	want := partitions{"hello/a": lines("a", 10_000), "hello/b": lines("b", 10_000)}
	consumers := []*process{
		c.consume("hello", "--from-beginning"), c.consume("hello", "--from-beginning").connected(),
	}
	a, b := c.produce("hello", want["hello/a"]), c.produce("hello", want["hello/b"])
	consumers[0].waitForLines(1000)
	consumers = append(consumers, c.consume("hello", "--from-beginning"))
	a.mustEnd(0)
	b.mustEnd(0)
	consumers = append(consumers, c.consume("hello", "--from-beginning"))
	for i, p := range consumers {
		p.waitForLines(20_000)
		p.end(syscall.SIGTERM, 0)
		equal(t, fmt.Sprintf("consumer %d", i), want, p.partitions())
	}
}

// Two towers: the nodes that know both bring together those that know one each.
func TestTwoTowers(t *testing.T) {
	t.Parallel()
	towerA, a := startTower(t)
	_, b := startTower(t)
	both := a.and(b)
	both.store(t.TempDir())
	live := both.consume("hello", "--from-beginning").connected()

	want := partitions{"hello/a": lines("a", 2000), "hello/b": lines("b", 2000), "hello/both": lines("both", 2000)}
	a.produce("hello", want["hello/a"]).mustEnd(0)
	b.produce("hello", want["hello/b"]).mustEnd(0)
	both.produce("hello", want["hello/both"]).mustEnd(0)
	live.waitForLines(6000)
	equal(t, "live, at both towers", want, live.partitions())
	equal(t, "at tower A", want, a.all("hello"))
	equal(t, "at tower B", want, b.all("hello"))
	equal(t, "at both towers", want, both.all("hello"))

	// One tower is enough for those that know both.
	towerA.kill()
	want["hello/later"] = lines("later", 2000)
	both.produce("hello", want["hello/later"]).mustEnd(0)
	live.waitForLines(8000)
	equal(t, "live, with tower B alone", want, live.partitions())
	equal(t, "at both, with tower B alone", want, both.all("hello"))
}

func TestFiftyTopics(t *testing.T) {
	t.Parallel()
	const topics, each = 50, 200
	c := newCluster(t)
	c.store(t.TempDir())
	var names []string
	want := partitions{}
	for i := range topics {
		names = append(names, fmt.Sprint("topic", i))
		want[names[i]+"/p"] = lines("p", each)
	}
	live := c.consume(append(names, "--from-beginning")...).connected()
	// Fifty processes would measure the machine; fifty producers in one are as many nodes.
	producers := make([]*producer.Producer, topics)
	for i := range producers {
		p, err := producer.Open(producer.Config{Topic: names[i], Node: c.node()})
		if err != nil {
			t.Fatal(err)
		}
		producers[i] = p
		defer p.Close(t.Context())
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for j := range each {
		for i, p := range producers {
			if _, err := p.Send(ctx, []byte(want[names[i]+"/p"][j])); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, p := range producers {
		if err := p.Close(ctx); err != nil {
			t.Fatalf("%s: %v", names[i], err)
		}
	}
	live.waitForLines(topics * each)
	equal(t, "live", want, live.partitions())
	equal(t, "from the store", want, c.all(names...))
}

// A topic's name that begins another's is another topic.
func TestPrefixTopics(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store(t.TempDir())
	live := c.consume("hello", "--from-beginning").connected()
	want := make(map[string]partitions)
	for _, topic := range []string{"hello2", "hello", "hell", "hello hello"} {
		want[topic] = partitions{topic + "/a": lines("a", 500)}
		c.produce(topic, want[topic][topic+"/a"]).mustEnd(0)
	}
	live.waitForLines(500)
	for topic, want := range want {
		equal(t, topic, want, c.all(topic))
	}
	equal(t, "two topics", partitions{"hello/a": lines("a", 500), "hello2/a": lines("a", 500)}, c.all("hello", "hello2"))
	live.end(syscall.SIGTERM, 0)
	equal(t, "live", want["hello"], live.partitions())
}

func TestDev(t *testing.T) {
	t.Parallel()
	_, c := startTower(t)
	// Its ports are known to be free: a tower had them.
	tw, other := startTower(t)
	tw.end(syscall.SIGTERM, 0)
	dir := t.TempDir()
	dev := start(t, nil, "dev", "--pub", other.pub[0], "--sub", other.sub[0], "--db", dir)
	dev.waitFor("tower and store are running")
	want := partitions{"hello/a": lines("a", 1000)}
	other.produce("hello", want["hello/a"]).mustEnd(0)
	equal(t, "consumed", want, other.all("hello"))
	dev.end(syscall.SIGINT, 0)

	// What it keeps is a store's.
	c.store(dir)
	equal(t, "consumed from a store", want, c.all("hello"))

	dev = start(t, nil, "dev", "--pub", c.pub[0], "--sub", c.sub[0], "--db", t.TempDir())
	dev.mustEnd(1)
	if want := "another program"; !strings.Contains(dev.stderr.String(), want) {
		t.Errorf("dev on a tower's ports says %q, want %q", dev.stderr.String(), want)
	}
}
