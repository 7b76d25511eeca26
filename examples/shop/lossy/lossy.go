// Package lossy is a proxy for HTTP/1.1 that loses what networks lose: requests, and replies to requests that were carried out.
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

// Faults says how often something is lost, each as a probability from 0 to 1.
type Faults struct {
	// Request breaks the connection before the server has seen the request.
	Request float64
	// Reply breaks the connection when the server has replied.
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

// Listen starts a proxy on a free port of the loopback interface. What is lost depends on the seed, and on the order of the requests.
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

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Lost returns how many requests and how many replies were lost.
func (p *Proxy) Lost() (requests, replies int64) { return p.requests.Load(), p.replies.Load() }

// Close breaks all connections and waits until the proxy has ended.
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

// serve forwards the requests of a connection, one after the other, until it is broken.
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
		_ = tcp.SetLinger(0) // a reset, as from a router that has forgotten the connection
	}
}

// forward forwards a request and its reply. It reports whether the connection goes on.
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

// draw returns a number from 0 to 1.
func (p *Proxy) draw() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.random.Float64()
}
