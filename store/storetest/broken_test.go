package storetest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func suite() config { return config{bubble: true, unit: DefaultUnit, rounds: 10, seeds: 20} }

// failures runs the whole suite and returns what it says about a store, by check.
func failures(t *testing.T, newStore func() store.Store) map[string][]string {
	t.Helper()

	return failuresOf(t, suite(), newStore, func(string) bool { return true })
}

// failuresOf is failures for some groups.
func failuresOf(t *testing.T, cfg config, newStore func() store.Store, among func(group string) bool) map[string][]string {
	t.Helper()

	failed := make(map[string][]string)

	for _, g := range groups(cfg) {
		if !among(g.name) {
			continue
		}

		for _, c := range g.checks {
			synctest.Test(t, func(t *testing.T) {
				p := &probe{}
				p.watch(func() { c.run(newEnv(t.Context(), p, newStore(), cfg)) })

				if len(p.failures) > 0 {
					failed[g.name+"/"+c.name] = p.failures
				}
			})
		}
	}

	return failed
}

func TestBrokenStoresFailByTheRuleThatTheyBreak(t *testing.T) {
	t.Parallel()

	for _, b := range slices.Concat(tableBugs(), ruleBugs(), keptBugs(), optionalBugs(), forgetterBugs(), capabilityBugs(), unknownBugs(),
		receiptBugs(), directBugs(), noteBugs(), listerBugs()) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()

			failed := failures(t, func() store.Store {
				s := newMapStore()
				b.breaks(s)

				return s
			})

			for _, messages := range failed {
				for _, m := range messages {
					if strings.HasPrefix(m, b.rule.String()+": ") {
						return
					}
				}
			}

			t.Errorf("the suite does not say that the store breaks %v; it says %q", b.rule, failed)
		})
	}
}

func TestAWholeStorePasses(t *testing.T) {
	t.Parallel()

	for name, messages := range failures(t, func() store.Store { return newMapStore() }) {
		t.Errorf("%s: %q", name, messages)
	}
}

func TestAWholeStoreThatLetsGoOfUnsettledRecordsPasses(t *testing.T) {
	t.Parallel()

	mortal := func() store.Store {
		s := newMapStore()
		letsGo(s)

		return s
	}

	for name, messages := range failures(t, mortal) {
		t.Errorf("%s: %q", name, messages)
	}
}

// plain is a store that can do no more than it must.
type plain struct{ store.Store }

func (plain) Capabilities() store.Capabilities { return store.Capabilities{} }

func TestAStoreWithoutCapabilitiesPasses(t *testing.T) {
	t.Parallel()

	for name, messages := range failures(t, func() store.Store { return plain{newMapStore()} }) {
		t.Errorf("%s: %q", name, messages)
	}
}

func TestAStoreThatForgetsWhatMeansNothingPasses(t *testing.T) {
	t.Parallel()

	forgetful := func() store.Store {
		s := newMapStore()
		s.decide = func(op any, rec store.Record, now time.Time) store.Transition {
			t := decide(op, rec, now)
			if t.Record.State == store.Completed {
				t.Record.OwnerAliveUntil = time.Time{}
			}

			return t
		}

		return s
	}

	for name, messages := range failures(t, forgetful) {
		t.Errorf("%s: %q", name, messages)
	}
}

func TestCheckNamesAreUnique(t *testing.T) {
	t.Parallel()

	seen := make(map[string]bool)

	for _, g := range groups(suite()) {
		for _, c := range g.checks {
			name := g.name + "/" + c.name
			if seen[name] {
				t.Errorf("two checks are called %q", name)
			}

			seen[name] = true
		}
	}

	t.Logf("%d checks", len(seen))
}
