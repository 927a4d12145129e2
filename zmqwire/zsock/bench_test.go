package zsock

import (
	"bytes"
	"fmt"
	"github.com/godafka/dafka/zmqwire"
	"sync/atomic"
	"testing"
	"time"
)

func benchRecord(content int) zmqwire.Message {
	return zmqwire.Message{
		Kind: zmqwire.Record, Routing: []byte("topic"), Address: []byte(zmqwire.NewAddress()), Subject: []byte("topic"),
		Sequence: 1 << 40, Content: make([]byte, content),
	}
}

func BenchmarkDecode(b *testing.B) {
	m := benchRecord(100)
	frames := encode(b, &m)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(frames); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m := benchRecord(100)
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Append(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

// flood sends records until stopped says enough, and returns how many.
func flood(b *testing.B, pub *Socket, content int, enough func(sent int) bool) (sent int) {
	header := zmqwire.AppendRunHeader(nil, zmqwire.Record, "topic", zmqwire.NewAddress(), "topic")
	run := &zmqwire.Run{}
	for one := make([]byte, content); !run.Full(content); {
		run.Append(one)
	}
	for !enough(sent) {
		n, err := pub.SendRun(header, run, 0, run.Len(), nil, true)
		if err != nil {
			b.Error(err)
			return sent
		}
		sent += n
	}
	return sent
}

// drain receives records until it was stopped, and tells how many at any time.
func drain(b *testing.B, sub *Socket, stop *atomic.Bool, received *atomic.Int64) {
	p, err := NewPoller(sub)
	if err != nil {
		b.Error(err)
		return
	}
	defer p.Close()
	batch := NewBatch()
	var last []byte
	var m zmqwire.Message
	for !stop.Load() {
		if _, err := p.Wait(10*time.Millisecond, stop.Load); err != nil {
			b.Error(err)
			return
		}
		if err := sub.Drain(batch); err != nil {
			b.Error(err)
			return
		}
		for frames := batch.Next(); frames != nil; frames = batch.Next() {
			if header, _ := zmqwire.SplitRecord(frames[0]); bytes.Equal(header, last) {
				continue
			}
			if err := m.Decode(frames); err != nil {
				b.Error(err)
				return
			}
			header, _ := zmqwire.SplitRecord(frames[0])
			last = append(last[:0], header...)
		}
		received.Add(int64(batch.Len()))
	}
}

// BenchmarkSendRun is about the sender: an operation is a record sent to a subscriber that reads.
func BenchmarkSendRun(b *testing.B) {
	for _, content := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d bytes", content), func(b *testing.B) {
			pub, sub := pair(b, Options{Patience: time.Second}, Options{})
			var stop atomic.Bool
			var received atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				drain(b, sub, &stop, &received)
			}()
			b.SetBytes(int64(content))
			b.ReportAllocs()
			b.ResetTimer()
			flood(b, pub, content, func(sent int) bool { return sent >= b.N })
			b.StopTimer()
			stop.Store(true)
			<-done
		})
	}
}

// BenchmarkDrain is about the receiver: an operation is a record received and taken apart.
func BenchmarkDrain(b *testing.B) {
	for _, content := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d bytes", content), func(b *testing.B) {
			pub, sub := pair(b, Options{Patience: time.Second}, Options{})
			var stop atomic.Bool
			var received atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				flood(b, pub, content, func(int) bool {
					if received.Load() >= int64(b.N) {
						stop.Store(true)
					}
					return stop.Load()
				})
			}()
			b.SetBytes(int64(content))
			b.ReportAllocs()
			b.ResetTimer()
			drain(b, sub, &stop, &received)
			b.StopTimer()
			<-done
		})
	}
}
