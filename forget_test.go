package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// mustMention checks that an error mentions everything that its reader needs.
func mustMention(t *testing.T, err error, parts ...string) {
	t.Helper()

	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not mention %q", err, part)
		}
	}
}

func TestForgetLetsTheNextCallRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		e := newEngine(t, memstore.New(), onlyonce.WithObserver(seen))

		var p payments

		do(t, e, pay("k"), p.failing(onlyonce.Final(errLine))).mustFail(t, onlyonce.StatusExecuted, errLine)

		rec := record(t, e, "k")
		mustMention(t, e.Forget(t.Context(), rec, ""), "reason")

		for range 2 { // a repeat is harmless
			if err := e.Forget(t.Context(), rec, "the account was opened meanwhile"); err != nil {
				t.Errorf("Forget: %v", err)
			}
		}

		events := seen.of(onlyonce.EventForgotten)
		if len(events) != 2 || events[0].ID != rec.ID || events[0].Key != "k" {
			t.Errorf("the events are %+v", events)
		}

		mustMention(t, events[0].Err, "the account was opened meanwhile")
		mustBeState(t, e, store.Absent)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")

		if err := e.Forget(t.Context(), rec, "a late copy"); !errors.Is(err, onlyonce.ErrRecordChanged) {
			t.Errorf("Forget of the record before: %v, want ErrRecordChanged", err)
		}
	})
}

func TestForgetIsRefusedWhileAnOwnerMayBeAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

		synctest.Wait()

		if err := e.Forget(t.Context(), record(t, e, "k"), "erasure"); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Forget of a running record: %v, want ErrOwnerMayBeAlive", err)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")

		do(t, e, pay("held"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		held := record(t, e, "held")
		if err := e.Forget(t.Context(), held, "erasure"); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Forget of a record that is held: %v, want ErrOwnerMayBeAlive", err)
		}

		time.Sleep(time.Until(held.OwnerAliveUntil))

		if err := e.Forget(t.Context(), held, "erasure"); err != nil {
			t.Errorf("Forget of a record whose owner is dead: %v", err)
		}
	})
}

func TestForceForgetRemovesTheRecordOfALivingOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

		synctest.Wait()

		if err := e.ForceForget(t.Context(), record(t, e, "k"), "erasure"); err != nil {
			t.Errorf("ForceForget: %v", err)
		}

		(<-running).mustBe(t, onlyonce.StatusUnrecorded, "#1") // the answer is for this caller alone
	})
}

func TestForgetNeedsAForgetter(t *testing.T) {
	t.Parallel()

	e := newEngine(t, plainStore{memstore.New()})

	if err := e.Forget(t.Context(), onlyonce.Record{}, "erasure"); !errors.Is(err, onlyonce.ErrNotSupported) {
		t.Errorf("Forget: %v, want ErrNotSupported", err)
	}

	for _, err := range e.ListUnknown(t.Context()) {
		if !errors.Is(err, onlyonce.ErrNotSupported) {
			t.Errorf("ListUnknown: %v, want ErrNotSupported", err)
		}
	}
}

// A listed record needs no identity: it is settled under the key it was listed with, in any scope.
func TestListedRecordIsSettledByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		e := newEngine(t, memstore.New(), onlyonce.WithObserver(seen))

		var p payments

		for _, scope := range []string{"ann", "bob"} {
			call := pay("k")
			call.Scope = scope
			do(t, e, call, p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		}

		listed := 0

		for rec, err := range e.ListUnknown(t.Context()) {
			if err != nil || !rec.Unknown || rec.Code != "ERROR" {
				t.Errorf("listed %+v, %v", rec, err)
			}

			again, err := e.LookupID(t.Context(), rec.ID)
			if err != nil || again.ID != rec.ID || again.Fence != rec.Fence {
				t.Errorf("LookupID = %+v, %v", again, err)
			}

			if err := e.Resolve(t.Context(), rec, onlyonce.Happened("OK", []byte("paid"))); err != nil {
				t.Errorf("Resolve: %v", err)
			}

			listed++
		}

		if listed != 2 {
			t.Errorf("%d records were listed, want 2", listed)
		}

		for _, event := range seen.of(onlyonce.EventCall) {
			id, err := store.ParseKey(event.ID.String())
			if rec, lookErr := e.LookupID(t.Context(), id); err != nil || lookErr != nil || rec.State != store.Completed {
				t.Errorf("the record of event %+v is %+v, %v, %v", event, rec, err, lookErr)
			}
		}

		call := pay("k")
		call.Scope = "bob"
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "paid")
	})
}

func TestResolutionAndRecoveryKeepTheRetentionOfTheClaim(t *testing.T) {
	t.Parallel()

	const week = 7 * 24 * time.Hour

	for name, settle := range map[string]func(*testing.T, *onlyonce.Engine, onlyonce.Call){
		"F61 an operator": func(t *testing.T, e *onlyonce.Engine, _ onlyonce.Call) {
			t.Helper()

			if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.Happened("OK", []byte("paid"))); err != nil {
				t.Error(err)
			}
		},
		"F61 a recovery function": func(t *testing.T, e *onlyonce.Engine, call onlyonce.Call) {
			t.Helper()

			call.Policy = nil // of a caller with another policy
			call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
				return onlyonce.Happened("OK", []byte("paid")), nil
			}

			do(t, e, call, new(payments).do).mustBe(t, onlyonce.StatusReplayed, "paid")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, memstore.New())
				call := pay("k")
				call.Policy = &onlyonce.Policy{Retention: week}

				do(t, e, call, new(payments).failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
				settle(t, e, call)

				if rec := record(t, e, "k"); rec.ExpiresAt.Sub(rec.EndedAt) != week {
					t.Errorf("the record is kept for %v, want a week", rec.ExpiresAt.Sub(rec.EndedAt))
				}
			})
		})
	}
}
