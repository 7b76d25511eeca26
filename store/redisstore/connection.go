package redisstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// silence is how long a connection may be without an answer before it counts as dead. An operation that ended sooner proves nothing.
	silence = 100 * time.Millisecond
	// dropEvery is the shortest time between two replacements of all connections to an address.
	dropEvery = time.Second
	// maxRoutes bounds the number of remembered addresses.
	maxRoutes = 1024
)

// errSpent ends the use of a connection before anything is sent. It is a timeout, so that go-redis tries another connection.
var errSpent net.Error = spentError{}

type spentError struct{}

func (spentError) Error() string {
	return "redisstore: the connection leads to a server that has failed"
}
func (spentError) Timeout() bool   { return true }
func (spentError) Temporary() bool { return true }

// routes makes the connections of one client and discards useless ones. One failure replaces all connections of its kind, so that not every
// connection causes a failure of its own:
//   - The server refuses writes. The address may lead to another server by now, but a connection stays with its server.
//   - The server does not answer. Connections that have received nothing since may be dead too.
type routes struct {
	dial    dialFunc
	started time.Time

	mu sync.Mutex
	to map[string]*route
}

// route is what the connections to one address share.
type route struct {
	// generation counts the refusals of writes. Connections of an older generation are spent.
	generation atomic.Int64
	// refused is when generation was last raised.
	refused atomic.Int64
	// silent is when the request was sent that got no answer. Connections that have received nothing since are spent.
	silent atomic.Int64
}

func newRoutes(dial dialFunc) *routes {
	return &routes{dial: dial, started: time.Now(), to: make(map[string]*route)}
}

// Dial makes a connection. It is the Dialer of go-redis' options.
func (r *routes) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}

	// A refusal during the dial does not count. Otherwise slow dials would yield only spent connections.
	route := r.route(address)
	c := &connection{Conn: conn, routes: r, route: route, generation: route.generation.Load()}
	c.heard.Store(r.now())

	return c, nil
}

func (r *routes) route(address string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.to) >= maxRoutes {
		clear(r.to) // open connections keep their routes
	}

	found := r.to[address]
	if found == nil {
		found = new(route)
		found.refused.Store(int64(-dropEvery))
		r.to[address] = found
	}

	return found
}

// now returns the time since the routes were made, in nanoseconds.
func (r *routes) now() int64 { return int64(time.Since(r.started)) }

// connection is a connection of go-redis' pool. The pool discards a spent connection before its use.
type connection struct {
	net.Conn

	routes     *routes
	route      *route
	generation int64
	sent       atomic.Int64 // when the last request was sent
	heard      atomic.Int64 // when something was last received
	answering  atomic.Bool  // whether the next bytes begin an answer
}

func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)

	switch {
	case n > 0:
		c.heard.Store(c.routes.now())

		if c.answering.Load() {
			c.answering.Store(false)
			c.judge(b[:n])
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.suspect()
	}

	return n, err //nolint:wrapcheck // as the connection does
}

func (c *connection) Write(b []byte) (int, error) {
	if c.spent() {
		return 0, errSpent
	}

	c.sent.Store(c.routes.now())
	c.answering.Store(true)

	return c.Conn.Write(b) //nolint:wrapcheck // as the connection does
}

// judge examines the beginning of an answer.
func (c *connection) judge(answer []byte) {
	if !bytes.HasPrefix(answer, []byte("-")) || !isWriteRefusal(string(answer[1:min(len(answer), 32)])) {
		return
	}

	now := c.routes.now()

	// A late answer on an old connection proves nothing about newer connections.
	if now-c.route.refused.Load() >= int64(dropEvery) && c.route.generation.CompareAndSwap(c.generation, c.generation+1) {
		c.route.refused.Store(now)
	}
}

// suspect notes that an answer is overdue.
func (c *connection) suspect() {
	sent := c.sent.Load()
	if c.heard.Load() > sent || c.routes.now()-sent < int64(silence) {
		return
	}

	for {
		known := c.route.silent.Load()
		if sent <= known || c.route.silent.CompareAndSwap(known, sent) {
			return
		}
	}
}

func (c *connection) spent() bool {
	return c.generation != c.route.generation.Load() || c.heard.Load() < c.route.silent.Load()
}

// SyscallConn implements [syscall.Conn]. go-redis uses it to check a connection before its use.
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	if c.spent() {
		return nil, errSpent
	}

	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn() //nolint:wrapcheck // as the connection does
	}

	return opaque{}, nil
}

// opaque is a connection with TLS. Its socket shows only whether there is encrypted data to read, such as after a handshake.
type opaque struct{}

func (opaque) Control(func(uintptr)) error    { return nil }
func (opaque) Read(func(uintptr) bool) error  { return nil }
func (opaque) Write(func(uintptr) bool) error { return nil }
