package recordio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/tower"
)

// ProduceAll publishes, and closes the producers.
func ProduceAll(ctx context.Context, p *Publisher, progress *Progress, records Source, pace *Pace) (readErr, closeErr error) {
	readErr = publish(ctx, p, records, pace)
	closeErr = CloseProducer(ctx, p, progress)
	progress.End()
	return readErr, closeErr
}

// AfterEnd is what went wrong, apart from a signal.
func AfterEnd(readErr, closeErr error) error {
	if errors.Is(readErr, terminal.ErrEnded) {
		readErr = nil
	}
	return errors.Join(readErr, closeErr)
}

// publish sends each record until the input or ctx ends.
func publish(ctx context.Context, p *Publisher, next Source, pace *Pace) error {
	for {
		topic, content, err := next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			pace.wait(ctx)
			err = send(ctx, p, topic, content)
		}
		if errors.Is(err, producer.ErrClosed) {
			return nil // it has failed; Close says why
		}
		if err != nil {
			return err
		}
	}
}

// send gives terminal.ErrEnded when ctx has ended.
func send(ctx context.Context, p *Publisher, topic string, content []byte) error {
	if ctx.Err() != nil {
		return terminal.ErrEnded
	}
	err := p.Send(ctx, topic, content)
	if errors.Is(err, context.Canceled) {
		return terminal.ErrEnded
	}
	return err
}

// Pace holds a publisher back to so many records a second. What was not published during a pause, of the input or of a
// producer that waits for ACKs, is not made up for. The zero pace holds nobody back.
type Pace struct {
	Rate float64   // records a second
	next time.Time // when the next record is due
}

// wait returns when the next record is due, or ctx ends.
func (p *Pace) wait(ctx context.Context) {
	if p.Rate == 0 {
		return
	}
	now := time.Now()
	if now.Sub(p.next) > paceSlack {
		p.next = now
	}
	ahead := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(min(float64(time.Second)/p.Rate, float64(math.MaxInt64/2))))
	// Timers are not finer, and a moment's sleep for each of many records would be too long in all.
	if ahead < time.Millisecond {
		return
	}
	select {
	case <-time.After(ahead):
	case <-ctx.Done():
	}
}

// paceSlack is how late a record may be without moving those after it: timers and schedulers are late by so much.
const paceSlack = 20 * time.Millisecond

// ErrUnreached says that nobody could be reached in the time given.
var ErrUnreached = errors.New("nobody reached")

// AwaitContact gives up when the producer hears no tower, or of its records no ACK, for as long as timeout.
func AwaitContact(ctx context.Context, p *Publisher, timeout time.Duration, giveUp context.CancelCauseFunc) {
	tick := time.NewTicker(min(terminal.ProgressInterval, timeout/4+1))
	defer tick.Stop()
	contact, acked := time.Now(), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := p.Stats()
			if s.Acked != acked || s.Acked == s.Sent && s.Towers > 0 {
				contact, acked = now, s.Acked
			}
			if now.Sub(contact) > timeout {
				giveUp(ErrUnreached)
				return
			}
		}
	}
}

// Unreached says whom a producer did not reach.
func Unreached(s producer.Stats, node tower.NodeConfig, timeout time.Duration) error {
	who := fmt.Sprintf("no store acked for %v (is one running? dafka store)", timeout)
	if s.MinAcks > 1 {
		who = fmt.Sprintf("not enough stores acked for %v: %s", timeout, storesHave(s))
	}
	if s.Towers == 0 {
		who = fmt.Sprintf("no tower was heard at %s for %v (is one running? dafka tower)", strings.Join(node.Pub, ", "), timeout)
	}
	return terminal.WithStatus(terminal.StatusUnreached, fmt.Errorf("%s: %s sent, %d acked, %d unacked", who,
		terminal.Plural(s.Sent, "record"), s.Acked, s.Sent-s.Acked))
}

// ackPatience is how long the ACKs are waited for once the program was told to end.
const ackPatience = 500 * time.Millisecond

// CloseProducer waits for the ACKs of all records, or, when ctx ends, a moment longer.
func CloseProducer(ctx context.Context, p *Publisher, progress *Progress) error {
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(ackPatience, giveUp)
		if s := p.Stats(); s.Acked < s.Sent && context.Cause(ctx) != ErrUnreached {
			progress.say("ending: %d of %d records are not acked yet; a second signal ends at once", s.Sent-s.Acked, s.Sent)
		}
	})()
	err := p.Close(patient)
	var unacked *producer.UnackedError
	if patient.Err() != nil && errors.As(err, &unacked) {
		s := p.Stats()
		if s.MinAcks > 1 {
			return fmt.Errorf("%d of %d records were not acked by %d stores: %s", unacked.Count, s.Sent, s.MinAcks, storesHave(s))
		}
		return fmt.Errorf("%d of %d records were not acked: no store is known to hold them, publish them again",
			unacked.Count, s.Sent)
	}
	return err
}

// storesHave says how many stores have how many of the records, and what to do, where one store is not enough.
func storesHave(s producer.Stats) string {
	var list []string
	most := uint64(0) // that one store has
	for _, store := range s.Stores {
		list = append(list, store.Endpoint+" has "+terminal.Plural(store.Acked, "record"))
		most = max(most, store.Acked)
	}
	have := "no store is known to have any of them"
	if len(list) > 0 {
		have = terminal.Plural(uint64(len(list)), "store") + " acked: " + strings.Join(list, ", ")
	}
	switch lacking := s.Sent - most; {
	case len(s.Stores) == 0:
		return have + "; publish them again when stores run (dafka store)"
	case lacking > 0:
		return fmt.Sprintf("%s; publish the last %d again, which no store is known to have", have, lacking)
	case len(s.Stores) < s.MinAcks:
		return fmt.Sprintf("%s; do not publish them again, but run %d stores, or say --min-acks %d", have, s.MinAcks, len(s.Stores))
	}
	return have + "; do not publish them again: the other stores get them from those that have them"
}
