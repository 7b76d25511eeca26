//go:build unix

package redistest

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// Plan decides about the commands on all its proxies: see [proxytest.Plan]. Commands with which a client introduces
// itself or finds the servers always pass, and do not count.
type Plan struct {
	*proxytest.Plan[Command]
}

// NewPlan returns a plan without faults and connections. All connections end with the test. [Plan.Dial] is the Dialer
// of a client that finds its servers itself, such as a cluster or sentinel client.
func NewPlan(tb testing.TB) *Plan {
	tb.Helper()

	return &Plan{proxytest.NewPlan(tb, newDialogue)}
}

// Commands returns all commands in the order in which they were read from clients, including lost commands.
func (p *Plan) Commands() []Command {
	records := p.Records()
	commands := make([]Command, 0, len(records))

	for _, r := range records {
		r.Command.Fault = r.Fault
		commands = append(commands, r.Command)
	}

	return commands
}

// Proxy is a proxy in front of one server.
type Proxy struct {
	*Plan

	line *proxytest.Proxy[Command]
}

// NewProxy returns a proxy in front of a server, with its own plan.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()

	plan := NewPlan(tb)

	line, err := plan.Proxy(target)
	if err != nil {
		tb.Fatal(err)
	}

	return &Proxy{Plan: plan, line: line}
}

// Addr returns the address, which never changes.
func (x *Proxy) Addr() string { return x.line.Addr() }

// URL returns the address as a URL for redis.ParseURL.
func (x *Proxy) URL() string { return "redis://" + x.Addr() }
