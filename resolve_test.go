package onlyonce_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestResolveAsExecutedGivesEverybodyTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		e := newEngine(t, memstore.New(), onlyonce.WithObserver(seen))

		var p payments

		do(t, e, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		rec := record(t, e, "k")
		if !rec.Unknown || rec.Code != "ERROR" || rec.Method != method || rec.ReadableKey != "k" {
			t.Errorf("the record is %+v", rec)
		}

		resolution := onlyonce.Happened("OK", []byte("it was paid"))

		for range 2 { // a repeat is harmless
			if err := e.Resolve(t.Context(), record(t, e, "k"), resolution); err != nil {
				t.Errorf("Resolve: %v", err)
			}
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "it was paid")
		p.mustHaveRun(t, 1)

		rec = record(t, e, "k")
		if rec.Unknown || !rec.Resolved || rec.Code != "OK" || string(rec.Body) != "it was paid" {
			t.Errorf("the record is %+v", rec)
		}

		if events := seen.of(onlyonce.EventResolved); len(events) == 0 || events[0].Key != "k" || events[0].Method != method ||
			events[0].Fence != rec.Fence {
			t.Errorf("the events are %+v", events)
		}
	})
}

func TestResolveAsAnErrorIsReplayedAsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		do(t, e, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		resolution := onlyonce.Happened("ERROR", []byte("the account is closed"))
		if err := e.Resolve(t.Context(), record(t, e, "k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		got := do(t, e, pay("k"), p.do)
		if recorded, ok := errors.AsType[*onlyonce.RecordedError](got.err); !ok || recorded.Message != "the account is closed" {
			t.Errorf("got %v", got.err)
		}
	})
}

func TestResolveAsNotExecutedLetsTheNextCallRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		do(t, e, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		made := onlyonce.Record{ID: record(t, e, "k").ID}
		if err := e.Resolve(t.Context(), made, onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) ||
			!strings.Contains(err.Error(), "look it up before you look for the effect") {
			t.Errorf("Resolve without a look: %v, want an error that asks for one", err)
		}

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.StillUnknown()); err == nil ||
			!strings.Contains(err.Error(), "StillUnknown") {
			t.Errorf("Resolve with nothing found: %v, want an error that says so", err)
		}

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Resolve: %v, want ErrOwnerMayBeAlive", err)
		}

		// The owner may be alive for MaxRun and one lease.
		time.Sleep(40*time.Second - time.Nanosecond)

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Resolve: %v, want ErrOwnerMayBeAlive", err)
		}

		time.Sleep(time.Nanosecond)

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.DidNotHappen()); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		mustBeState(t, e, store.Released)
		do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestResolveIsRefusedWhereNothingIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		do(t, e, pay("completed"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("released"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

		running := inBackground(t.Context(), e, pay("running"), p.lasting(time.Second))

		synctest.Wait()

		for _, key := range []string{"absent", "completed", "released", "running"} {
			for _, found := range []onlyonce.Finding{onlyonce.Happened("OK", nil), onlyonce.DidNotHappen()} {
				err := e.Resolve(t.Context(), record(t, e, key), found)
				if !errors.Is(err, onlyonce.ErrNotUnknown) {
					t.Errorf("%s: %v, want ErrNotUnknown", key, err)
				}
			}
		}

		<-running
		do(t, e, pay("completed"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
	})
}

func TestResolveIsRefusedWhereTheRecordHasChangedSince(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		do(t, e, pay("k"), new(payments).failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		for _, fence := range []uint64{0, 2} {
			rec := record(t, e, "k")
			rec.Fence = fence

			err := e.Resolve(t.Context(), rec, onlyonce.Happened("OK", nil))
			if !errors.Is(err, onlyonce.ErrRecordChanged) {
				t.Errorf("fence %d: %v, want ErrRecordChanged", fence, err)
			}
		}

		mustBeState(t, e, store.Unknown)
	})
}

func TestResolveSettlesTheRecordOfADeadOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		crashed(t, s.mem, "k", onlyonce.AtMostOnce, 15*time.Second)

		resolution := onlyonce.Happened("OK", []byte("paid"))
		if err := e.Resolve(t.Context(), record(t, e, "k"), resolution); !errors.Is(err, onlyonce.ErrNotUnknown) {
			t.Errorf("Resolve under a living lease: %v, want ErrNotUnknown", err)
		}

		time.Sleep(15 * time.Second)

		if rec := record(t, e, "k"); !rec.Unknown || rec.Code != "" {
			t.Errorf("the record is %+v", rec)
		}

		if err := e.Resolve(t.Context(), record(t, e, "k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		do(t, e, pay("k"), new(payments).do).mustBe(t, onlyonce.StatusReplayed, "paid")
	})
}

func TestLookupShowsARecordAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 2}), onlyonce.WithHiddenKeys())

		var p payments

		if rec := record(t, e, "absent"); rec.State != store.Absent || rec.Unknown {
			t.Errorf("the record is %+v", rec)
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		if rec := record(t, e, "k"); rec.State != store.Completed || rec.Code != "OK" || string(rec.Body) != "#1" || rec.NotStored ||
			rec.ReadableKey != "" {
			t.Errorf("the record is %+v", rec)
		}

		_ = do(t, e, pay("big"), p.failing(onlyonce.Final(errLine)))

		if rec := record(t, e, "big"); !rec.NotStored || rec.Code != "ERROR" || len(rec.Body) != 0 {
			t.Errorf("the record is %+v", rec)
		}

		// Another scope and another method are other calls.
		for _, id := range []onlyonce.Identity{{Scope: "ann", Method: method, Key: "k"}, {Method: "/other", Key: "k"}} {
			if rec, err := e.Lookup(t.Context(), id); err != nil || rec.State != store.Absent {
				t.Errorf("%+v: %v, %v", id, rec.State, err)
			}
		}
	})
}

func TestLookupAndResolveNeedAnInspector(t *testing.T) {
	t.Parallel()

	e := newEngine(t, plainStore{memstore.New()})

	if _, err := e.Lookup(t.Context(), identity("k")); !errors.Is(err, onlyonce.ErrNotSupported) {
		t.Errorf("Lookup: %v, want ErrNotSupported", err)
	}

	if err := e.Resolve(t.Context(), onlyonce.Record{}, onlyonce.Happened("OK", nil)); !errors.Is(err, onlyonce.ErrNotSupported) {
		t.Errorf("Resolve: %v, want ErrNotSupported", err)
	}
}

func TestLookupAndResolvePassOnTheStoresError(t *testing.T) {
	t.Parallel()

	e := newEngine(t, blindStore{memstore.New()})

	if _, err := e.Lookup(t.Context(), identity("k")); !errors.Is(err, errLine) {
		t.Errorf("Lookup: %v, want the store's error", err)
	}

	if err := e.Resolve(t.Context(), onlyonce.Record{}, onlyonce.Happened("OK", nil)); !errors.Is(err, errLine) {
		t.Errorf("Resolve: %v, want the store's error", err)
	}
}
