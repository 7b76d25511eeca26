package onlyonce

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// BenchmarkPolicyOf is what the policy of a call costs.
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

// BenchmarkKeyRules is what the check of a key costs.
func BenchmarkKeyRules(b *testing.B) {
	for b.Loop() {
		if err := (KeyRules{}).Check("01234567-89ab-7def-8123-456789abcdef"); err != nil {
			b.Fatal(err)
		}
	}
}
