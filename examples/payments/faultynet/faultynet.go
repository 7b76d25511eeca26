// Package faultynet is a TCP proxy for gRPC that loses what real networks lose: connections break before a request has
// arrived, or after the server has processed it and before its reply gets through, and replies come late.
//
// A line can also be made to stall, so that something can be done to the server while calls are under way.
//
// It reads the frames of HTTP/2 as far as it needs to know where a request and a reply begin.
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

// Faults says how often something goes wrong, each as a probability from 0 to 1.
type Faults struct {
	// Reset breaks the connection when a request arrives, before the server has seen it.
	Reset float64
	// LostReply breaks the connection when the server replies: the request has been processed.
	LostReply float64
	// Late holds a reply back for Delay.
	Late  float64
	Delay time.Duration
}

// Counts says what has gone wrong so far.
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

// Listen starts a proxy on a free port of the loopback interface. What goes wrong depends on the seed, and on the order in
// which requests arrive.
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

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Counts returns what has gone wrong so far.
func (p *Proxy) Counts() Counts {
	return Counts{Resets: p.resets.Load(), LostReplies: p.lost.Load(), LateReplies: p.late.Load()}
}

// Redirect makes new connections go to another server.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.target = target
}

// Cut breaks all connections. What a stall has held back is lost, and the stall is over.
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

// Close breaks all connections and waits until the proxy has ended.
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

// draw returns a number from 0 to 1.
func (p *Proxy) draw() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.random.Float64()
}
