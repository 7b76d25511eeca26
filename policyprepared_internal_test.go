package onlyonce

import (
	"context"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The policies of the engine and of a method are shared by all calls.
func TestCallsLeaveSharedPoliciesAsTheyAre(t *testing.T) {
	t.Parallel()

	e, err := New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	prepared, err := e.Prepare(Policy{Guarantee: AtLeastOnce})
	if err != nil {
		t.Fatal(err)
	}

	ofEngine, ofMethod := e.policy, prepared.policy

	for _, call := range []Call{{Key: "usual"}, {Key: "prepared", Prepared: prepared}, {Key: "own", Policy: &Policy{MaxRun: time.Minute}}} {
		for range 2 { // a run, and a replay
			if _, err := e.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, nil }); err != nil {
				t.Errorf("%s: %v", call.Key, err)
			}
		}
	}

	if e.policy != ofEngine || prepared.policy != ofMethod {
		t.Errorf("the policies have become %+v and %+v", e.policy, prepared.policy)
	}
}

// BenchmarkPolicyOf measures the lookup of a call's policy.
func BenchmarkPolicyOf(b *testing.B) {
	e, err := New(memstore.New())
	if err != nil {
		b.Fatal(err)
	}

	policy := e.Policy(Policy{})

	prepared, err := e.Prepare(policy)
	if err != nil {
		b.Fatal(err)
	}

	for name, call := range map[string]*Call{"prepared": {Prepared: prepared}, "given": {Policy: &policy}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				if _, err := e.policyOf(call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkKeyRules measures the check of a key.
func BenchmarkKeyRules(b *testing.B) {
	for b.Loop() {
		if err := (KeyRules{}).Check("01234567-89ab-7def-8123-456789abcdef"); err != nil {
			b.Fatal(err)
		}
	}
}
