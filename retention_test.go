package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF28OutcomeIsReplayedUpToItsRetentionAndThenRunsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore(), onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour}))

		var p payments

		began := time.Now()
		do(t, e, pay("k"), p.lasting(10*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")

		// The retention counts from completion.
		time.Sleep(time.Hour - time.Millisecond)

		replay := do(t, e, pay("k"), p.do)
		replay.mustBe(t, onlyonce.StatusReplayed, "#1")

		if at := replay.ExecutedAt.Sub(began); at != 10*time.Second {
			t.Errorf("the replay says that the run ended after %v, want 10s", at)
		}

		do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		time.Sleep(time.Millisecond)
		do(t, e, payOther("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
		p.mustHaveRun(t, 2)
	})
}

func TestF28ReleasedKeyIsBoundToItsRequestUpToItsRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore(), onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour}))

		var p payments

		do(t, e, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		time.Sleep(time.Hour - time.Millisecond)
		do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		time.Sleep(time.Millisecond)
		do(t, e, payOther("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestF28UnknownOutcomeDoesNotExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour}))

		var p payments

		do(t, e, pay("held"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		crashed(t, s.mem, "dead", onlyonce.AtMostOnce, time.Second)
		time.Sleep(1_000 * time.Hour)

		for _, key := range []string{"held", "dead"} {
			do(t, e, pay(key), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
		}

		p.mustHaveRun(t, 1)
	})
}

// Records that the run made downstream may have expired by then, so a second run would repeat their effects.
func TestRunIsNotTakenOverOnceItsFirstStartIsOlderThanTheRetention(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		wait time.Duration
		want onlyonce.Reason
	}{
		"before": {time.Hour, ""},
		"after":  {time.Hour + time.Millisecond, onlyonce.ReasonOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Retention: time.Hour}))
				crashed(t, s.mem, "k", onlyonce.AtLeastOnce, time.Second)
				time.Sleep(tt.wait)

				var p payments

				got := do(t, e, pay("k"), p.do)
				if tt.want == "" {
					got.mustBe(t, onlyonce.StatusExecuted, "#1")
				} else {
					got.mustBeRejected(t, tt.want)
				}
			})
		})
	}
}

func TestRetentionOfACallIsThatOfItsPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())
		call := pay("k")
		call.Policy = &onlyonce.Policy{Retention: 100 * 365 * 24 * time.Hour}

		var p payments

		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(10_000 * time.Hour)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		mustBeState(t, e, store.Completed)
	})
}

// The same for a run that gave the key back, because it may have had its effect.
func TestRunIsNotRepeatedAfterDoubtOnceItsFirstStartIsOlderThanTheRetention(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		wait  time.Duration
		first error
		want  onlyonce.Reason
	}{
		"before":                     {time.Minute - time.Second, errLine, ""},
		"after":                      {time.Minute + time.Second, errLine, onlyonce.ReasonOutcomeUnknown},
		"after nothing was executed": {time.Minute + time.Second, onlyonce.NotExecuted(errLine), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, newFaultStore(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Retention: time.Hour}))
				asked := 0

				call := pay("k")
				call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
					asked++

					return onlyonce.StillUnknown(), nil
				}

				var p payments

				// The key is released again and again, which keeps the record.
				do(t, e, call, p.failing(tt.first))
				time.Sleep(59 * time.Minute)
				do(t, e, call, p.failing(tt.first))
				time.Sleep(tt.wait)

				got := do(t, e, call, p.do)
				if tt.want == "" {
					got.mustBe(t, onlyonce.StatusExecuted, "#3")
				} else {
					got.mustBeRejected(t, tt.want)
					do(t, e, call, p.do).mustBeRejected(t, tt.want)
				}

				if asked != 0 {
					t.Errorf("the recovery function was asked %d times about a record that it cannot settle", asked)
				}
			})
		})
	}
}
