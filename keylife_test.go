package onlyonce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const day = 24 * time.Hour

// The record of the first run has expired under the retention that it was claimed with.
func TestF63LongerRetentionDoesNotRunAnOldKeyAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		before := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: day}))
		after := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: 7 * day}))
		call := ordered(time.Now())

		var p payments

		do(t, before, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(30 * time.Hour)

		for _, e := range []*onlyonce.Engine{before, after} {
			do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		}

		own := call // a policy of the call's own raises nothing, either
		own.Policy = &onlyonce.Policy{Retention: 7 * day}
		do(t, before, own, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 1)
	})
}

func TestF63RecordIsReplayedForTheLongerRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Retention: 7 * day}))
		call := ordered(time.Now())

		var p payments

		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(7*day - time.Millisecond)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		time.Sleep(time.Millisecond)
		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
	})
}

// The new retention is in force for one new key life before the key life is raised. Every key that is accepted then was
// used under the new retention, and its record still exists.
func TestF63KeyLifeIsRaisedAfterTheRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		short := newEngine(t, s)
		long := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: 7 * day}))
		raised := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: 7 * day, KeyLife: 7 * day}))
		old := ordered(time.Now())

		var p payments

		do(t, short, old, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(time.Second)

		kept := ordered(time.Now())
		do(t, long, kept, p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
		time.Sleep(7*day - 10*time.Minute)
		do(t, raised, old, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		do(t, raised, kept, p.do).mustBe(t, onlyonce.StatusReplayed, "#2")
		do(t, raised, ordered(time.Now().Add(-6*day)), p.do).mustBe(t, onlyonce.StatusExecuted, "#3")
		p.mustHaveRun(t, 3)
	})
}

func TestF63KeyLifeBoundsTheAgeOfAKeyThatRuns(t *testing.T) {
	t.Parallel()

	const century = 100 * 365 * day

	for _, tt := range []struct {
		policy onlyonce.Policy
		oldest time.Duration
	}{
		{onlyonce.Policy{}, day - 10*time.Minute},
		{onlyonce.Policy{Retention: 12 * time.Minute}, 6 * time.Minute},
		{onlyonce.Policy{Retention: 7 * day}, day - 10*time.Minute},
		{onlyonce.Policy{Retention: 7 * day, KeyLife: 7 * day}, 7*day - 10*time.Minute},
		{onlyonce.Policy{KeyLife: time.Hour}, 50 * time.Minute},
		{onlyonce.Policy{KeyLife: time.Minute}, 30 * time.Second},
		{onlyonce.Policy{KeyLife: 4 * time.Millisecond}, 2 * time.Millisecond},
		{onlyonce.Policy{Retention: century, KeyLife: century}, 10 * 365 * day}, // the clock of the tests begins in the year 2000
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, memstore.New(), onlyonce.WithPolicy(tt.policy))

			var p payments

			do(t, e, ordered(time.Now().Add(-tt.oldest)), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

			if tt.oldest < 10*365*day {
				do(t, e, ordered(time.Now().Add(-tt.oldest-time.Millisecond)), p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
			}
		})
	}
}

func TestF63DefaultOfKeyLifeIsTheRetentionAndAtMostADay(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Retention: 3 * day}))

	for _, tt := range []struct {
		policy onlyonce.Policy
		want   time.Duration
	}{
		{onlyonce.Policy{}, day},
		{onlyonce.Policy{Retention: time.Hour}, time.Hour},
		{onlyonce.Policy{Retention: 7 * day}, day},
		{onlyonce.Policy{KeyLife: 3 * day}, 3 * day},
		{onlyonce.Policy{Retention: 7 * day, KeyLife: time.Minute}, time.Minute},
	} {
		if got := e.Policy(tt.policy).KeyLife; got != tt.want {
			t.Errorf("%+v: KeyLife is %v, want %v", tt.policy, got, tt.want)
		}

		if err := e.Validate(tt.policy); err != nil {
			t.Errorf("%+v: %v", tt.policy, err)
		}
	}
}

// The release of a withdrawn claim may arrive after the record of a run has expired. The record that it leaves proves nothing.
func TestF63TraceOfAWithdrawnClaimDoesNotLetAnOldKeyRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		call := pay(onlyonce.NewKey())
		call.TimeOrdered = true

		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		late := s.lastClaim()
		late.Token = store.Token{7}

		time.Sleep(25 * time.Hour)

		if res, err := s.mem.Release(t.Context(), store.Release{Claim: late}); err != nil || !res.Applied {
			t.Errorf("Release = %+v, %v", res, err)
		}

		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 1)
	})
}
