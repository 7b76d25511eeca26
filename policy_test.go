package onlyonce_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func builtin() onlyonce.Policy {
	return onlyonce.Policy{
		Guarantee: onlyonce.AtMostOnce, TransactionMode: onlyonce.SingleTransaction, MaxAttempts: 5,
		Retention: 24 * time.Hour, ErrorRetention: 24 * time.Hour, KeyLife: 24 * time.Hour, Lease: 15 * time.Second, MaxRun: 25 * time.Second,
		MaxWait: 10 * time.Second, MaxOutcome: 1 << 20, KeepRequest: onlyonce.KeepNoRequest,
		Detachment: onlyonce.Detached, StoreDown: onlyonce.FailClosed,
		Shadow: onlyonce.ShadowOff,
	}
}

func TestPolicyOverTakesEveryUnsetFieldFromTheWider(t *testing.T) {
	t.Parallel()

	narrow := onlyonce.Policy{
		Guarantee: onlyonce.AtLeastOnce, TransactionMode: onlyonce.JoinedTransaction, MaxAttempts: 2,
		Retention: time.Hour, ErrorRetention: 10 * time.Minute, KeyLife: time.Minute, Lease: time.Second, MaxRun: 2 * time.Second,
		MaxWait: onlyonce.NoWait, MaxOutcome: 3, KeepRequest: 4, Detachment: onlyonce.Attached, StoreDown: onlyonce.FailOpen,
		Shadow: onlyonce.ShadowOn,
	}
	wide := builtin()

	if got := narrow.Over(wide); got != narrow {
		t.Errorf("a full policy has become %+v", got)
	}

	if got := (onlyonce.Policy{}).Over(wide); got != wide {
		t.Errorf("an empty policy has become %+v", got)
	}

	// Each field on its own, so that a field which is added and forgotten is noticed.
	for i := range reflect.TypeFor[onlyonce.Policy]().NumField() {
		var single onlyonce.Policy

		reflect.ValueOf(&single).Elem().Field(i).Set(reflect.ValueOf(narrow).Field(i))

		want := wide
		reflect.ValueOf(&want).Elem().Field(i).Set(reflect.ValueOf(narrow).Field(i))

		if got := single.Over(wide); got != want {
			t.Errorf("with %s alone: %+v", reflect.TypeFor[onlyonce.Policy]().Field(i).Name, got)
		}
	}
}

func TestPoliciesThatCannotHoldAreReported(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	for name, tt := range map[string]struct {
		policy onlyonce.Policy
		want   string
	}{
		"nothing set":                   {onlyonce.Policy{}, ""},
		"everything set":                {builtin(), ""},
		"unknown guarantee":             {onlyonce.Policy{Guarantee: 9}, "Guarantee is Guarantee(9): give AtMostOnce"},
		"exactly once":                  {onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}, "EXACTLY_ONCE, and this store has no transactions"},
		"fail-open, at most once":       {onlyonce.Policy{StoreDown: onlyonce.FailOpen}, "StoreDown is FailOpen under AT_MOST_ONCE"},
		"fail-open, at least once":      {onlyonce.Policy{StoreDown: onlyonce.FailOpen, Guarantee: onlyonce.AtLeastOnce}, ""},
		"negative attempts":             {onlyonce.Policy{MaxAttempts: -1}, "MaxAttempts is -1"},
		"negative lease":                {onlyonce.Policy{Lease: -time.Second}, "Lease is -1s"},
		"tiny lease":                    {onlyonce.Policy{Lease: time.Microsecond}, "Lease is 1µs: give 1ms to 24h0m0s"},
		"least lease":                   {onlyonce.Policy{Lease: time.Millisecond}, ""},
		"run shorter than lease":        {onlyonce.Policy{MaxRun: time.Second}, "MaxRun is 1s: give at least Lease, which is 15s"},
		"run as long as lease":          {onlyonce.Policy{MaxRun: time.Second, Lease: time.Second}, ""},
		"retention shorter than a run":  {onlyonce.Policy{Retention: time.Second}, "Retention is 1s: give at least MaxRun, which is 25s"},
		"retention for ever":            {onlyonce.Policy{Retention: 1<<63 - 1}, "and at most 100 years"},
		"retention of a hundred years":  {onlyonce.Policy{Retention: 100 * 365 * 24 * time.Hour}, ""},
		"negative wait":                 {onlyonce.Policy{MaxWait: -2}, "MaxWait is -2ns: give 1ms to 24h0m0s, or NoWait"},
		"no wait":                       {onlyonce.Policy{MaxWait: onlyonce.NoWait}, ""},
		"negative outcome":              {onlyonce.Policy{MaxOutcome: -1}, "MaxOutcome is -1"},
		"key life beyond the retention": {onlyonce.Policy{KeyLife: 25 * time.Hour}, "KeyLife is 25h0m0s: give 1ms to Retention, which is"},
		"key life of the retention":     {onlyonce.Policy{KeyLife: 24 * time.Hour}, ""},
		"detachment beyond its choices": {onlyonce.Policy{Detachment: 3}, "Detachment is Detachment(3)"},
		"store down beyond its choices": {onlyonce.Policy{StoreDown: 7}, "StoreDown is StoreDown(7)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, newErr := onlyonce.New(memstore.New(), onlyonce.WithPolicy(tt.policy))

			var p payments

			call := pay(strings.ReplaceAll(name, " ", "-"))
			call.Policy = &tt.policy

			got := do(t, e, call, p.do)

			for where, err := range map[string]error{"Validate": e.Validate(tt.policy), "New": newErr, "Do": got.err} {
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v, want %q", where, err, tt.want)
				}
			}

			p.mustHaveRun(t, map[bool]int64{true: 1, false: 0}[tt.want == ""])
		})
	}
}

func TestEveryFaultOfAPolicyIsReportedAtOnce(t *testing.T) {
	t.Parallel()

	err := newEngine(t, memstore.New()).Validate(onlyonce.Policy{
		Guarantee: onlyonce.ExactlyOnce, TransactionMode: 9, MaxAttempts: -1, MaxRun: 1, Retention: -1, MaxWait: -2, MaxOutcome: -1,
		StoreDown: onlyonce.FailOpen,
	})
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 8 {
		t.Errorf("%d complaints, want 8:\n%v", lines, err)
	}
}

func TestExactlyOnceIsAcceptedOnAStoreWithTransactions(t *testing.T) {
	t.Parallel()

	e := newEngine(t, transactionalStore{newFaultStore()}, withGuarantee(onlyonce.ExactlyOnce))
	if got := e.Policy(onlyonce.Policy{}).Guarantee; got != onlyonce.ExactlyOnce {
		t.Errorf("the guarantee is %v", got)
	}
}

func TestPolicyOfTheEngineIsTheDefaultOfItsCalls(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(),
		onlyonce.WithPolicy(onlyonce.Policy{MaxAttempts: 2, Lease: time.Second}), onlyonce.WithPolicy(onlyonce.Policy{MaxAttempts: 3}))

	want := builtin()
	want.MaxAttempts, want.Lease, want.MaxWait = 3, time.Second, onlyonce.NoWait

	if got := e.Policy(onlyonce.Policy{MaxWait: onlyonce.NoWait}); got != want {
		t.Errorf("Policy = %+v, want %+v", got, want)
	}

	if got := newEngine(t, memstore.New()).Policy(onlyonce.Policy{}); got != builtin() {
		t.Errorf("the built-in policy is %+v, want %+v", got, builtin())
	}
}
