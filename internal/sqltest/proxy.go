//go:build unix

package sqltest

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// Proxy is a line to a database, with its own address. It passes statements, counts them, and injects faults. A
// driver's own statements, which introduce it or check the server, always pass and do not count.
type Proxy struct {
	*Database // by way of the proxy
	*proxytest.Plan[Statement]

	direct *Database
}

// NewProxy returns a line to a database, without faults. It ends with the test.
func NewProxy(tb testing.TB, d *Database) *Proxy {
	tb.Helper()

	k, ok := d.engine.(kind)
	if !ok {
		tb.Fatalf("there is no line to a database of %s", d.Driver())
	}

	plan := proxytest.NewPlan(tb, func(string) dialogue { return k.dialogue() })

	line, err := plan.Proxy(d.addr)
	if err != nil {
		tb.Fatal(err)
	}

	return &Proxy{Database: &Database{engine: d.engine, addr: line.Addr(), name: d.name}, Plan: plan, direct: d}
}

// Statements returns all statements in the order in which they were read from clients, also the lost ones. A prepared
// statement counts when it is executed. Preparing it is a round trip.
func (x *Proxy) Statements() []Statement {
	records := x.Records()
	statements := make([]Statement, 0, len(records))

	for _, r := range records {
		r.Command.Fault = r.Fault
		statements = append(statements, r.Command)
	}

	return statements
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
