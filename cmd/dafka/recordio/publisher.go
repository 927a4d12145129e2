package recordio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/zmqwire"
)

// Publisher publishes records to one topic, or each to the topic that it names, by a producer for each of them. One
// goroutine sends; Stats and Connected may be called from others.
type Publisher struct {
	config producer.Config // of each producer; without Topic, records name theirs

	topic string             // of the last record
	to    *producer.Producer // its producer

	mu        sync.Mutex
	producers []*producer.Producer
	byTopic   map[string]*producer.Producer
}

// mostTopics is how many producers a Publisher opens.
const mostTopics = 64

// OpenPublisher opens the producer of config.Topic, if there is one.
func OpenPublisher(config producer.Config) (*Publisher, error) {
	p := &Publisher{config: config, byTopic: make(map[string]*producer.Producer)}
	if config.Topic == "" {
		return p, nil
	}
	_, err := p.producer(config.Topic)
	return p, err
}

// producer returns that of the topic.
func (p *Publisher) producer(topic string) (*producer.Producer, error) {
	if p.config.Topic != "" {
		topic = p.config.Topic
	}
	if p.to != nil && p.topic == topic {
		return p.to, nil
	}
	if known := p.byTopic[topic]; known != nil {
		p.topic, p.to = topic, known
		return known, nil
	}
	switch err := zmqwire.CheckName("topic", topic); {
	case topic == "":
		return nil, errors.New("a record names no topic; give TOPIC")
	case err != nil:
		return nil, err
	case len(p.byTopic) == mostTopics:
		return nil, fmt.Errorf("topic %s: the records are of more than %d topics; publish them in several runs",
			terminal.Printable(TextOrBase64(topic)), mostTopics)
	}
	config := p.config
	config.Topic = topic
	opened, err := producer.Open(config)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.producers, p.byTopic[topic] = append(p.producers, opened), opened
	p.topic, p.to = topic, opened
	return opened, nil
}

// Send publishes a record, see producer.Send.
func (p *Publisher) Send(ctx context.Context, topic string, content []byte) error {
	to, err := p.producer(topic)
	if err == nil {
		_, err = to.Send(ctx, content)
	}
	return err
}

func (p *Publisher) all() []*producer.Producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.producers
}

// Stats are the sums over all producers. Towers is how many the producer that is worst off is connected to.
func (p *Publisher) Stats() producer.Stats {
	sum := producer.Stats{Towers: p.Connected()}
	for _, one := range p.all() {
		s := one.Stats()
		sum.Sent += s.Sent
		sum.Acked += s.Acked
		sum.UnackedBytes += s.UnackedBytes
	}
	return sum
}

// Connected is how many towers the producer that is worst off is connected to; 1 as long as there is none, which misses no
// tower.
func (p *Publisher) Connected() int {
	connected := -1
	for _, one := range p.all() {
		if n := one.Connected(); connected < 0 || n < connected {
			connected = n
		}
	}
	if connected < 0 {
		return 1
	}
	return connected
}

// Address names the partitions that were written.
func (p *Publisher) Address() string {
	var addresses []string
	for _, one := range p.all() {
		addresses = append(addresses, one.Address())
	}
	return strings.Join(addresses, ", ")
}

// Close closes all producers at the same time, see producer.Close. Records that were not acked are one error.
func (p *Publisher) Close(ctx context.Context) error {
	all := p.all()
	failures := make([]error, len(all))
	var closing sync.WaitGroup
	for i, one := range all {
		closing.Go(func() { failures[i] = one.Close(ctx) })
	}
	closing.Wait()
	if len(all) == 1 {
		return failures[0]
	}
	var sum producer.UnackedError
	for i, failure := range failures {
		var unacked *producer.UnackedError
		if errors.As(failure, &unacked) {
			sum.Count += unacked.Count
			failures[i] = nil
		}
	}
	if sum.Count > 0 {
		failures = append(failures, &sum)
	}
	return errors.Join(failures...)
}
