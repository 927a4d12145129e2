package producer

import (
	"errors"
	"fmt"
	"time"

	"github.com/godafka/dafka/zmqwire"
)

// ErrAddressUsed is returned by Send, WaitAcked, Flush, Wait and Close of a producer whose Address was given to it, when
// a store has records of an earlier producer of that Address, or when another node has the Address now. Records of the
// failed producer that were not acked may be stored nowhere.
var ErrAddressUsed = errors.New("address is used")

const (
	// answerTime is how long a store has to send a head after it was asked.
	answerTime = 250 * time.Millisecond
	// inquiryTime bounds an inquiry, from when a tower is connected. A store that is silent for so long is not waited for.
	inquiryTime = 5 * time.Second
	// inquiryWait is how often an inquiry is looked at.
	inquiryWait = 20 * time.Millisecond
)

// inquiry is how a producer with a given Address learns whether a producer before it had the same one. It asks every
// store for its heads of the topic, and publishes nothing meanwhile. It ends when every node that was there before has
// connected and every store had time to answer, some 1.5 s after a tower is connected with the default Interval. A
// random address needs no inquiry.
type inquiry struct {
	begun time.Time            // when a tower was connected
	met   map[string]bool      // the nodes that have connected: each subscribes to what is for it, by its address
	asked map[string]time.Time // of stores, by the reader's address: when it was asked last; zero before it can answer
}

func newInquiry() *inquiry {
	return &inquiry{met: make(map[string]bool), asked: make(map[string]time.Time)}
}

// subscribed notes a subscription of a peer, and asks a store that has just connected.
func (p *Producer) subscribed(prefix []byte) {
	q := p.inquiry
	if q == nil || len(prefix) < 2 || len(q.met) >= 8*p.node.Limits().Peers {
		return
	}
	address := string(prefix[1:])
	q.met[address] = true
	if zmqwire.Kind(prefix[0]) == zmqwire.ConsumerHello {
		if _, ok := q.asked[address]; !ok {
			q.asked[address] = time.Time{}
		}
	}
}

// ask asks a store, which has shown that it reaches the producer, for its heads of the topic.
func (p *Producer) ask(store string, now time.Time) error {
	q := p.inquiry
	if q == nil || len(q.asked) >= 8*p.node.Limits().Peers {
		return nil
	}
	q.asked[store] = now
	p.out.Reset()
	err := p.out.AddMessage(&zmqwire.Message{
		Kind: zmqwire.ConsumerHello, Routing: []byte(store), Address: []byte(p.Address()), Topics: [][]byte{[]byte(p.topic)},
	})
	if err == nil {
		_, err = p.node.Pub.Send(p.out)
	}
	return err
}

// inquire ends the inquiry when it is time. It returns an error when another node has the address.
func (p *Producer) inquire(now time.Time) error {
	q := p.inquiry
	if q == nil {
		return nil
	}
	if at, ok := p.node.Namesake(); ok {
		return fmt.Errorf("%w: %s by the node at %s; leave Address empty or set one that was never used",
			ErrAddressUsed, p.Address(), at)
	}
	if q.begun.IsZero() {
		if p.node.Connected() > 0 {
			q.begun = now
		}
		return nil
	}
	awaited := 0
	for _, member := range p.node.Members() {
		if !q.met[member.Address] {
			awaited++
		}
	}
	for _, at := range q.asked {
		if at.IsZero() || now.Sub(at) < answerTime {
			awaited++
		}
	}
	late := now.Sub(q.begun) >= inquiryTime
	if !late && (awaited > 0 || !p.node.Settled(now)) {
		return nil
	}
	if awaited > 0 {
		p.logger.Warn("address is not known to be unused, some nodes do not answer", "address", p.Address(), "nodes", awaited)
	}
	p.inquiry = nil
	return nil
}

// used is the error for records of the producer's partition that it did not publish.
func (p *Producer) used(records uint64) error {
	return fmt.Errorf("%w: a store has %d records of %s in topic %q, of another producer; leave Address empty or set one "+
		"that was never used", ErrAddressUsed, records, p.Address(), p.topic)
}
