//go:build unix

package sqltest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Proxy is a line to a database, with its own address. It lets statements pass, counts them, and makes faults. What a driver
// sends by itself to introduce itself, and to see whether the server is there, always passes and does not count.
type Proxy struct {
	*Database // by way of the proxy

	tb     testing.TB
	kind   kind
	target string
	ended  chan struct{}
	lines  sync.WaitGroup

	mu         sync.Mutex
	listener   net.Listener
	closed     bool
	down       bool
	stalled    chan struct{} // where replies wait until it is closed; nil if they do not
	open       map[*line]struct{}
	all        []*Armed // that ever were
	armed      []*Armed // that wait for a statement
	statements []Statement
	trips      int
}

// NewProxy returns a line to a database, without faults. It ends with the test.
func NewProxy(tb testing.TB, d *Database) *Proxy {
	tb.Helper()

	k, ok := d.engine.(kind)
	if !ok {
		tb.Fatalf("there is no line to a database of %s", d.Driver())
	}

	x := &Proxy{tb: tb, kind: k, target: d.addr, ended: make(chan struct{}), open: make(map[*line]struct{})}

	if err := x.listenAnywhere(d); err != nil {
		tb.Fatal(err)
	}

	tb.Cleanup(x.close)

	return x
}

func (x *Proxy) listenAnywhere(d *Database) error {
	for range servertest.PortAttempts {
		x.Database = &Database{engine: d.engine, addr: servertest.Address(servertest.ProposePort()), name: d.name}

		if x.listen() == nil {
			return nil
		}
	}

	return fmt.Errorf("no free port for a proxy in %d attempts", servertest.PortAttempts)
}

// listen accepts connections until the listener is closed. It is called with the lock, or before there is anybody else.
func (x *Proxy) listen() error {
	listener, err := net.Listen("tcp", x.addr)
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

// serve is one connection, from its beginning to its end.
func (x *Proxy) serve(client net.Conn) {
	defer client.Close()

	conn, err := net.Dial("tcp", x.target)
	if err != nil {
		return // the server is down, and the client sees it
	}
	defer conn.Close()

	server, _ := conn.(*net.TCPConn)
	l := &line{proxy: x, client: client, server: server, dialogue: x.kind.dialogue(), ended: make(chan struct{})}
	l.pending = l.dialogue.greeting()

	x.mu.Lock()

	unwanted := x.closed || x.down
	if !unwanted {
		x.open[l] = struct{}{}
	}
	x.mu.Unlock()

	if unwanted {
		return
	}

	x.lines.Go(l.forward)
	l.backward()

	x.mu.Lock()
	delete(x.open, l)
	close(l.ended)
	x.mu.Unlock()
}

// Cut cuts all connections, as far as clients see. What is late is still on its way.
func (x *Proxy) Cut() {
	x.mu.Lock()
	defer x.mu.Unlock()

	for l := range x.open {
		l.client.Close()
	}
}

// Down cuts all connections and refuses new ones, as if no server ran.
func (x *Proxy) Down() {
	x.tb.Helper()

	x.mu.Lock()
	x.down = true
	x.listener.Close()
	x.mu.Unlock()

	x.Cut()
	servertest.Wait(x.tb, "going down", x.refuses)
}

// Up accepts connections again.
func (x *Proxy) Up() {
	x.tb.Helper()

	x.mu.Lock()
	defer x.mu.Unlock()

	if !x.down {
		return
	}

	x.down = false
	servertest.Wait(x.tb, "listening again", x.listen)
}

// refuses returns nil when connections are refused. The kernel still accepts some while a process that is being started holds
// all that this one had open, before it becomes another program.
func (x *Proxy) refuses() error {
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

// Stall holds back all that the server says. Connections stay open, and the server gets what clients send.
func (x *Proxy) Stall() {
	x.mu.Lock()
	defer x.mu.Unlock()

	if x.stalled == nil {
		x.stalled = make(chan struct{})
	}
}

// Unstall passes on what was held back, to those who are still there.
func (x *Proxy) Unstall() {
	x.mu.Lock()
	defer x.mu.Unlock()

	if x.stalled != nil {
		close(x.stalled)
		x.stalled = nil
	}
}

// Statements returns all statements in the order in which they were read from clients, also those that were lost. One that
// is prepared counts when it is executed.
func (x *Proxy) Statements() []Statement {
	x.mu.Lock()
	defer x.mu.Unlock()

	return slices.Clone(x.statements)
}

// Count returns how many statements match.
func (x *Proxy) Count(match Match) int {
	n := 0

	for _, s := range x.Statements() {
		if match(s) {
			n++
		}
	}

	return n
}

// RoundTrips returns how often a client has sent something on a connection where it was waiting for nothing: a batch is one,
// and so is preparing a statement.
func (x *Proxy) RoundTrips() int {
	x.mu.Lock()
	defer x.mu.Unlock()

	return x.trips
}

// Reset forgets the statements and round trips so far.
func (x *Proxy) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()

	x.statements, x.trips = nil, 0
}

// close ends all lines, and reports faults that have not happened.
func (x *Proxy) close() {
	x.mu.Lock()
	x.closed = true
	close(x.ended)
	x.listener.Close()

	for l := range x.open {
		l.client.Close()
		l.server.Close()
	}
	x.mu.Unlock()

	x.lines.Wait()

	for _, a := range x.all {
		if a.isMissed() {
			x.tb.Errorf("%v was armed and has not happened", a.fault)
		}
	}
}
