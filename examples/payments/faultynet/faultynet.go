// Package faultynet is a TCP proxy for gRPC with the faults of real networks. It breaks connections before a request has arrived, or before
// the reply of a processed request gets through. It also delays replies.
//
// It can also stall a connection, so that a test can act while calls are in flight.
//
// It parses HTTP/2 frames to find the beginning of requests and replies.
package faultynet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are the probabilities of faults, from 0 to 1.
type Faults struct {
	// Reset is the probability that the connection breaks before the server sees a request.
	Reset float64
	// LostReply is the probability that the connection breaks when the server replies, after it has processed the request.
	LostReply float64
	// Late is the probability that a reply is delayed by Delay.
	Late  float64
	Delay time.Duration
}

// Counts counts the faults so far.
type Counts struct{ Resets, LostReplies, LateReplies int64 }

// Plus adds the counts of two proxies.
func (c Counts) Plus(other Counts) Counts {
	return Counts{
		Resets: c.Resets + other.Resets, LostReplies: c.LostReplies + other.LostReplies, LateReplies: c.LateReplies + other.LateReplies,
	}
}

// Proxy forwards connections to a server.
type Proxy struct {
	listener net.Listener
	faults   Faults

	resets, lost, late atomic.Int64

	mu     sync.Mutex
	target string
	stall  *stall // nil where the line does not stall
	random *rand.Rand
	conns  map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

// Listen starts a proxy on a free loopback port. The faults depend on the seed and on the order of the requests.
func Listen(target string, faults Faults, seed uint64) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("faultynet: %w", err)
	}

	p := &Proxy{
		listener: listener, target: target, faults: faults,
		random: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // not a secret, and reproducible
		conns:  make(map[net.Conn]struct{}),
	}

	p.done.Go(p.accept)

	return p, nil
}

// Addr returns the address for clients.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Counts returns the faults so far.
func (p *Proxy) Counts() Counts {
	return Counts{Resets: p.resets.Load(), LostReplies: p.lost.Load(), LateReplies: p.late.Load()}
}

// Redirect sends new connections to another server.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.target = target
}

// Cut breaks all connections, and ends a stall. Held requests and replies are lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for conn := range p.conns {
		_ = conn.Close()
	}

	if p.stall != nil {
		close(p.stall.over)
		p.stall = nil
	}
}

// Close breaks all connections, and waits for the proxy to end.
func (p *Proxy) Close() error {
	err := p.listener.Close()

	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()

	p.Cut()
	p.done.Wait()

	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("faultynet: %w", err)
	}

	return nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}

		p.done.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()

	server, err := net.Dial("tcp", target) //nolint:noctx // loopback
	if err != nil {
		_ = client.Close()

		return
	}

	if !p.track(client, server) {
		return
	}
	defer p.untrack(client, server)

	link := &link{proxy: p, client: client, server: server}

	var both sync.WaitGroup

	both.Go(link.requests)
	both.Go(link.replies)
	both.Wait()
}

func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, conn := range conns {
		if p.closed {
			_ = conn.Close()
		} else {
			p.conns[conn] = struct{}{}
		}
	}

	return !p.closed
}

func (p *Proxy) untrack(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, conn := range conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// draw returns a random number from 0 to 1.
func (p *Proxy) draw() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.random.Float64()
}
