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

func TestEveryStatusIsSaidWhenTheContractSays(t *testing.T) {
	tests := []struct {
		said   onlyonce.Status
		name   string
		code   codes.Code
		setup  func() setup
		handle handlerFunc
	}{
		{said: "executed", name: "a response"},
		{said: "executed", name: "a definite error", code: codes.NotFound, handle: failing(status.Error(codes.NotFound, "no"))},
		{
			said: "executed", name: "an error marked as final", code: codes.Internal,
			handle: failing(onlyonce.Final(status.Error(codes.Internal, "no"))),
		},
		{
			said: "released", name: "an error marked as not executed", code: codes.Unavailable,
			handle: failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))),
		},
		{said: "unknown", name: "an ambiguous error", code: codes.Unavailable, handle: failing(status.Error(codes.Unavailable, "no"))},
		{
			said: "unknown", name: "an ambiguous error that releases the key", code: codes.Unavailable,
			setup:  func() setup { return setup{server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})} },
			handle: failing(status.Error(codes.Unavailable, "no")),
		},
		{
			said: "unrecorded", name: "a response that could not be stored",
			setup: func() setup { return setup{store: newFaultStore().deaf()} },
		},
		{
			said: "unrecorded", name: "a definite error that could not be stored", code: codes.NotFound,
			setup:  func() setup { return setup{store: newFaultStore().deaf()} },
			handle: failing(status.Error(codes.NotFound, "no")),
		},
		{
			said: "unprotected", name: "a run without the store",
			setup: func() setup {
				return setup{
					store:  newFaultStore().down(),
					server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, FailOpen: onlyonce.On}),
				}
			},
		},
		{
			said: "unprotected", name: "an error of a run without the store", code: codes.Unavailable,
			setup: func() setup {
				return setup{
					store:  newFaultStore().down(),
					server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, FailOpen: onlyonce.On}),
				}
			},
			handle: failing(status.Error(codes.Unavailable, "no")),
		},
		{
			said: "rejected", name: "a call that was not run", code: codes.Unavailable,
			setup: func() setup { return setup{store: newFaultStore().down()} },
		},
	}

	for _, test := range tests {
		t.Run(string(test.said)+"/"+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				made := setup{}
				if test.setup != nil {
					made = test.setup()
				}

				a := start(t, made, test.handle).pay(t, "key")
				a.mustSay(t, test.said)

				if got := status.Code(a.err); got != test.code {
					t.Errorf("the answer is %v, %v; want %v", a.resp, a.err, test.code)
				}

				for _, name := range []string{interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer} {
					if len(a.header.Get(name))+len(a.trailer.Get(name)) != 0 {
						t.Errorf("%s on an answer that is no replay", name)
					}
				}
			})
		})
	}
}

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

func TestF06_FailOpenRunsOnlyWhereTheMethodSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{store: newFaultStore().down(), server: []interceptor.ServerOption{
			interceptor.WithMethodPolicy(unaryCall, interceptor.Policy{Policy: onlyonce.Policy{
				Guarantee: onlyonce.AtLeastOnce, FailOpen: onlyonce.On,
			}}),
		}}, nil)

		for range 2 {
			w.pay(t, "key").mustSay(t, onlyonce.StatusUnprotected)
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
		first.mustSay(t, onlyonce.StatusExecuted)

		if took := first.at.Sub(began); took > time.Second {
			t.Errorf("the call took %v: it has waited for itself", took)
		}

		w.pay(t, "key").mustBeReplayOf(t, first, first.at)
		w.mustHaveRun(t, 1)
	})
}
