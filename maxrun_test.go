package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestMaxRunEndsTheRunAndItsRenewals(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: g, MaxRun: 17 * time.Second}))

				began := time.Now()

				do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(began.Add(17*time.Second)) {
						t.Errorf("the run's deadline is %v, %v", deadline, ok)
					}

					<-ctx.Done()

					if took := time.Since(began); took != 17*time.Second {
						t.Errorf("the run was ended after %v, want 17s", took)
					}

					time.Sleep(20 * time.Second) // it does not obey

					return nil, context.Cause(ctx)
				}).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrMaxRun)

				mustBeAt(t, began, s.times(opRenew), 5*time.Second, 10*time.Second, 15*time.Second)
			})
		})
	}
}

func TestMaxRunHoldsForUnprotectedRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(lostRequest, opClaim)

		do(t, e, pay("k"), new(payments).cancellable(time.Hour)).mustFail(t, onlyonce.StatusUnprotected, onlyonce.ErrMaxRun)

		if n := s.count(opRenew); n != 0 {
			t.Errorf("%d renewals of a run that has no lease", n)
		}
	})
}
