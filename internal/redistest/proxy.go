//go:build unix

package redistest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Proxy is a line to one server, with its own address.
type Proxy struct {
	*Plan

	target   string
	port     int
	listener net.Listener // guarded by the plan
}

// NewProxy returns a line to a server, with a plan of its own.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()

	proxy, err := NewPlan(tb).proxy(target)
	if err != nil {
		tb.Fatal(err)
	}

	return proxy
}

// Addr returns the host and port. It never changes.
func (x *Proxy) Addr() string { return servertest.Address(x.port) }

// URL returns the address as redis.ParseURL understands it.
func (x *Proxy) URL() string { return "redis://" + x.Addr() }

// proxy returns the line to a server.
func (p *Plan) proxy(target string) (*Proxy, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.closed {
		return nil, errors.New("the test has ended")
	}

	if proxy, ok := p.proxies[target]; ok {
		return proxy, nil
	}

	for range servertest.PortAttempts {
		proxy := &Proxy{Plan: p, target: target, port: servertest.ProposePort()}
		if err := proxy.listen(); err != nil {
			continue
		}

		if p.down {
			proxy.listener.Close()
		}

		p.proxies[target] = proxy

		return proxy, nil
	}

	return nil, fmt.Errorf("no free port for a proxy in %d attempts", servertest.PortAttempts)
}

// listen accepts connections until the listener is closed. It is called with the lock.
func (x *Proxy) listen() error {
	listener, err := net.Listen("tcp", x.Addr())
	if err != nil {
		return err
	}

	x.listener = listener

	x.lines.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			x.lines.Go(func() { x.serve(conn) })
		}
	})

	return nil
}

// refuses returns nil when connections are refused. The kernel still accepts some while a process that is being started holds
// all that this one had open, before it becomes another program.
func (x *Proxy) refuses() error {
	conn, err := net.Dial("tcp", x.Addr())
	if err == nil {
		conn.Close()

		return errors.New("connections are accepted")
	}

	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}

	return nil
}

// serve is one connection, from its beginning to its end.
func (x *Proxy) serve(client net.Conn) {
	defer client.Close()

	conn, err := net.Dial("tcp", x.target)
	if err != nil {
		return // the server is down, and the client sees it
	}
	defer conn.Close()

	server, _ := conn.(*net.TCPConn)
	l := &link{plan: x.Plan, target: x.target, client: client, server: server, ended: make(chan struct{})}

	x.mu.Lock()

	unwanted := x.closed || x.down
	if !unwanted {
		x.links[l] = struct{}{}
	}
	x.mu.Unlock()

	if unwanted {
		return
	}

	x.lines.Go(l.forward)
	l.backward()

	x.mu.Lock()
	delete(x.links, l)
	close(l.ended)
	x.mu.Unlock()
}
