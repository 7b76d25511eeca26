package onlyonce_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func prepared(t *testing.T, e *onlyonce.Engine, p onlyonce.Policy) *onlyonce.PreparedPolicy {
	t.Helper()

	made, err := e.Prepare(p)
	if err != nil {
		t.Fatalf("Prepare(%+v): %v", p, err)
	}

	return made
}

func TestPreparedPolicyIsUsedInsteadOfThePolicyOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{MaxRun: 20 * time.Second}))
		policy := onlyonce.Policy{Retention: time.Hour}

		call := pay("k")
		call.Policy, call.Prepared = &onlyonce.Policy{Retention: time.Minute}, prepared(t, e, policy)
		policy.Retention = time.Second // the engine has prepared it already

		var p payments

		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(59 * time.Minute)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		time.Sleep(time.Minute)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestPoliciesThatCannotHoldAreNotPrepared(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	made, err := e.Prepare(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: -1})
	if made != nil || err == nil || !strings.Contains(err.Error(), "no transactions") || !strings.Contains(err.Error(), "MaxAttempts is -1") {
		t.Errorf("Prepare returns %v, %v", made, err)
	}
}

// A policy that is valid for one store may be invalid for another.
func TestPolicyThatAnotherEngineHasPreparedIsValidatedAgain(t *testing.T) {
	t.Parallel()

	other := newEngine(t, txstore.New(), onlyonce.WithPolicy(onlyonce.Policy{MaxAttempts: 3}))

	var p payments

	call := pay("k")
	call.Prepared = prepared(t, other, onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce})

	got := do(t, newEngine(t, memstore.New()), call, p.do)
	if got.err == nil || !strings.Contains(got.err.Error(), method+": ") || !strings.Contains(got.err.Error(), "no transactions") {
		t.Errorf("the call returned %v", got.err)
	}

	p.mustHaveRun(t, 0)

	call.Prepared = prepared(t, other, onlyonce.Policy{})
	do(t, newEngine(t, memstore.New()), call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
}
