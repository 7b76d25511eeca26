package report_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/report"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWithoutAnObserverNothingIsMeasured(t *testing.T) { //nolint:paralleltest // others would allocate
	var (
		nobody report.To
		res    store.Result
		err    = errors.New("full")
		ctx    = t.Context()
	)

	if began := nobody.Clock(); !began.IsZero() {
		t.Errorf("the clock is read: %v", began)
	}

	if n := testing.AllocsPerRun(100, func() {
		began := nobody.Clock()
		nobody.Ended(ctx, store.OperationClaim, began, &res, &err)
		nobody.Answered(ctx, store.OperationLookup, began, &err)
		nobody.Refused(ctx, store.OperationClaim, err)
		nobody.Resent(ctx, store.OperationClaim, nil)
		nobody.Batch(ctx, began, 1)
		nobody.Waited(ctx, store.OperationClaim, 1)
		nobody.Swept(ctx, began, 1, nil)
		nobody.Repaired(ctx, store.OperationList, 1)
		nobody.Indexed(ctx, began, 1, &err)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
