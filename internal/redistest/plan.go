//go:build unix

package redistest

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Plan is what becomes of the commands on all lines that it has been given: it lets them pass, counts them, and makes
// faults. What a client sends to introduce itself, and to learn where the servers are, always passes and does not count.
type Plan struct {
	tb    testing.TB
	ended chan struct{}
	lines sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	down     bool
	stalled  chan struct{} // where replies wait until it is closed; nil if they do not
	proxies  map[string]*Proxy
	links    map[*link]struct{}
	all      []*Armed // that ever were
	armed    []*Armed // that wait for a command
	commands []Command
	trips    int
}

// NewPlan returns a plan without faults and without lines. All lines end with the test.
func NewPlan(tb testing.TB) *Plan {
	tb.Helper()

	p := &Plan{tb: tb, ended: make(chan struct{}), proxies: make(map[string]*Proxy), links: make(map[*link]struct{})}
	tb.Cleanup(p.close)

	return p
}

// Dial connects through a proxy to a server. It is the Dialer of a client that finds its servers itself: one of a cluster,
// or of sentinels.
func (p *Plan) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	proxy, err := p.proxy(addr)
	if err != nil {
		return nil, err
	}

	return new(net.Dialer).DialContext(ctx, network, proxy.Addr())
}

// Next makes a fault of the next command that matches.
func (p *Plan) Next(fault Fault, match Match) *Armed { return p.arm(fault, match, false) }

// Every makes a fault of every command that matches, until it is disarmed.
func (p *Plan) Every(fault Fault, match Match) *Armed { return p.arm(fault, match, true) }

func (p *Plan) arm(fault Fault, match Match, every bool) *Armed {
	p.mu.Lock()
	defer p.mu.Unlock()

	a := &Armed{tb: p.tb, plan: p, fault: fault, match: match, every: every, happened: make(chan struct{})}
	p.all = append(p.all, a)
	p.armed = append(p.armed, a)

	return a
}

// Cut cuts all connections, as far as clients see. What is late is still on its way.
func (p *Plan) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for l := range p.links {
		l.client.Close()
	}
}

// Down cuts all connections and refuses new ones, as if no server ran.
func (p *Plan) Down() {
	p.tb.Helper()

	p.mu.Lock()
	p.down = true
	proxies := slices.Collect(maps.Values(p.proxies))

	for _, proxy := range proxies {
		proxy.listener.Close()
	}
	p.mu.Unlock()

	p.Cut()

	for _, proxy := range proxies {
		servertest.Wait(p.tb, "going down", proxy.refuses)
	}
}

// Up accepts connections again.
func (p *Plan) Up() {
	p.tb.Helper()

	p.mu.Lock()
	defer p.mu.Unlock()

	if !p.down {
		return
	}

	p.down = false

	for _, proxy := range p.proxies {
		servertest.Wait(p.tb, "listening again", proxy.listen)
	}
}

// Stall holds back all replies. Connections stay open, and servers get what clients send.
func (p *Plan) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Unstall passes on what was held back, to those who are still there.
func (p *Plan) Unstall() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// Commands returns all commands in the order in which they were read from clients, also those that were lost.
func (p *Plan) Commands() []Command {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Clone(p.commands)
}

// RoundTrips returns how often a client has sent something on a connection where it was waiting for nothing: a pipeline is
// one.
func (p *Plan) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.trips
}

// Reset forgets the commands and round trips so far.
func (p *Plan) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.commands, p.trips = nil, 0
}

// close ends all lines, and reports faults that have not happened.
func (p *Plan) close() {
	p.mu.Lock()
	p.closed = true
	close(p.ended)

	for _, proxy := range p.proxies {
		proxy.listener.Close()
	}

	for l := range p.links {
		l.client.Close()
		l.server.Close()
	}
	p.mu.Unlock()

	p.lines.Wait()

	for _, a := range p.all {
		if a.isMissed() {
			p.tb.Errorf("%v was armed and has not happened", a.fault)
		}
	}
}
