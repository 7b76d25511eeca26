package memstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// witness is an observer that keeps its events. It calls the store, to prove that no lock is held.
type witness struct {
	store *memstore.Store
	seen  []store.Event
}

func (w *witness) ObserveStore(_ context.Context, event store.Event) {
	w.store.Len()
	_, _ = w.store.Watch(store.Key{})
	w.seen = append(w.seen, event)
}

// take returns the events since the last take, without times.
func (w *witness) take(t *testing.T) []store.Event {
	t.Helper()

	seen := w.seen
	w.seen = nil

	for i, e := range seen {
		if e.Kind == store.EventOperation && e.Duration < 0 {
			t.Errorf("seen is %+v", e)
		}

		seen[i].Duration, seen[i].Err = 0, nil
	}

	return seen
}

func watched(opts ...memstore.Option) (*memstore.Store, *witness) {
	w := new(witness)
	w.store = memstore.New(append(opts, memstore.WithObserver(w))...)

	return w.store, w
}

func ended(operation store.Operation, status store.Status) store.Event {
	return store.Event{Kind: store.EventOperation, Operation: operation, Status: status}
}

func TestObserverSeesEachOperationOnceAndHowItHasEnded(t *testing.T) {
	t.Parallel()

	s, w := watched()
	ctx := t.Context()
	claim, other := benchClaim(1, 0), benchClaim(2, 0)
	claim.Retention, claim.Lease, claim.MaxRun = time.Hour, time.Hour, time.Hour // however slow the machine is

	gone, cancel := context.WithCancel(ctx)
	cancel()

	for _, tt := range []struct {
		name string
		run  func() (store.Result, error)
		want store.Event
	}{
		{"a claim", func() (store.Result, error) { return s.Claim(ctx, claim) }, ended(store.OperationClaim, store.StatusApplied)},
		{"a duplicate", func() (res store.Result, err error) {
			again := claim
			again.Token[0]++
			err = s.ClaimTo(ctx, &again, &res)

			return res, err
		}, ended(store.OperationClaim, store.StatusDeclined)},
		{"a lookup", func() (store.Result, error) { return s.Lookup(ctx, claim.Key) }, ended(store.OperationLookup, store.StatusApplied)},
		{"a renewal", func() (store.Result, error) {
			return s.Renew(ctx, store.Renewal{Key: claim.Key, Token: claim.Token, Lease: time.Minute})
		}, ended(store.OperationRenew, store.StatusApplied)},
		{"a hold", func() (store.Result, error) {
			return s.Hold(ctx, store.Hold{Key: claim.Key, Token: claim.Token})
		}, ended(store.OperationHold, store.StatusApplied)},
		{"a resolution", func() (store.Result, error) {
			return s.Resolve(ctx, store.Resolution{Key: claim.Key, Token: claim.Token, Fence: 1, State: store.Completed})
		}, ended(store.OperationResolve, store.StatusApplied)},
		{"a forgetting", func() (store.Result, error) {
			return s.Forget(ctx, store.Forgetting{Key: claim.Key, Token: claim.Token, Fence: 1, Force: true})
		}, ended(store.OperationForget, store.StatusApplied)},
		{"a release", func() (store.Result, error) {
			return s.Release(ctx, store.Release{Claim: other})
		}, ended(store.OperationRelease, store.StatusApplied)},
		{"a completion", func() (res store.Result, err error) {
			err = s.CompleteTo(ctx, &store.Completion{Key: other.Key}, &res)

			return res, err
		}, ended(store.OperationComplete, store.StatusDeclined)},
		{"a claim whose caller has gone", func() (store.Result, error) {
			return s.Claim(gone, claim)
		}, ended(store.OperationClaim, store.StatusCanceled)},
	} {
		res, err := tt.run()

		if got := w.take(t); !slices.Equal(got, []store.Event{tt.want}) {
			t.Errorf("%s: %t, %v: seen are %+v, want %+v", tt.name, res.Applied, err, got, tt.want)
		}
	}

	for _, err := range s.ListUnknown(ctx) {
		t.Errorf("something is listed, %v", err)
	}

	if got := w.take(t); len(got) == 0 || got[0] != ended(store.OperationList, store.StatusApplied) {
		t.Errorf("a list: seen are %+v", got)
	}
}

func TestObserverSeesThatAFullStoreRefuses(t *testing.T) {
	t.Parallel()

	s, w := watched(memstore.WithMaxRecords(1))

	for n, want := range []error{nil, store.ErrFull} {
		if _, err := s.Claim(t.Context(), benchClaim(uint64(n+1), 0)); !errors.Is(err, want) {
			t.Fatalf("claim %d: %v, want %v", n+1, err, want)
		}
	}

	want := []store.Event{
		ended(store.OperationClaim, store.StatusApplied), ended(store.OperationClaim, store.StatusFull),
		{Kind: store.EventRefused, Operation: store.OperationClaim, Status: store.StatusFull},
	}
	if got := w.take(t); !slices.Equal(got, want) {
		t.Errorf("seen are %+v, want %+v", got, want)
	}
}

func TestObserverSeesHowManyExpiredRecordsAreRemoved(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		const most = 200

		s, w := watched(memstore.WithMaxRecords(most))

		for n := range uint64(most) {
			if _, err := s.Release(t.Context(), store.Release{Claim: benchClaim(n, 0)}); err != nil {
				t.Fatal(err)
			}
		}

		w.take(t)
		time.Sleep(time.Hour)

		removed := func() (n int) {
			for _, e := range w.take(t) {
				if e.Kind == store.EventSweep {
					n += e.Count

					if e.Operation != store.OperationSweep || e.Status != store.StatusApplied || e.Count == 0 {
						t.Errorf("seen is %+v", e)
					}
				}
			}

			return n
		}

		// An operation on the same shard removes one record. The full store removes all others.
		for n := range uint64(most) {
			if _, err := s.Claim(t.Context(), benchClaim(most+n, 0)); err != nil {
				t.Fatal(err)
			}

			if n == 0 && removed() == 0 {
				t.Error("the first claim removes nothing that is seen")
			}
		}

		if n := s.Len(); n != most {
			t.Errorf("%d records are left, want %d", n, most)
		}
	})
}

func TestObserverThatPanicsDoesNotFailAnOperation(t *testing.T) {
	t.Parallel()

	s := memstore.New(memstore.WithObserver(store.ObserverFunc(func(context.Context, store.Event) { panic("full disk") })))

	if res, err := s.Claim(t.Context(), benchClaim(1, 0)); err != nil || !res.Applied {
		t.Errorf("%t, %v", res.Applied, err)
	}
}
