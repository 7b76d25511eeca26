// Package storetest tests that a store keeps the contract of package store.
//
// An implementation calls [Run] from one of its tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return mystore.New() }, storetest.InBubble())
//	}
//
// Every failure names the broken rule, numbered as in package store, and states the rule in one sentence. Run also checks the reported
// Capabilities, and that they report everything that the store can do. WithJoin and WithTake provide the store's transactions to the
// checks.
//
// Package storetest depends only on the standard library and package store.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// DefaultUnit is the default of [WithUnit]: 100 ms.
const DefaultUnit = 100 * time.Millisecond

// Option configures Run.
type Option func(*config)

type config struct {
	bubble bool
	unit   time.Duration
	// withoutReceipts drops the receipts of the store.
	withoutReceipts bool
	// rounds is how often a race is run, and seeds the number of random sequences.
	rounds, seeds int
	// join opens a handler's own transaction.
	join func(ctx context.Context, s store.Store) (Joining, error)
	// take takes the single transaction from a handler's context.
	take func(ctx context.Context) error
}

// InBubble runs every check inside [synctest.Test], with fake time. It is for embedded stores that use the clock of the process and wait
// for nothing outside. Only with this option are leases and retentions checked at the exact instant of their end.
func InBubble() Option {
	return func(c *config) {
		c.bubble = true
		c.rounds, c.seeds = 500, 50
	}
}

// WithUnit sets the lease of the runs that a check lets end. The default is DefaultUnit. Without InBubble the unit should be several times
// the duration of an operation, and it determines how long Run waits. WithUnit panics if unit is less than 5 ms, because stores may count
// milliseconds.
func WithUnit(unit time.Duration) Option {
	if unit < 5*time.Millisecond {
		panic(fmt.Sprintf("storetest: WithUnit(%v): give at least 5ms", unit))
	}

	return func(c *config) { c.unit = unit }
}

// Run checks the stores that newStore returns. Each check is a subtest whose name states what must hold.
//
//   - The operations that end a run get the receipts of the store, as from an engine. If the store gives receipts, its checks run again
//     without them.
//   - Run calls newStore in every subtest with the subtest's t. newStore cleans up with t.Cleanup. It may return the same store or clients
//     of the same store each time, because every subtest draws its own random keys.
//   - Without [InBubble] the subtests run in parallel. So newStore must not empty a shared database. Most checks leave records behind.
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

// A check is one thing that must hold. It uses the test only through tb, so that tests of this package can observe its failures.
type check struct {
	name string
	run  func(x *env)
}

// both runs a check on a store. If the store gives receipts, both runs the check again on another store without them.
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
