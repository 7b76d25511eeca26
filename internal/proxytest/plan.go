//go:build unix

package proxytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Plan decides what happens to the commands on the lines of all its proxies. It passes them, records them, and makes
// faults. Housekeeping always passes and is not recorded.
type Plan[C any] struct {
	tb       testing.TB
	dialogue func(target string) Dialogue[C]
	ended    chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	down    bool
	stalled chan struct{} // replies wait until it is closed; nil if they do not wait
	proxies map[string]*Proxy[C]
	lines   map[*line[C]]struct{}
	all     []*Armed[C] // that ever were
	armed   []*Armed[C] // that wait for a command
	records []Record[C]
	trips   int
}

// NewPlan returns a plan without faults and without proxies. All lines end with the test. Each connection to a target has a
// dialogue of its own.
func NewPlan[C any](tb testing.TB, dialogue func(target string) Dialogue[C]) *Plan[C] {
	tb.Helper()

	p := &Plan[C]{
		tb: tb, dialogue: dialogue, ended: make(chan struct{}),
		proxies: make(map[string]*Proxy[C]), lines: make(map[*line[C]]struct{}),
	}
	tb.Cleanup(p.close)

	return p
}

// Proxy returns the proxy in front of a server, and makes it if there is none yet.
func (p *Plan[C]) Proxy(target string) (*Proxy[C], error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.closed {
		return nil, errors.New("the test has ended")
	}

	if proxy, ok := p.proxies[target]; ok {
		return proxy, nil
	}

	for range servertest.PortAttempts {
		proxy := &Proxy[C]{plan: p, target: target, addr: servertest.Address(servertest.ProposePort())}
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

// Dial connects to a server through its proxy. It is the dialer of a client that finds its servers itself.
func (p *Plan[C]) Dial(ctx context.Context, network, target string) (net.Conn, error) {
	proxy, err := p.Proxy(target)
	if err != nil {
		return nil, err
	}

	return new(net.Dialer).DialContext(ctx, network, proxy.Addr())
}

// Next makes a fault of the next command that matches.
func (p *Plan[C]) Next(fault Fault, match func(C) bool) *Armed[C] { return p.arm(fault, match, false) }

// Every makes a fault of every command that matches, until it is disarmed.
func (p *Plan[C]) Every(fault Fault, match func(C) bool) *Armed[C] { return p.arm(fault, match, true) }

func (p *Plan[C]) arm(fault Fault, match func(C) bool, every bool) *Armed[C] {
	p.mu.Lock()
	defer p.mu.Unlock()

	a := &Armed[C]{plan: p, fault: fault, match: match, every: every, happened: make(chan struct{})}
	p.all = append(p.all, a)
	p.armed = append(p.armed, a)

	return a
}

// choose returns the fault that befalls a request, if any. The caller holds the lock.
func (p *Plan[C]) choose(r *Request[C]) *Armed[C] {
	for _, a := range p.armed {
		if slices.ContainsFunc(r.Commands, a.match) {
			if !a.every {
				p.remove(a)
			}

			return a
		}
	}

	return nil
}

// remove lets a fault befall nothing more. The caller holds the lock.
func (p *Plan[C]) remove(a *Armed[C]) {
	p.armed = slices.DeleteFunc(p.armed, func(other *Armed[C]) bool { return other == a })
}

// Cut cuts all connections on the clients' side. Late requests are still on their way.
func (p *Plan[C]) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for l := range p.lines {
		l.client.Close()
	}
}

// Down cuts all connections and refuses new ones, as if no server ran.
func (p *Plan[C]) Down() {
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
func (p *Plan[C]) Up() {
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

// Stall holds back all that the servers send. Connections stay open, and the servers get what clients send.
func (p *Plan[C]) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Unstall passes on what was held back, to the clients that are still there.
func (p *Plan[C]) Unstall() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// Kill lets all connections die in silence: they stay open, and no reply comes on them any more. New connections work.
func (p *Plan[C]) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for l := range p.lines {
		l.dead = true
	}
}

// Records returns all commands in the order in which they were read from clients, also the lost ones.
func (p *Plan[C]) Records() []Record[C] {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Clone(p.records)
}

// RoundTrips returns how often a client has sent something on a connection where it was waiting for nothing. Requests that
// come in one go are one round trip.
func (p *Plan[C]) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.trips
}

// Reset forgets the commands and round trips so far.
func (p *Plan[C]) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.records, p.trips = nil, 0
}

// close ends all lines, and reports faults that have not happened.
func (p *Plan[C]) close() {
	p.mu.Lock()
	p.closed = true
	close(p.ended)

	for _, proxy := range p.proxies {
		proxy.listener.Close()
	}

	for l := range p.lines {
		l.client.Close()
		l.server.Close()
	}
	p.mu.Unlock()

	p.running.Wait()

	for _, a := range p.all {
		if a.isMissed() {
			p.tb.Errorf("%v was armed and has not happened", a.fault)
		}
	}
}
