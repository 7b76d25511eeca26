// Package storetest proves that a store keeps the contract of package store.
//
// An implementation calls [Run] from one of its own tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return mystore.New() }, storetest.InBubble())
//	}
//
// Every failure names the rule that is broken, numbered as in package store, and says in one sentence what the rule
// asks for. What the store's Capabilities report is checked as well, and that they report all that the store can do. WithJoin and
// WithTake say how a handler gets at transactions.
//
// Package storetest depends on the standard library and on package store alone.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// DefaultUnit is the unit of leases where WithUnit gives none: 100 ms.
const DefaultUnit = 100 * time.Millisecond

// Option changes how Run checks a store.
type Option func(*config)

type config struct {
	bubble bool
	unit   time.Duration
	// withoutReceipts leaves the receipts out that the store has given.
	withoutReceipts bool
	// rounds is how many times a race is run, seeds how many sequences of random operations.
	rounds, seeds int
	// join opens transactions of a handler's own.
	join func(ctx context.Context, s store.Store) (Joining, error)
	// take takes a single transaction from a handler's context.
	take func(ctx context.Context) error
}

// InBubble runs every check inside [synctest.Test], on fake time. It is for embedded stores, whose clock is that of the
// process and which wait for nothing outside it. Only then are leases and retentions checked at the very instant at
// which they end.
func InBubble() Option {
	return func(c *config) {
		c.bubble = true
		c.rounds, c.seeds = 500, 50
	}
}

// WithUnit sets the lease of the runs that a check lets end; the default is DefaultUnit. Without InBubble it should be
// several times longer than one operation takes, since it bounds how long the suite waits. It panics if unit is below
// 5 ms, which leaves no room for a store that counts milliseconds.
func WithUnit(unit time.Duration) Option {
	if unit < 5*time.Millisecond {
		panic(fmt.Sprintf("storetest: WithUnit(%v): give at least 5ms", unit))
	}

	return func(c *config) { c.unit = unit }
}

// Run checks the stores that newStore returns, each by many subtests, whose names say what must hold.
//
// The operations that end a run get the receipts that the store has given, as from an engine. The checks of a store that gives
// receipts run twice, the second time without them.
//
// The function newStore is called in every subtest, with that subtest's t, and cleans up with t.Cleanup. It may
// return the same store, or different clients of the same one, again and again, because every subtest uses keys of its
// own, drawn at random. Without [InBubble] the subtests run in parallel, so it must not empty a database that the others
// use. Most checks leave records behind.
func Run(t *testing.T, newStore func(t *testing.T) store.Store, opts ...Option) {
	t.Helper()

	cfg := config{unit: DefaultUnit, rounds: 50, seeds: 8}
	for _, opt := range opts {
		opt(&cfg)
	}

	for _, g := range groups(cfg) {
		t.Run(g.name, func(t *testing.T) {
			if !cfg.bubble {
				t.Parallel()
			}

			for _, c := range g.checks {
				t.Run(c.name, func(t *testing.T) {
					if !cfg.bubble {
						t.Parallel()
						c.both(t, newStore, cfg)

						return
					}

					synctest.Test(t, func(t *testing.T) {
						c.both(t, newStore, cfg)
					})
				})
			}
		})
	}
}

// A check is one thing that must hold. It sees the test through tb alone, so that the suite's own tests can watch it
// fail.
type check struct {
	name string
	run  func(x *env)
}

// both runs a check on a store. If the store gives receipts, the check runs again on another store without them.
func (c *check) both(t *testing.T, newStore func(t *testing.T) store.Store, cfg config) {
	t.Helper()

	x := newEnv(t.Context(), t, newStore(t), cfg)
	c.run(x)

	if x.store.given && !t.Failed() {
		cfg.withoutReceipts = true
		c.run(newEnv(t.Context(), t, newStore(t), cfg))
	}
}

type group struct {
	name   string
	checks []check
}

func groups(cfg config) []group {
	return []group{
		{"the transition table", tableChecks()},
		{"random operations", modelChecks(cfg.seeds)},
		{"operations that arrive twice", repeatChecks()},
		{"operations that arrive late", lateChecks()},
		{"the fence", fenceChecks()},
		{"the fingerprint", fingerprintChecks()},
		{"takeover", takeoverChecks()},
		{"doubt", doubtChecks()},
		{"retention", retentionChecks()},
		{"outcomes", outcomeChecks()},
		{"notes", noteChecks()},
		{"what a record tells", timeChecks()},
		{"races", raceChecks()},
		{"a context that has ended", contextChecks()},
		{"the kept retention", keptChecks()},
		{"the unknown retention", unknownChecks()},
		{"receipts", receiptChecks()},
		{"Direct", directChecks()},
		{"Capabilities", capabilityChecks()},
		{"Inspector", inspectorChecks()},
		{"Lister", listerChecks()},
		{"Forgetter", forgetterChecks()},
		{"Notifier", notifierChecks()},
		{"Transactional", transactionalChecks()},
		{"a joined transaction", joinedChecks()},
	}
}
