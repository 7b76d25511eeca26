package onlyonce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestF07LeaseThatComesBackAndIsLostAgainIsReportedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{MaxRun: 2 * time.Minute}), onlyonce.WithObserver(seen))
		s.broken(lostRequest, opRenew)

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.lasting(time.Minute))

		time.Sleep(20 * time.Second)
		seen.mustHave(t, onlyonce.EventLeaseLost, 1)

		s.broken(nil, opRenew)
		time.Sleep(2 * time.Second)

		if rec := record(t, e, "k"); rec.Unknown {
			t.Errorf("the lease has not come back: %+v", rec)
		}

		s.broken(lostRequest, opRenew)
		time.Sleep(20 * time.Second)
		seen.mustHave(t, onlyonce.EventLeaseLost, 2)

		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// The handler has returned, and no other engine has taken over, so there is nothing to report.
func TestF08LeaseThatEndsWhileTheOutcomeIsWrittenIsNotReported(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(g), onlyonce.WithObserver(seen),
					onlyonce.WithLimits(onlyonce.Limits{SettleTimeout: time.Minute}))
				s.broken(lostRequest, opRenew, opComplete)

				var p payments

				got := inBackground(t.Context(), e, pay("k"), p.do)

				time.Sleep(20 * time.Second)
				s.broken(nil, opComplete)
				(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
				seen.mustHave(t, onlyonce.EventLeaseLost, 0)
			})
		})
	}
}
