package survey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// probed is what listens at an endpoint: the type of a ZeroMQ socket, such as XPUB, or else the error with which the
// connection failed.
type probed struct {
	socket string
	err    error
}

var errNotZeroMQ = errors.New("what listens there does not speak ZeroMQ")

const (
	probeTime    = 2 * time.Second
	probesAtOnce = 32
)

// probeAll probes every "host:port". Names are resolved here, as libzmq is never given any.
func probeAll(ctx context.Context, places []string) map[string]probed {
	results := make(map[string]probed, len(places))
	var mu sync.Mutex
	var running sync.WaitGroup
	room := make(chan struct{}, probesAtOnce)
	for _, place := range places {
		room <- struct{}{}
		running.Go(func() {
			socket, err := probe(ctx, place)
			mu.Lock()
			results[place] = probed{socket, err}
			mu.Unlock()
			<-room
		})
	}
	running.Wait()
	return results
}

// probe connects to a place and reads what kind of socket is there, without becoming its peer: each side of ZMTP 3
// begins with a greeting of 64 bytes, and then names its socket's type in a READY command. The probe sends none.
func probe(ctx context.Context, place string) (socket string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", place)
	if err != nil {
		return "", cause(err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(probeTime))
	greeting := make([]byte, 64)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	if _, err := connection.Write(greeting); err != nil {
		return "", errNotZeroMQ
	}
	if _, err := io.ReadFull(connection, greeting); err != nil || greeting[0] != 0xff || greeting[9] != 0x7f {
		return "", errNotZeroMQ
	}
	var frame [2]byte // flags: a short command; its length
	if _, err := io.ReadFull(connection, frame[:]); err != nil || frame[0] != 4 {
		return "", errNotZeroMQ
	}
	body := make([]byte, frame[1])
	if _, err := io.ReadFull(connection, body); err != nil {
		return "", errNotZeroMQ
	}
	return socketType(body)
}

// socketType finds the socket's type among the properties of a READY command.
func socketType(body []byte) (string, error) {
	const ready = "\x05READY"
	if len(body) < len(ready) || string(body[:len(ready)]) != ready {
		return "", errNotZeroMQ
	}
	for body = body[len(ready):]; len(body) > 0; {
		name := int(body[0])
		if len(body) < 1+name+4 {
			break
		}
		value := body[1+name+4:]
		size := int(body[1+name])<<24 | int(body[2+name])<<16 | int(body[3+name])<<8 | int(body[4+name])
		if size < 0 || size > len(value) {
			break
		}
		if string(body[1:1+name]) == "Socket-Type" {
			return string(value[:size]), nil
		}
		body = value[size:]
	}
	return "", errNotZeroMQ
}

// cause is the error of a connection, without the addresses of both its ends.
func cause(err error) error {
	var name *net.DNSError
	if errors.As(err, &name) {
		return fmt.Errorf("the name %s does not resolve: %s", name.Name, name.Err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", probeTime)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call interface{ Unwrap() error }
	for errors.As(err, &call) && call.Unwrap() != nil {
		err = call.Unwrap()
	}
	return err
}
