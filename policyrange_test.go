package onlyonce_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// span is the range of a field, by values at its ends and beyond them.
type span[T any] struct{ good, bad []T }

func policySpans() map[string]span[onlyonce.Policy] {
	const century = 100 * 365 * day

	least := onlyonce.AtLeastOnce

	return map[string]span[onlyonce.Policy]{
		"Guarantee": {
			[]onlyonce.Policy{{Guarantee: onlyonce.AtMostOnce}, {Guarantee: least}, {Guarantee: onlyonce.ExactlyOnce}},
			[]onlyonce.Policy{{Guarantee: onlyonce.ExactlyOnce + 1}, {Guarantee: math.MaxUint8}},
		},
		"TransactionMode": {
			[]onlyonce.Policy{{TransactionMode: onlyonce.SingleTransaction}, {TransactionMode: onlyonce.JoinedTransaction}},
			[]onlyonce.Policy{{TransactionMode: onlyonce.JoinedTransaction + 1}, {TransactionMode: math.MaxUint8}},
		},
		"MaxAttempts": {
			[]onlyonce.Policy{{MaxAttempts: 1}, {MaxAttempts: 1_000_000}},
			[]onlyonce.Policy{{MaxAttempts: -1}, {MaxAttempts: math.MinInt}, {MaxAttempts: 1_000_001}, {MaxAttempts: math.MaxInt}},
		},
		"Retention": {
			[]onlyonce.Policy{{Retention: onlyonce.DefaultMaxRun}, {Retention: century}},
			[]onlyonce.Policy{
				{Retention: -1}, {Retention: math.MinInt64}, {Retention: onlyonce.DefaultMaxRun - 1}, {Retention: century + 1},
				{Retention: math.MaxInt64},
			},
		},
		"ErrorRetention": {
			[]onlyonce.Policy{{ErrorRetention: onlyonce.DefaultMaxRun}, {ErrorRetention: day}, {ErrorRetention: century, Retention: century}},
			[]onlyonce.Policy{
				{ErrorRetention: -1}, {ErrorRetention: math.MinInt64}, {ErrorRetention: onlyonce.DefaultMaxRun - 1}, {ErrorRetention: day + 1},
				{ErrorRetention: math.MaxInt64},
			},
		},
		"KeyLife": {
			[]onlyonce.Policy{{KeyLife: time.Millisecond}, {KeyLife: day}, {KeyLife: century, Retention: century}},
			[]onlyonce.Policy{
				{KeyLife: -1}, {KeyLife: math.MinInt64}, {KeyLife: 1}, {KeyLife: time.Millisecond - 1}, {KeyLife: day + 1}, {KeyLife: math.MaxInt64},
			},
		},
		"Lease": {
			[]onlyonce.Policy{{Lease: time.Millisecond}, {Lease: day, MaxRun: day}},
			[]onlyonce.Policy{
				{Lease: -1}, {Lease: math.MinInt64}, {Lease: time.Millisecond - 1}, {Lease: day + 1, MaxRun: day + 1, Retention: century},
				{Lease: math.MaxInt64},
			},
		},
		"MaxRun": {
			[]onlyonce.Policy{{MaxRun: onlyonce.DefaultLease}, {MaxRun: time.Millisecond, Lease: time.Millisecond}, {MaxRun: day}},
			[]onlyonce.Policy{
				{MaxRun: -1}, {MaxRun: math.MinInt64}, {MaxRun: onlyonce.DefaultLease - 1}, {MaxRun: day + 1, Retention: century},
				{MaxRun: math.MaxInt64},
			},
		},
		"MaxWait": {
			[]onlyonce.Policy{{MaxWait: onlyonce.NoWait}, {MaxWait: time.Millisecond}, {MaxWait: day}},
			[]onlyonce.Policy{
				{MaxWait: onlyonce.NoWait - 1}, {MaxWait: math.MinInt64}, {MaxWait: 1}, {MaxWait: time.Millisecond - 1}, {MaxWait: day + 1},
				{MaxWait: math.MaxInt64},
			},
		},
		"MaxOutcome": {
			[]onlyonce.Policy{{MaxOutcome: 1}, {MaxOutcome: 256 << 20}},
			[]onlyonce.Policy{{MaxOutcome: -1}, {MaxOutcome: math.MinInt}, {MaxOutcome: 256<<20 + 1}, {MaxOutcome: math.MaxInt}},
		},
		"KeepRequest": {
			[]onlyonce.Policy{{KeepRequest: onlyonce.KeepNoRequest}, {KeepRequest: 1}, {KeepRequest: 1 << 20}},
			[]onlyonce.Policy{{KeepRequest: -2}, {KeepRequest: math.MinInt}, {KeepRequest: 1<<20 + 1}, {KeepRequest: math.MaxInt}},
		},
		"Detachment": {
			[]onlyonce.Policy{{Detachment: onlyonce.Detached}, {Detachment: onlyonce.Attached, Guarantee: least}},
			[]onlyonce.Policy{{Detachment: onlyonce.Attached + 1}, {Detachment: math.MaxUint8}, {Detachment: onlyonce.Attached}},
		},
		"StoreDown": {
			[]onlyonce.Policy{{StoreDown: onlyonce.FailClosed}, {StoreDown: onlyonce.FailOpen, Guarantee: least}},
			[]onlyonce.Policy{{StoreDown: onlyonce.FailOpen + 1}, {StoreDown: math.MaxUint8}, {StoreDown: onlyonce.FailOpen}},
		},
		"Shadow": {
			[]onlyonce.Policy{{Shadow: onlyonce.ShadowOff}}, // for ShadowOn, see shadow_test.go
			[]onlyonce.Policy{{Shadow: onlyonce.ShadowOn + 1}, {Shadow: math.MaxUint8}},
		},
	}
}

func limitSpans() map[string]span[onlyonce.Limits] {
	const most = 1_000_000_000

	return map[string]span[onlyonce.Limits]{
		"MaxDetached": {
			[]onlyonce.Limits{{MaxDetached: 1}, {MaxDetached: most}},
			[]onlyonce.Limits{{MaxDetached: -1}, {MaxDetached: math.MinInt}, {MaxDetached: most + 1}, {MaxDetached: math.MaxInt}},
		},
		"MaxWaitersPerKey": {
			[]onlyonce.Limits{{MaxWaitersPerKey: 1}, {MaxWaitersPerKey: most}},
			[]onlyonce.Limits{
				{MaxWaitersPerKey: -1}, {MaxWaitersPerKey: math.MinInt}, {MaxWaitersPerKey: most + 1}, {MaxWaitersPerKey: math.MaxInt},
			},
		},
		"MaxWaiters": {
			[]onlyonce.Limits{{MaxWaiters: 1}, {MaxWaiters: most}},
			[]onlyonce.Limits{{MaxWaiters: -1}, {MaxWaiters: math.MinInt}, {MaxWaiters: most + 1}, {MaxWaiters: math.MaxInt}},
		},
		"ScopeShare": {
			[]onlyonce.Limits{{ScopeShare: math.SmallestNonzeroFloat64}, {ScopeShare: 1}},
			[]onlyonce.Limits{
				{ScopeShare: -math.SmallestNonzeroFloat64}, {ScopeShare: math.Nextafter(1, 2)}, {ScopeShare: math.NaN()}, {ScopeShare: math.Inf(1)},
				{ScopeShare: math.Inf(-1)},
			},
		},
		"MaxPending": {
			[]onlyonce.Limits{{MaxPending: 1}, {MaxPending: most}},
			[]onlyonce.Limits{{MaxPending: -1}, {MaxPending: math.MinInt}, {MaxPending: most + 1}, {MaxPending: math.MaxInt}},
		},
		"MaxPendingBytes": {
			[]onlyonce.Limits{{MaxPendingBytes: 1}, {MaxPendingBytes: 1 << 40}},
			[]onlyonce.Limits{
				{MaxPendingBytes: -1}, {MaxPendingBytes: math.MinInt64}, {MaxPendingBytes: 1<<40 + 1}, {MaxPendingBytes: math.MaxInt64},
			},
		},
		"StoreTimeout": {
			[]onlyonce.Limits{{StoreTimeout: time.Millisecond}, {StoreTimeout: day}},
			[]onlyonce.Limits{
				{StoreTimeout: -1}, {StoreTimeout: math.MinInt64}, {StoreTimeout: 1}, {StoreTimeout: day + 1}, {StoreTimeout: 100 * 365 * day},
				{StoreTimeout: math.MaxInt64},
			},
		},
		"SettleTimeout": {
			[]onlyonce.Limits{{SettleTimeout: time.Millisecond}, {SettleTimeout: day}},
			[]onlyonce.Limits{
				{SettleTimeout: -1}, {SettleTimeout: math.MinInt64}, {SettleTimeout: 1}, {SettleTimeout: day + 1}, {SettleTimeout: math.MaxInt64},
			},
		},
		"RecoverTimeout": {
			[]onlyonce.Limits{{RecoverTimeout: time.Millisecond}, {RecoverTimeout: day}},
			[]onlyonce.Limits{
				{RecoverTimeout: -1}, {RecoverTimeout: math.MinInt64}, {RecoverTimeout: 1}, {RecoverTimeout: day + 1}, {RecoverTimeout: math.MaxInt64},
			},
		},
	}
}

// fieldSpans goes through all fields of a type, so that a new field without a range is noticed.
func fieldSpans[T any](t *testing.T, known map[string]span[T], visit func(name string, of span[T])) {
	t.Helper()

	for field := range reflect.TypeFor[T]().Fields() {
		of, ok := known[field.Name]
		if !ok {
			t.Errorf("%s has no range in this test", field.Name)
		}

		visit(field.Name, of)
	}
}

func mustNameTheRange(t *testing.T, err error, field string) {
	t.Helper()

	if err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "give ") {
		t.Errorf("%s: %v; want what to give", field, err)
	}
}

func TestF68EveryFieldOfAPolicyHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	fieldSpans(t, policySpans(), func(name string, of span[onlyonce.Policy]) {
		for _, p := range of.bad {
			_, err := onlyonce.New(txstore.New(), onlyonce.WithPolicy(p))
			mustNameTheRange(t, err, name)

			e := newEngine(t, txstore.New())
			mustNameTheRange(t, e.Validate(p), name)

			call := pay("k")
			call.Policy = &p
			mustNameTheRange(t, do(t, e, call, nil).err, name)
		}

		for _, p := range of.good {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()

				if p.Guarantee == onlyonce.ExactlyOnce {
					servesUnder(t, p, txstore.New(), onlyonce.WithPolicy(p))
				} else {
					servesUnder(t, p, s, onlyonce.WithPolicy(p))
					servesUnder(t, p, memstore.New(), onlyonce.WithPolicy(p))
				}

				p.Guarantee, p.StoreDown = onlyonce.ExactlyOnce, onlyonce.FailClosed
				servesUnder(t, p, txstore.New(), onlyonce.WithPolicy(p), onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: day}))
			})
		}
	})
}

func TestF68EveryLimitHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	fieldSpans(t, limitSpans(), func(name string, of span[onlyonce.Limits]) {
		for _, l := range of.bad {
			_, err := onlyonce.New(memstore.New(), onlyonce.WithLimits(l))
			mustNameTheRange(t, err, name)
		}

		for _, l := range of.good {
			synctest.Test(t, func(t *testing.T) {
				servesUnder(t, builtin(), newFaultStore(), onlyonce.WithLimits(l))
				servesUnder(t, builtin(), memstore.New(), onlyonce.WithLimits(l))
				triesAgain(t, l)
			})
		}
	})
}

// servesUnder makes calls that run, replay and wait for each other under a policy.
func servesUnder(t *testing.T, p onlyonce.Policy, s store.Store, opts ...onlyonce.Option) {
	t.Helper()

	e := newEngine(t, s, opts...)

	var runs payments

	again := func(key string, got answer, body string) {
		if p.MaxOutcome == 1 {
			got.mustBeRejected(t, onlyonce.ReasonOutcomeNotStored)
		} else {
			got.mustBe(t, onlyonce.StatusReplayed, body)
		}

		if t.Failed() {
			t.Fatalf("%s: under %+v", key, p)
		}
	}

	handler := within(e.Policy(p), &runs)

	do(t, e, pay("a"), handler).mustBe(t, onlyonce.StatusExecuted, "#1")
	again("a", do(t, e, pay("a"), handler), "#1")

	owner := inBackground(t.Context(), e, pay("b"), handler)

	synctest.Wait()

	duplicate := do(t, e, pay("b"), handler)

	(<-owner).mustBe(t, onlyonce.StatusExecuted, "#2")

	if p.MaxWait == onlyonce.NoWait {
		duplicate.mustBeRejected(t, onlyonce.ReasonInProgress)
	} else {
		again("b", duplicate, "#2")
	}

	runs.mustHaveRun(t, 2)
}

// within is a handler that takes less time than its run and less than a duplicate waits.
func within(p onlyonce.Policy, runs *payments) func(context.Context) ([]byte, error) {
	d := min(p.MaxRun, time.Second)
	if p.MaxWait > 0 {
		d = min(d, p.MaxWait)
	}

	return runs.lasting(d / 4)
}

// triesAgain stores an outcome at the third try, for as long as the caller is kept.
func triesAgain(t *testing.T, l onlyonce.Limits) {
	t.Helper()

	s := newFaultStore()
	s.next(opComplete, lostRequest, lostReply)

	if l.StoreTimeout != time.Millisecond { // the time for all tries of a claim derives from it
		s.next(opClaim, lostRequest, lostReply)
	}

	e := newEngine(t, s, onlyonce.WithLimits(l))

	var p payments

	want := onlyonce.StatusExecuted
	if l.SettleTimeout == time.Millisecond {
		want = onlyonce.StatusUnrecorded
	}

	do(t, e, pay("c"), p.do).mustBe(t, want, "#1")
	time.Sleep(time.Minute)
	do(t, e, pay("c"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
}
