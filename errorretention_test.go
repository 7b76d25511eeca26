package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// F87: a definite error without a mark may have a shorter retention than an answer, in every shape of run.
func TestF87ErrorIsKeptForItsOwnRetention(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		policy   onlyonce.Policy
		tooLarge bool // the outcome is too large to keep
	}{
		"leased":        {policy: onlyonce.Policy{}},
		"too large":     {policy: onlyonce.Policy{MaxOutcome: 1}, tooLarge: true},
		"single":        {policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.SingleTransaction}},
		"joined":        {policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction}},
		"at least once": {policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt.policy.ErrorRetention = time.Minute
				e := newEngine(t, txstore.New(), onlyonce.WithPolicy(tt.policy))

				var p payments

				replayed := func(call onlyonce.Call) {
					t.Helper()

					got := do(t, e, call, p.do)
					if tt.tooLarge {
						got.mustBeRejected(t, onlyonce.ReasonOutcomeNotStored)
					} else if got.Status != onlyonce.StatusReplayed {
						t.Errorf("got %s, %v", got.Status, got.err)
					}
				}

				do(t, e, pay("k"), p.failing(onlyonce.ErrStepUsed)).mustFail(t, onlyonce.StatusExecuted, onlyonce.ErrStepUsed)
				do(t, e, pay("paid"), p.do)

				if rec := record(t, e, "k"); rec.Retention != time.Minute {
					t.Errorf("the error is kept for %v", rec.Retention)
				}

				time.Sleep(time.Minute - time.Millisecond)
				replayed(pay("k"))
				do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)

				time.Sleep(time.Millisecond)
				do(t, e, payOther("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#3") // the key is free

				time.Sleep(24*time.Hour - time.Minute - time.Millisecond)
				replayed(pay("paid"))

				time.Sleep(time.Millisecond)
				do(t, e, pay("paid"), p.do).mustBe(t, onlyonce.StatusExecuted, "#4")
			})
		})
	}
}

// F87: the error may only report that the effect of an earlier run exists. If its record expired sooner, the effect
// would happen again.
func TestF87ErrorAfterARunInDoubtIsKeptAsAnAnswerIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, ErrorRetention: time.Minute}))

		var p payments

		do(t, e, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		do(t, e, pay("k"), p.failing(onlyonce.ErrStepUsed)).mustFail(t, onlyonce.StatusExecuted, onlyonce.ErrStepUsed)

		if rec := record(t, e, "k"); rec.Retention != onlyonce.DefaultRetention {
			t.Errorf("the error is kept for %v, want %v", rec.Retention, onlyonce.DefaultRetention)
		}

		time.Sleep(onlyonce.DefaultRetention - time.Millisecond)

		if got := do(t, e, pay("k"), p.do); got.Status != onlyonce.StatusReplayed {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		p.mustHaveRun(t, 2)
	})
}

// A transport may choose the retention of one outcome, up to that of the policy.
func TestRetentionOfAnOutcomeIsWithinThatOfThePolicy(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		policy      onlyonce.Policy
		timeOrdered bool
		out         onlyonce.Outcome
		want        time.Duration
	}{
		"an error's own": {
			onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Err: errLine, Retention: 5 * time.Minute}, 5 * time.Minute,
		},
		"an error's is longer": {
			onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Err: errLine, Retention: 2 * time.Hour}, 2 * time.Hour,
		},
		"an answer's own":       {onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Retention: 2 * time.Hour}, 2 * time.Hour},
		"an answer has none":    {onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{}, day},
		"longer than all":       {onlyonce.Policy{}, false, onlyonce.Outcome{Err: errLine, Retention: 2 * day}, day},
		"shorter than a moment": {onlyonce.Policy{}, false, onlyonce.Outcome{Err: errLine, Retention: 1}, time.Millisecond},
		"negative":              {onlyonce.Policy{}, false, onlyonce.Outcome{Err: errLine, Retention: -1}, day},
		"of a time-ordered key": {
			onlyonce.Policy{KeyLife: time.Hour}, true, onlyonce.Outcome{Err: errLine, Retention: time.Minute}, time.Hour,
		},
		"marked":       {onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Err: errLine, Marked: true}, day},
		"keeps writes": {onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Err: errLine, KeepWrites: true}, day},
		"marked, with its own": {
			onlyonce.Policy{ErrorRetention: time.Hour}, false, onlyonce.Outcome{Err: errLine, Marked: true, Retention: time.Minute}, day,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, memstore.New(), onlyonce.WithPolicy(tt.policy))
				call := ordered(time.Now())
				call.TimeOrdered = tt.timeOrdered
				tt.out.Class = onlyonce.ClassDefinite

				reply, err := e.Execute(t.Context(), &call, func(context.Context) onlyonce.Outcome { return tt.out })
				if err != nil || reply.Status != onlyonce.StatusExecuted {
					t.Fatalf("got %s, %v", reply.Status, err)
				}

				if rec := record(t, e, call.Key); rec.State != store.Completed || rec.Retention != tt.want {
					t.Errorf("the record is %v and is kept for %v, want %v", rec.State, rec.Retention, tt.want)
				}

				if reply.Retention != tt.want {
					t.Errorf("the reply has retention %v, want %v", reply.Retention, tt.want)
				}
			})
		})
	}
}

// A time-ordered key promises that it never runs again. Its records must not expire while it is young enough to make another.
func TestF63TimeOrderedKeyDoesNotRunAgainAfterTheRetentionOfItsError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		short := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{ErrorRetention: time.Minute}))

		got := do(t, short, ordered(time.Now()), p.do)
		if _, rejected := errors.AsType[*onlyonce.Rejection](got.err); got.err == nil || rejected ||
			!strings.Contains(got.err.Error(), "give an ErrorRetention of at least KeyLife") {
			t.Errorf("a policy under which a time-ordered key could run again: got %s, %v", got.Status, got.err)
		}

		p.mustHaveRun(t, 0)

		allowed := onlyonce.Policy{ErrorRetention: time.Hour, KeyLife: time.Hour}
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(allowed))
		call := ordered(time.Now())

		do(t, e, call, p.failing(onlyonce.ErrStepUsed)).mustFail(t, onlyonce.StatusExecuted, onlyonce.ErrStepUsed)
		time.Sleep(time.Hour)
		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 1)
	})
}
