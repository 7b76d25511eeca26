//go:build unix

package redistest

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// Plan decides what happens to the commands on the lines of all its proxies: [proxytest.Plan]. What a client sends to
// introduce itself, and to learn where the servers are, always passes and does not count.
type Plan struct {
	*proxytest.Plan[Command]
}

// NewPlan returns a plan without faults and without lines. All lines end with the test. [Plan.Dial] is the Dialer of a
// client that finds its servers itself: one of a cluster, or of sentinels.
func NewPlan(tb testing.TB) *Plan {
	tb.Helper()

	return &Plan{proxytest.NewPlan(tb, newDialogue)}
}

// Commands returns all commands in the order in which they were read from clients, also the lost ones.
func (p *Plan) Commands() []Command {
	records := p.Records()
	commands := make([]Command, 0, len(records))

	for _, r := range records {
		r.Command.Fault = r.Fault
		commands = append(commands, r.Command)
	}

	return commands
}

// Proxy is a line to one server, with its own address.
type Proxy struct {
	*Plan

	line *proxytest.Proxy[Command]
}

// NewProxy returns a line to a server, with a plan of its own.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()

	plan := NewPlan(tb)

	line, err := plan.Proxy(target)
	if err != nil {
		tb.Fatal(err)
	}

	return &Proxy{Plan: plan, line: line}
}

// Addr returns the host and port. It never changes.
func (x *Proxy) Addr() string { return x.line.Addr() }

// URL returns the address as redis.ParseURL understands it.
func (x *Proxy) URL() string { return "redis://" + x.Addr() }
