package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// A run may have been overtaken, and cannot ask the store. It must not report that nothing happened: the run that
// overtook it may have taken effect.

// outlivingItsLease is a handler that ignores its context, and returns an error marked NotExecuted after a while.
func outlivingItsLease(d time.Duration) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		time.Sleep(d)

		return nil, onlyonce.NotExecuted(errLine)
	}
}

func (a answer) mustBeUnknown(t *testing.T) {
	t.Helper()
	a.mustFail(t, onlyonce.StatusUnknown, errLine)

	if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictUnknown {
		t.Errorf("VerdictOf = %v, want unknown", got)
	}
}

func TestF16OvertakenOwnerThatCannotReachTheStoreReportsAnUnknownOutcome(t *testing.T) {
	t.Parallel()

	for name, down := range map[string]fault{"no request arrives": lostRequest, "no reply arrives": lostReply} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
				s.broken(lostRequest, opRenew)
				s.broken(down, opRelease)

				var p payments

				paused := inBackground(t.Context(), first, pay("k"), outlivingItsLease(20*time.Second))

				time.Sleep(16 * time.Second)
				do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
				(<-paused).mustBeUnknown(t)

				s.broken(nil, everyOperation()...)

				if err := first.Drain(t.Context()); err != nil {
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}

// MaxRun ends the renewals, but not a handler that ignores its context. The cause of its context proves nothing about its lease.
func TestF16RunThatOutlivesMaxRunAndItsLeaseReportsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxRun: 16 * time.Second})
		s.broken(lostRequest, opRelease)

		var p payments

		slow := inBackground(t.Context(), first, pay("k"), outlivingItsLease(40*time.Second))

		time.Sleep(35 * time.Second)
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-slow).mustBeUnknown(t)

		s.broken(nil, everyOperation()...)

		if err := first.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// Under AtMostOnce, no other engine takes over. But once the owner cannot be alive any more, the record may be settled
// as not executed, and then another call runs.
func TestF17OwnerThatOutlivesItsTimeReportsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})
		s.broken(lostRequest, opRenew, opRelease)

		var p payments

		late := inBackground(t.Context(), first, pay("k"), outlivingItsLease(45*time.Second))

		time.Sleep(41 * time.Second) // MaxRun and a lease

		if err := second.Resolve(t.Context(), record(t, second, "k"), onlyonce.DidNotHappen()); err != nil {
			t.Fatalf("Resolve: %v", err)
		}

		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-late).mustBeUnknown(t)

		s.broken(nil, everyOperation()...)

		if err := first.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// An outage of the store does not weaken what the run itself proves.
func TestF08NotExecutedErrorWithinTheRunsTimeHoldsThoughTheStoreIsDown(t *testing.T) {
	t.Parallel()

	for guarantee, length := range map[onlyonce.Guarantee]time.Duration{
		onlyonce.AtMostOnce:  39 * time.Second, // MaxRun and most of a lease
		onlyonce.AtLeastOnce: 13 * time.Second, // most of a lease
	} {
		t.Run(guarantee.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(guarantee))
				s.broken(lostRequest, opRenew, opRelease)

				do(t, e, pay("k"), outlivingItsLease(length)).mustFail(t, onlyonce.StatusReleased, errLine)

				s.broken(nil, everyOperation()...)

				if err := e.Drain(t.Context()); err != nil {
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}
