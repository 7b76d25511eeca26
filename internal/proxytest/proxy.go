//go:build unix

package proxytest

import (
	"errors"
	"net"
	"syscall"
)

// Proxy is a way to one server, with an address of its own.
type Proxy[C any] struct {
	plan     *Plan[C]
	target   string
	addr     string
	listener net.Listener // guarded by the plan
}

// Addr returns the host and port. It never changes.
func (x *Proxy[C]) Addr() string { return x.addr }

// Target returns the host and port of the server.
func (x *Proxy[C]) Target() string { return x.target }

// listen accepts connections until the listener is closed. The caller holds the lock.
func (x *Proxy[C]) listen() error {
	listener, err := net.Listen("tcp", x.addr)
	if err != nil {
		return err
	}

	x.listener = listener

	x.plan.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			x.plan.running.Go(func() { x.serve(conn) })
		}
	})

	return nil
}

// refuses returns nil when connections are refused. The kernel still accepts some while a process that is being started
// holds all that this one had open, before it becomes another program.
func (x *Proxy[C]) refuses() error {
	conn, err := net.Dial("tcp", x.addr)
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
func (x *Proxy[C]) serve(client net.Conn) {
	defer client.Close()

	conn, err := net.Dial("tcp", x.target)
	if err != nil {
		return // the server is down, and the client sees it
	}
	defer conn.Close()

	server, _ := conn.(*net.TCPConn)
	l := &line[C]{
		plan: x.plan, target: x.target, dialogue: x.plan.dialogue(x.target),
		client: client, server: server, ended: make(chan struct{}),
	}

	if !l.open() {
		return
	}

	x.plan.running.Go(l.forward)
	l.backward()
	l.end()
}
