package sqlstoretest_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// contract proves that a store keeps the contract.
func contract(t *testing.T, s store.Store) {
	t.Helper()

	storetest.Run(t, func(*testing.T) store.Store { return s }, storetest.WithUnit(unit))
}

func TestContract(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)
		contract(t, s)
	})
}
