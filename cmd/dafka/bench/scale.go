package bench

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// The measures of scale: what many partitions and much that is stored cost.
const (
	scaleTopics     = 10_000
	scalePartitions = 100_000
	scaleOpen       = 2 * time.Second
	scaleHeads      = 5 * time.Millisecond
	scaleNodes      = 200
	scaleProcesses  = 8 // that the nodes are spread over: each has a connection to and from all others
	scaleMeet       = 5 * time.Second
)

// scale measures each in turn.
func (b *bench) scale() error {
	b.measuring("scale", b.size)
	return errors.Join(b.scalePartitions(), b.scaleStored(), b.scaleHeads(), b.scaleNodes())
}

// scalePartitions takes the same records in from more and more producers.
func (b *bench) scalePartitions() error {
	for _, partitions := range []int{1, 100, 10_000} {
		err := b.withSimulated(func(ingest func(name string, partitions, count int) error) error {
			return ingest(fmt.Sprintf("%d partitions", partitions), partitions, b.count)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scaleStored takes the same records in again and again, with more and more that is stored already.
func (b *bench) scaleStored() error {
	return b.withSimulated(func(ingest func(name string, partitions, count int) error) error {
		chunk := max(1, b.count/10)
		for _, stored := range []int{1, 10, 100} {
			if stored > 1 {
				if err := ingest("", 10, stored*chunk*9/10); err != nil {
					return err
				}
			}
			if err := ingest(fmt.Sprintf("%d x stored", stored), 10, chunk); err != nil {
				return err
			}
		}
		return nil
	})
}

// withSimulated runs a store, and gives run a way to store records from a process that plays many producers. A row
// without a name is not shown.
func (b *bench) withSimulated(run func(ingest func(name string, partitions, count int) error) error) error {
	return b.withCluster(func(c *cluster) error {
		store, err := c.store()
		if err != nil {
			return err
		}
		return run(func(name string, partitions, count int) error {
			many, err := c.node("simulate", "--partitions", strconv.Itoa(partitions), "--count", strconv.Itoa(count))
			if err != nil {
				return err
			}
			if err := errors.Join(many.report(), store.tell(), store.report()); err != nil {
				return err
			}
			begin := time.Now()
			if err := errors.Join(many.tell(), many.report(), store.tell(), store.report()); err != nil {
				return err
			}
			r := row{
				Name: name, Size: b.size, Count: count, Seconds: time.Since(begin).Seconds(), MaxRSS: store.last.MaxRSS,
			}
			if name == "" {
				return nil
			}
			return b.add(r, count, many.used()+store.used())
		})
	})
}

// scaleHeads opens a store of many partitions and asks it for the heads of one topic.
func (b *bench) scaleHeads() error {
	return b.withCluster(func(c *cluster) error {
		db := filepath.Join(b.dir, "heads")
		stores, err := c.nodes(1, "store", "--db", db)
		if err != nil {
			return err
		}
		many, err := c.node("simulate", "--partitions", strconv.Itoa(scalePartitions), "--topics", strconv.Itoa(scaleTopics),
			"--count", strconv.Itoa(scalePartitions))
		if err != nil {
			return err
		}
		if err := errors.Join(many.report(), many.tell(), many.report(), many.end(), stores[0].end()); err != nil {
			return err
		}
		c.processes = nil

		begin := time.Now()
		if _, err := c.nodes(1, "store", "--db", db); err != nil {
			return err
		}
		opened := time.Since(begin).Seconds()
		asked, err := c.nodes(1, "ask-heads", "--count", strconv.Itoa(scalePartitions/scaleTopics))
		if err != nil {
			return err
		}
		return errors.Join(
			b.within(fmt.Sprintf("open %d partitions", scalePartitions), scalePartitions, opened, scaleOpen),
			b.within("heads of a topic", scalePartitions/scaleTopics, asked[0].last.Seconds, scaleHeads),
		)
	})
}

// scaleNodes starts many nodes at once and waits until each is connected to all others.
func (b *bench) scaleNodes() error {
	return b.withCluster(func(c *cluster) error {
		begin := time.Now()
		if _, err := c.nodes(scaleProcesses, "join", "--count", strconv.Itoa(scaleNodes/scaleProcesses)); err != nil {
			return err
		}
		return b.within(fmt.Sprintf("%d nodes meet", scaleNodes), scaleNodes, time.Since(begin).Seconds(), scaleMeet)
	})
}

// workJoin is some of the nodes. It reports when each of them knows all others and has their subscriptions.
func workJoin(w *worker, c *cli.Context, config tower.NodeConfig) error {
	var nodes sync.WaitGroup
	met := make(chan error, c.Int("count"))
	end := make(chan struct{})
	for range c.Int("count") {
		node, err := node.Join(config, node.Sockets{Publish: zsock.XPUB, Subscribe: []zsock.Options{{}}})
		if err != nil {
			return err
		}
		if err := node.Sub[0].Subscribe(benchTopic); err != nil {
			return err
		}
		nodes.Go(func() {
			defer node.Close()
			batch, subscriptions := zsock.NewBatch(), 0
			for {
				ready, err := node.Wait(time.Second, func() bool { return false })
				if err == nil && ready.Pub() {
					err = node.Pub.Drain(batch)
					subscriptions += batch.Len()
				}
				switch {
				case err != nil:
					met <- err
					return
				case subscriptions >= scaleNodes-1 && node.Peers() >= scaleNodes-1:
					met <- nil
					subscriptions = math.MinInt
				}
				select {
				case <-end:
					return
				default:
				}
			}
		})
	}
	for range c.Int("count") {
		if err := <-met; err != nil {
			return err
		}
	}
	w.say(workerReport{})
	w.told()
	close(end)
	nodes.Wait()
	return nil
}

// within adds a row that is a time with a bound.
func (b *bench) within(name string, count int, seconds float64, bound time.Duration) error {
	r := row{Name: name, Count: count, Seconds: seconds, Bound: bound.Seconds()}
	r.Rate = float64(count) / seconds
	return b.show(r)
}

// simulatedTopic is the topic of a simulated producer.
func simulatedTopic(producer, topics int) string { return fmt.Sprintf("topic-%d", producer%topics) }

// workSimulate plays many producers: it sends their records in turn and waits for the ACK of each one's last.
func workSimulate(w *worker, c *cli.Context, config tower.NodeConfig) error {
	node, err := node.Join(config, node.Sockets{
		Publish: zsock.PUB,
		// The queue is bounded in messages; records here are small.
		Send:      zsock.Options{Patience: time.Second},
		Subscribe: []zsock.Options{{ReceiveLimit: 1 << 20}},
	})
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Sub[0].Subscribe(string(byte(zmqwire.Ack))); err != nil {
		return err
	}
	partitions, topics, count := c.Int("partitions"), c.Int("topics"), c.Int("count")
	type simulated struct {
		address, topic string
		sent, acked    uint64
	}
	all := make([]*simulated, partitions)
	byAddress := make(map[string]*simulated, partitions)
	for i := range all {
		all[i] = &simulated{address: zmqwire.NewAddress(), topic: simulatedTopic(i, topics)}
		byAddress[all[i].address] = all[i]
	}
	var (
		received, out = zsock.NewBatch(), zsock.NewBatch()
		message       zmqwire.Message
		unacked       = 0 // producers with records that are not acked
		record        = make([]byte, c.Int("size"))
		nextHeads     = time.Now()
	)
	// step sends what is in out and takes ACKs.
	step := func(wait time.Duration) error {
		n, err := node.Pub.Send(out)
		if err != nil {
			return err
		}
		out.Cut(n)
		if out.Len() > 0 {
			wait = time.Millisecond
		}
		ready, err := node.Wait(wait, func() bool { return false })
		if err != nil || !ready.Sub(0) {
			return err
		}
		if err := node.Sub[0].Drain(received); err != nil {
			return err
		}
		for frames := received.Next(); frames != nil; frames = received.Next() {
			if err := message.Decode(frames); err != nil {
				return err
			}
			p := byAddress[string(message.Routing)]
			if p == nil || message.Sequence < p.acked {
				continue
			}
			p.acked = message.Sequence + 1
			if p.acked == p.sent {
				unacked--
			}
		}
		return nil
	}
	say := func(kind zmqwire.Kind, p *simulated, sequence uint64) error {
		return out.AddMessage(&zmqwire.Message{
			Kind: kind, Routing: []byte(p.topic), Address: []byte(p.address), Subject: []byte(p.topic),
			Sequence: sequence, Content: record,
		})
	}
	send := func(p *simulated) error {
		sealRecord(record, p.sent, 0)
		if p.acked == p.sent {
			unacked++
		}
		p.sent++
		return say(zmqwire.Record, p, p.sent-1)
	}
	// settle waits for all ACKs. A record whose store was not there yet is not sent again, so a HEAD makes the store
	// say what it has.
	settle := func() error {
		deadline := time.Now().Add(time.Minute)
		for unacked > 0 || out.Len() > 0 {
			if time.Now().After(deadline) {
				return fmt.Errorf("the records of %d producers were not acked", unacked)
			}
			if time.Now().After(nextHeads) {
				nextHeads = time.Now().Add(time.Second)
				for _, p := range all {
					if p.acked < p.sent {
						if err := say(zmqwire.Head, p, p.sent-1); err != nil {
							return err
						}
					}
				}
			}
			if err := step(time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}

	// The store's writer and reader are connected when both are known and the first record was acked.
	for node.Peers() < 2 {
		if err := step(time.Millisecond); err != nil {
			return err
		}
	}
	probe := all[0]
	for probe.acked == 0 {
		if probe.sent == 0 {
			if err := send(probe); err != nil {
				return err
			}
		} else if err := say(zmqwire.Record, probe, 0); err != nil {
			return err
		}
		if err := step(10 * time.Millisecond); err != nil {
			return err
		}
	}
	w.say(workerReport{})
	w.told()
	for i := range count {
		if err := send(all[i%partitions]); err != nil {
			return err
		}
		for out.Len() >= 512 {
			if err := step(0); err != nil {
				return err
			}
		}
	}
	if err := settle(); err != nil {
		return err
	}
	w.say(workerReport{})
	w.told()
	return nil
}

// workAskHeads reports how long a store takes to tell the heads of one topic, at the median of many times.
func workAskHeads(w *worker, c *cli.Context, config tower.NodeConfig) error {
	node, err := node.Join(config, node.Sockets{Publish: zsock.PUB, Subscribe: []zsock.Options{{}}})
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Sub[0].Subscribe(string(byte(zmqwire.DirectHead)) + node.Address()); err != nil {
		return err
	}
	batch := zsock.NewBatch()
	ask := func(topic string) (time.Duration, error) {
		batch.Reset()
		err := batch.AddMessage(&zmqwire.Message{
			Kind: zmqwire.GetHeads, Routing: []byte(topic), Address: []byte(node.Address()),
		})
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if _, err := node.Pub.Send(batch); err != nil {
			return 0, err
		}
		for heads := 0; heads < c.Int("count") && time.Since(begin) < time.Second; {
			ready, err := node.Wait(100*time.Millisecond, func() bool { return false })
			if err != nil {
				return 0, err
			}
			if ready.Sub(0) {
				if err := node.Sub[0].Drain(batch); err != nil {
					return 0, err
				}
				heads += batch.Len()
			}
		}
		return time.Since(begin), nil
	}
	var took []time.Duration
	for i := 0; len(took) < 101 && i < 1000; i++ {
		t, err := ask(simulatedTopic(i, scaleTopics))
		if err != nil {
			return err
		}
		if t < time.Second { // else the store was not connected yet
			took = append(took, t)
		}
	}
	if len(took) == 0 {
		return errors.New("the store told no heads")
	}
	w.say(workerReport{Seconds: median(took).Seconds()})
	w.told()
	return nil
}
