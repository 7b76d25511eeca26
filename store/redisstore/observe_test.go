package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// witness is an observer that keeps its events.
type witness struct {
	mu   sync.Mutex
	seen []store.Event
}

func (w *witness) ObserveStore(_ context.Context, event store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.seen = append(w.seen, event)
}

// take returns the events of a kind since the last take of any kind.
func (w *witness) take(kind store.EventKind) []store.Event {
	w.mu.Lock()
	defer w.mu.Unlock()

	seen := slices.DeleteFunc(slices.Clone(w.seen), func(e store.Event) bool { return e.Kind != kind })
	w.seen = nil

	return seen
}

// mustSee checks that exactly one event of a kind came since the last take.
func (w *witness) mustSee(t *testing.T, kind store.EventKind, operation store.Operation, status store.Status) store.Event {
	t.Helper()

	seen := w.take(kind)
	if len(seen) != 1 || seen[0].Operation != operation || seen[0].Status != status {
		t.Fatalf("seen are %+v, want one %v: %s %s", seen, kind, operation, status)
	}

	return seen[0]
}

func TestObserverSeesEachOperationOnceAndHowItHasEnded(t *testing.T) {
	t.Parallel()

	w := new(witness)
	s := open(t, redistest.Standalone(t).URL(), redisstore.WithObserver(w), unindexed)

	for _, op := range operations() {
		claim := op.prepare(t, s)
		w.take(0)

		res, err := op.run(t.Context(), s, claim)
		must(t, res, err)

		seen := w.take(store.EventOperation)
		if len(seen) != 1 || seen[0].Status != store.StatusApplied || seen[0].Duration <= 0 || seen[0].Err != nil {
			t.Errorf("%s: seen are %+v", op.name, seen)
		}
	}

	claim := newClaim()
	start(t, s, claim)
	w.take(0)

	if _, err := s.Claim(t.Context(), claimOn(claim.Key)); err != nil {
		t.Fatal(err)
	}

	w.mustSee(t, store.EventOperation, store.OperationClaim, store.StatusDeclined)
	lookup(t, s, claim.Key)
	w.mustSee(t, store.EventOperation, store.OperationLookup, store.StatusApplied)

	gone, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := s.Renew(gone, renewal(claim))
	if e := w.mustSee(t, store.EventOperation, store.OperationRenew, store.StatusCanceled); !errors.Is(err, e.Err) || err == nil {
		t.Errorf("the observer has seen %v, the error is %v", e.Err, err)
	}
}

func TestObserverSeesWhatIsSentAgain(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))
	claim := newClaim()
	start(t, s, claim)

	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	w.take(0)

	res, err := s.Renew(t.Context(), renewal(claim))
	must(t, res, err)

	if e := w.mustSee(t, store.EventResend, store.OperationRenew, ""); !redis.HasErrorPrefix(e.Err, "NOSCRIPT") {
		t.Errorf("the reason is %v", e.Err)
	}

	// The quick way has no answer for a key that somebody runs.
	if _, err := s.Claim(t.Context(), claimOn(claim.Key)); err != nil {
		t.Fatal(err)
	}

	if seen := w.take(store.EventResend); len(seen) == 0 || seen[0].Operation != store.OperationClaim || seen[0].Err != nil {
		t.Errorf("seen are %+v", seen)
	}
}

func TestObserverSeesHowManyOperationsShareARoundTripAndWhoWaitsForIt(t *testing.T) {
	t.Parallel()

	const waiting = 20

	w := new(witness)
	s, g := gated(t, redistest.Standalone(t).Addr(), redisstore.WithObserver(w))
	first := fill(t, s, g)
	w.take(0)

	all := first
	for range waiting {
		all = append(all, queue(t.Context(), t, s, newClaim()))
	}

	g.open()
	mustWin(t, s, all...)

	batches, waits, most := 0, 0, 0

	w.mu.Lock()
	defer w.mu.Unlock()

	for _, e := range w.seen {
		switch e.Kind {
		case store.EventBatch:
			batches++
			most = max(most, e.Count)
		case store.EventWait:
			if e.Duration <= 0 {
				t.Errorf("a wait of %v", e.Duration)
			}

			waits++
		default:
		}
	}

	if batches == 0 || most < 2 {
		t.Errorf("%d batches, the largest of %d operations", batches, most)
	}

	if waits < waiting {
		t.Errorf("%d operations have waited, want %d", waits, waiting)
	}
}

func TestObserverSeesThatAFullServerRefusesAClaimAlsoIfItHasAnAnswer(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))

	done := newClaim()
	start(t, s, done)

	res, err := s.Complete(t.Context(), completion(done, "paid"))
	must(t, res, err)
	fillUp(t, server)
	w.take(0)

	if _, err := s.Claim(t.Context(), newClaim()); !errors.Is(err, store.ErrFull) {
		t.Fatalf("a claim on a full server: %v", err)
	}

	w.mustSee(t, store.EventRefused, store.OperationClaim, store.StatusFull)

	if res, err := s.Claim(t.Context(), claimOn(done.Key)); err != nil || res.Record.State != store.Completed {
		t.Fatalf("a replay on a full server: %v, %v", res.Record.State, err)
	}

	w.mustSee(t, store.EventRefused, store.OperationClaim, store.StatusFull)
}

func TestObserverSeesHowManyEntriesOfTheIndexAreRemoved(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))

	// Entries of records that are gone.
	for range 3 {
		key := newKey()
		key[0] = 0

		if err := server.Client().ZAdd(t.Context(), redisstore.DefaultPrefix+"index:0", redis.Z{Score: 1, Member: key[:]}).Err(); err != nil {
			t.Fatal(err)
		}
	}

	for _, err := range s.ListUnknown(t.Context()) {
		t.Errorf("something is listed, %v", err)
	}

	if e := w.mustSee(t, store.EventRepair, store.OperationList, store.StatusApplied); e.Count != 3 {
		t.Errorf("%d entries are repaired, want 3", e.Count)
	}
}

func TestObserverSeesHowManyEntriesOfTheIndexASweepAdds(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	blind := open(t, server.URL(), redisstore.WithoutIndex())
	s := open(t, server.URL(), redisstore.WithObserver(w))

	for range 3 {
		start(t, blind, newClaim())
	}

	if swept, err := s.Sweep(t.Context()); err != nil || swept.Found != 3 {
		t.Fatalf("got %+v, %v", swept, err)
	}

	found := 0

	for _, e := range w.take(store.EventRepair) {
		if e.Operation != store.OperationSweep {
			t.Errorf("seen is %+v", e)
		}

		found += e.Count
	}

	if found != 3 {
		t.Errorf("%d entries are added, want 3", found)
	}
}

func TestObserverSeesEachWriteThatAServerRefuses(t *testing.T) {
	t.Parallel()

	for name, refusing := range refusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := new(witness)
			r := refusing(t)
			s := open(t, r.server.URL(), redisstore.WithObserver(w))

			all := operations()
			claims := make([]store.Claim, len(all))

			for i, op := range all {
				claims[i] = op.prepare(t, s)
			}

			r.refuse()

			for i, op := range all {
				w.take(0)

				_, err := op.run(t.Context(), s, claims[i])
				seen := w.take(store.EventRefused)

				if want := err != nil; want != (len(seen) == 1) || want && !strings.Contains(seen[0].Err.Error(), name) {
					t.Errorf("%s: %v; seen are %+v", op.name, err, seen)
				}
			}
		})
	}
}

func TestEventsHaveNamesOfSmallSetsAndNoKeys(t *testing.T) {
	t.Parallel()

	const (
		names    = ",claim,renew,complete,release,hold,lookup,resolve,forget,list,sweep"
		statuses = ",applied,declined,full,busy,unreadable,timeout,canceled,failed"
	)

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))
	gone, cancel := context.WithCancel(t.Context())
	cancel()

	all := operations()
	keys := make([]string, 0, 6*len(all))

	for _, op := range all {
		for _, ctx := range []context.Context{t.Context(), gone} {
			claim := op.prepare(t, s)
			keys = append(keys, claim.Key.String(), claim.ReadableKey, claim.Method)

			if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}

			_, _ = op.run(ctx, s, claim)
		}
	}

	for _, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			t.Error(err)
		}
	}

	_, _ = s.Sweep(t.Context())

	w.mu.Lock()
	defer w.mu.Unlock()

	for _, e := range w.seen {
		if !slices.Contains(strings.Split(names, ","), string(e.Operation)) || !slices.Contains(strings.Split(statuses, ","), string(e.Status)) {
			t.Errorf("the names of %+v are not among those of package store", e)
		}

		for _, key := range keys {
			if key != "" && e.Err != nil && strings.Contains(e.Err.Error(), key) {
				t.Errorf("%v has the key %q", e.Err, key)
			}
		}
	}
}

func TestObserverSeesSweepsAndTheirFailures(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))
	start(t, s, newClaim())
	w.take(0)

	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}

	if e := w.mustSee(t, store.EventSweep, store.OperationSweep, store.StatusApplied); e.Count != 0 || e.Duration <= 0 {
		t.Errorf("seen is %+v", e)
	}

	run := func(seen func() bool) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)

		go func() { ended <- s.Run(ctx) }()

		eventually(t, "Run reports a sweep", seen)
		cancel()

		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}

	run(func() bool {
		seen := w.take(store.EventSweep)

		return len(seen) == 1 && seen[0].Err == nil
	})

	server.Kill()
	run(func() bool {
		seen := w.take(store.EventSweep)

		return len(seen) == 1 && seen[0].Err != nil && seen[0].Status != store.StatusApplied
	})
}

func TestObserverSeesThatTheIndexCannotBeWritten(t *testing.T) {
	t.Parallel()

	w := new(witness)
	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithObserver(w))
	claim := newClaim()

	if err := server.Client().Set(t.Context(), indexOf(claim.Key), "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}

	start(t, s, claim)

	var seen []store.Event

	eventually(t, "a failure is seen", func() bool {
		seen = w.take(store.EventIndex)

		return len(seen) > 0
	})

	if e := seen[0]; e.Status != store.StatusFailed || e.Count != 1 || e.Operation != "" || e.Err == nil ||
		!strings.Contains(e.Err.Error(), indexOf(claim.Key)) {
		t.Errorf("seen is %+v", e)
	}

	// The first store tries again after a second.
	holds := new(witness)
	other := open(t, server.URL(), redisstore.WithObserver(holds), unindexed)

	res, err := other.Hold(t.Context(), hold(claim))
	must(t, res, err)
	holds.mustSee(t, store.EventIndex, "", store.StatusFailed)
}

func TestObserverThatPanicsDoesNotFailAnOperation(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL(), redisstore.WithObserver(
		store.ObserverFunc(func(context.Context, store.Event) { panic("full disk") })))
	start(t, s, newClaim())
}
