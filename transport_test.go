package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestObserverSeesWhatATransportHasRefused(t *testing.T) {
	t.Parallel()

	missing := &onlyonce.Rejection{Reason: onlyonce.ReasonScopeMissing, Message: "who are you?", Cause: errLine}

	for name, tt := range map[string]struct {
		opts []onlyonce.Option
		key  string
		err  error
		want onlyonce.Event
	}{
		"a rejection": {nil, "k", missing, onlyonce.Event{Key: "k", Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonScopeMissing}},
		"hidden keys": {
			[]onlyonce.Option{onlyonce.WithHiddenKeys()}, "k", missing,
			onlyonce.Event{Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonScopeMissing},
		},
		"a key that is none": {
			nil, "two\nlines", missing, onlyonce.Event{Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonScopeMissing},
		},
		"no key":         {nil, "", missing, onlyonce.Event{Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonScopeMissing}},
		"no rejection":   {nil, "k", errLine, onlyonce.Event{Key: "k", Status: onlyonce.StatusRejected}},
		"one that wraps": {nil, "k", fmt.Errorf("no: %w", missing), onlyonce.Event{Key: "k", Status: onlyonce.StatusRejected}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			seen := new(journal)
			e := newEngine(t, memstore.New(), append(tt.opts, onlyonce.WithObserver(seen))...)
			e.Refused(t.Context(), identity(tt.key), tt.err)

			tt.want.Kind, tt.want.Method, tt.want.Err = onlyonce.EventCall, method, tt.err

			if got := seen.of(onlyonce.EventCall); len(got) != 1 || got[0] != tt.want || !errors.Is(got[0].Err, errLine) {
				t.Errorf("the observer saw %+v, want %+v", got, tt.want)
			}
		})
	}

	newEngine(t, memstore.New()).Refused(t.Context(), identity("k"), missing) // no observer
}

func TestDuplicateThatIsRejectedAsUnknownIsObservedAsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithObserver(seen))

		do(t, engine, pay("k"), new(payments).do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		if got := seen.of(onlyonce.EventCall); len(got) != 1 || got[0].Status != onlyonce.StatusUnknown ||
			got[0].Reason != onlyonce.ReasonOutcomeUnknown {
			t.Errorf("the observer saw %+v, want the status unknown, as on the wire", got)
		}
	})
}

func TestTakeoverIsObservedOnlyWhereTheRunBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		crashed(t, s.mem, "k", onlyonce.AtLeastOnce, time.Second)
		time.Sleep(2 * time.Second)

		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithObserver(seen))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)

		defer cancel()

		s.next(opClaim, nil, slow(2*time.Second)) // the second one wins, and its caller has gone

		var p payments

		(<-inBackground(ctx, e, pay("k"), p.do)).mustFail(t, onlyonce.StatusRejected, context.DeadlineExceeded)
		p.mustHaveRun(t, 0)
		seen.mustHave(t, onlyonce.EventTakeover, 0)
	})
}

// A ReplayCheck that calls another engine may return that engine's error. The error is not about this call.
func TestF27RejectionFromAReplayCheckIsNotThisCalls(t *testing.T) {
	t.Parallel()

	for name, err := range map[string]error{
		"as it is": &onlyonce.Rejection{Reason: onlyonce.ReasonKeyReused},
		"wrapped":  fmt.Errorf("no: %w", &onlyonce.Rejection{Reason: onlyonce.ReasonKeyReused}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			seen := new(journal)
			e := newEngine(t, memstore.New(), onlyonce.WithObserver(seen))

			var p payments

			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

			got := do(t, e, (&checks{err: err}).on(pay("k")), p.do)
			if _, own := got.err.(*onlyonce.Rejection); own || !errors.Is(got.err, err) { //nolint:errorlint // the test is about the type itself
				t.Errorf("got %T %v, want an error that wraps the check's", got.err, got.err)
			}

			if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictUnknown {
				t.Errorf("VerdictOf = %v, want unknown: the first call has paid", outcome)
			}

			if events := seen.of(onlyonce.EventCall); len(events) != 2 || events[1].Reason != "" || events[1].Status != onlyonce.StatusRejected {
				t.Errorf("the observer saw %+v", events)
			}
		})
	}
}
