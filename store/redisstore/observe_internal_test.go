package redisstore

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestWithoutAnObserverNothingIsMeasured(t *testing.T) { //nolint:paralleltest // others would allocate
	var (
		nobody reporter
		res    store.Result
		err    error
	)

	if began := nobody.clock(); !began.IsZero() {
		t.Errorf("the clock is read: %v", began)
	}

	ctx := t.Context()

	if n := testing.AllocsPerRun(100, func() {
		began := nobody.clock()
		nobody.ended(ctx, store.OperationClaim, began, &res, &err)
		nobody.answered(ctx, store.OperationLookup, began, &err)
		nobody.resent(ctx, store.OperationClaim, nil)
		nobody.trip(ctx, began, 1)
		nobody.waited(nil)
		nobody.repaired(ctx, store.OperationList, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
