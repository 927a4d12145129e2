package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// dial is a connection to a tower, which may have a name whose meaning changes.
type dial struct {
	endpoint zmqwire.Endpoint
	socket   *zsock.Socket
	at       string // the endpoint connected to, empty at first
	dead     bool   // connect anew, even to the same place
}

func (d *dial) to(ip string) error {
	at := zmqwire.Endpoint{Host: ip, Port: d.endpoint.Port}.String()
	if at == d.at && !d.dead {
		return nil
	}
	// Whatever fails here is done anew the next time the tower is looked up.
	if before := d.at; before != "" {
		d.at = ""
		if err := d.socket.Disconnect(before); err != nil {
			return err
		}
	}
	if err := d.socket.Connect(at); err != nil {
		return err
	}
	d.at, d.dead = at, false
	return nil
}

// found is what a look-up gave.
type found struct {
	host string
	port uint16 // the port to which it applies; 0: to all
	ip   string // empty when the name could not be resolved
	dead bool   // no address of the name answers at the port
	err  error
	last bool // nothing else comes of the look-up
}

// lookUp is the system's resolver; tests know names of their own.
var lookUp = net.DefaultResolver.LookupNetIP

// resolve leaves the host's IP address with applyFound: at once when it is one.
func (n *Node) resolve(host string) {
	if ip := net.ParseIP(host); ip != nil {
		// In one form, however it was written: libzmq tells places apart by their text.
		n.leave(found{host: host, ip: ip.String(), last: true})
		return
	}
	if n.pending[host] || len(n.pending) >= maxLookups {
		return // a peer is announced again, and a silent tower looked up again
	}
	n.pending[host] = true
	ports := n.portsAt(host)
	n.running.Go(func() {
		defer n.poller.Wake()
		ctx, cancel := context.WithTimeout(n.lookups, resolveTime)
		defer cancel()
		ips, err := lookUp(ctx, "ip", host)
		for i := range ips {
			ips[i] = ips[i].Unmap()
		}
		// IPv4 first: C nodes listen on nothing else.
		slices.SortStableFunc(ips, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
		ips = slices.Compact(ips)
		switch {
		case len(ips) == 0 && err == nil:
			err = errors.New("the name has no address")
			fallthrough
		case len(ips) == 0:
			n.leave(found{host: host, err: err, last: true})
		case len(ips) == 1:
			n.leave(found{host: host, ip: ips[0].String(), last: true})
		default:
			n.reach(host, ports, ips)
		}
	})
}

// portsAt lists the ports at which the host is to be connected to.
func (n *Node) portsAt(host string) []uint16 {
	var ports []uint16
	for e, at := range n.connected {
		if e.Host == host && at == "" {
			ports = append(ports, e.Port)
		}
	}
	for _, d := range n.dials {
		if d.endpoint.Host == host {
			ports = append(ports, d.endpoint.Port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// reach finds out for each port which of the host's addresses answers there: not every machine has every route, and not
// every program listens for both families. It leaves each port's as it is found.
func (n *Node) reach(host string, ports []uint16, ips []netip.Addr) {
	var running sync.WaitGroup
	turns := make(chan struct{}, maxReaching)
	for _, port := range ports {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			f := found{host: host, port: port}
			if ip, ok := firstToAnswer(n.lookups, ips, port); ok {
				f.ip = ip.String()
			} else {
				f.ip, f.dead = ips[0].String(), true
			}
			n.leave(f)
			n.poller.Wake()
		})
	}
	running.Wait()
	n.leave(found{host: host, last: true})
}

// firstToAnswer connects to one address after the other, without waiting long for one that does not answer, and returns
// the first that does.
func firstToAnswer(ctx context.Context, ips []netip.Addr, port uint16) (ip netip.Addr, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	answers := make(chan netip.Addr, len(ips)) // not valid for one that does not answer
	for tried, failed := 0, 0; failed < len(ips); {
		var next <-chan time.Time
		if tried < len(ips) {
			ip := ips[tried]
			tried++
			next = time.After(headStart)
			go func() {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(ip, port).String())
				if err != nil {
					answers <- netip.Addr{}
					return
				}
				c.Close()
				answers <- ip
			}()
		}
		select {
		case ip := <-answers:
			if ip.IsValid() {
				return ip, true
			}
			failed++
		case <-next:
		}
	}
	return netip.Addr{}, false
}

func (n *Node) leave(f found) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.foundIPs = append(n.foundIPs, f)
}

func (n *Node) anyFound() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.foundIPs) > 0
}

// applyFound connects to what was resolved and is still wanted.
func (n *Node) applyFound() {
	n.mu.Lock()
	foundIPs := n.foundIPs
	n.foundIPs = nil
	n.mu.Unlock()
	for i, f := range foundIPs {
		if i > 0 && f.err == nil && f == foundIPs[i-1] {
			continue // many peers of one host
		}
		if f.last {
			delete(n.pending, f.host)
		}
		if f.err != nil {
			n.faults.NoteEvent("a node is not reached by its name", fmt.Errorf("%w: %q: %v", ErrHost, f.host, f.err))
		}
		if f.ip == "" {
			continue
		}
		for e, at := range n.connected {
			if e.Host != f.host || f.port != 0 && e.Port != f.port || at != "" {
				continue
			}
			at = zmqwire.Endpoint{Host: f.ip, Port: e.Port}.String()
			if f.dead {
				n.faults.Note(fmt.Errorf("%w: connect %v: no address of the name answers", ErrConnect, e))
				continue // expire tries again
			}
			var failed error
			for _, s := range n.Sub {
				// To connect again where a socket is connected changes nothing.
				failed = errors.Join(failed, s.Connect(at))
			}
			if failed != nil {
				n.faults.NoteEvent("peer not connected", fmt.Errorf("%w: %v", ErrConnect, failed))
				continue // expire tries again
			}
			n.connected[e] = at
			n.log.Debug("connected to peer", "endpoint", e.String())
		}
		// A tower that does not answer yet may come at the first address, and is looked up again.
		for _, d := range n.dials {
			if d.endpoint.Host != f.host || f.port != 0 && d.endpoint.Port != f.port {
				continue
			}
			if err := d.to(f.ip); err != nil {
				n.log.Warn("tower not connected", "error", err)
			}
		}
	}
}
