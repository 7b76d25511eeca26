package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestCallWithoutKeyIsNotTouched(t *testing.T) {
	faults := newFaultStore()
	w := start(t, setup{store: faults}, nil)

	for range 2 {
		a := w.call(t.Context(), payment())
		if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
			t.Errorf("the answer is %v, %v with trailer %v; want one without a status", a.resp, a.err, a.trailer)
		}
	}

	w.mustHaveRun(t, 2)

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestUnkeyedErrorLosesItsMark(t *testing.T) {
	w := start(t, setup{}, failing(onlyonce.NotExecuted(status.Error(codes.Aborted, "again"))))

	w.call(t.Context(), payment()).mustFail(t, codes.Aborted, "again")
}

func TestF06_NothingRunsWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{store: newFaultStore().down()}, nil)

		w.pay(t, "key").mustBe(t, storeUnavailable)
		w.mustHaveRun(t, 0)
	})
}

func TestF06_FailOpenRunsOnlyWhereThePolicyOfTheMethodAllowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{store: newFaultStore().down(), server: []interceptor.ServerOption{
			interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{Policy: onlyonce.Policy{
				Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen,
			}}),
		}}, nil)

		for range 2 {
			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnprotected)
		}

		w.mustHaveRun(t, 2)
		callOn(withKey(t.Context(), "key"), w.conn, cacheableCall, payment()).mustBe(t, storeUnavailable)
		w.mustHaveRun(t, 2)
	})
}

func TestF09_OwnClaimIsRecognisedWhenItsReplyIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		faults.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
			res, err := faults.Store.Claim(ctx, op)
			if faults.claims.Load() == 1 {
				return store.Result{}, errLine
			}

			return res, err
		}

		w := start(t, setup{store: faults}, nil)
		began := time.Now()
		first := w.pay(t, "key")

		first.mustAnswer(t, "run 1")
		first.mustHaveStatus(t, onlyonce.StatusExecuted)

		if took := first.at.Sub(began); took > time.Second {
			t.Errorf("the call took %v: it has waited for itself", took)
		}

		w.pay(t, "key").mustBeReplayOf(t, first, first.at)
		w.mustHaveRun(t, 1)
	})
}
