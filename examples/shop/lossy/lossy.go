// Package lossy is an HTTP/1.1 proxy that loses requests, and replies to processed requests.
package lossy

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Faults are the probabilities of faults, from 0 to 1.
type Faults struct {
	// Request is the probability that the connection breaks before the server sees the request.
	Request float64
	// Reply is the probability that the connection breaks after the server has replied.
	Reply float64
}

// Proxy forwards requests to a server.
type Proxy struct {
	listener net.Listener
	target   string
	faults   Faults

	requests, replies atomic.Int64 // that were lost

	mu     sync.Mutex
	random *rand.Rand
	conns  map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

// Listen starts a proxy on a free loopback port. The faults depend on the seed and on the order of the requests.
func Listen(target string, faults Faults, seed uint64) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("lossy: %w", err)
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

// Lost returns the numbers of lost requests and lost replies.
func (p *Proxy) Lost() (requests, replies int64) { return p.requests.Load(), p.replies.Load() }

// Close breaks all connections, and waits for the proxy to end.
func (p *Proxy) Close() error {
	err := p.listener.Close()

	p.mu.Lock()
	p.closed = true

	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()

	p.done.Wait()

	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("lossy: %w", err)
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

// serve forwards the requests of a connection, one at a time, until the connection breaks.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target) //nolint:noctx // loopback
	if err != nil {
		_ = client.Close()

		return
	}

	defer p.untrack(client, server)

	if !p.track(client, server) {
		return
	}

	from, back := bufio.NewReader(client), bufio.NewReader(server)

	for p.forward(client, server, from, back) {
	}

	if tcp, ok := client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, like that of a router that has forgotten the connection
	}
}

// forward forwards a request and its reply. It reports whether the connection is still good.
func (p *Proxy) forward(client, server net.Conn, from, back *bufio.Reader) bool {
	r, err := http.ReadRequest(from)
	if err != nil {
		return false
	}

	if p.draw() < p.faults.Request {
		p.requests.Add(1)

		return false
	}

	if err := r.Write(server); err != nil {
		return false
	}

	resp, err := http.ReadResponse(back, r)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read

	if p.draw() < p.faults.Reply {
		p.replies.Add(1)

		return false
	}

	return resp.Write(client) == nil && !resp.Close && !r.Close
}

func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, conn := range conns {
		if !p.closed {
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
