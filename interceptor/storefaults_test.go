package interceptor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// outage makes writes after the claim fail while the flag is set.
func (s *faultStore) outage() *atomic.Bool {
	var down atomic.Bool

	s.renew = func(ctx context.Context, op store.Renewal) (store.Result, error) {
		if down.Load() {
			return store.Result{}, errLine
		}

		return s.Store.Renew(ctx, op)
	}
	s.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
		if down.Load() {
			return store.Result{}, errLine
		}

		return s.Store.Complete(ctx, op)
	}
	s.release = func(ctx context.Context, op store.Release) (store.Result, error) {
		if down.Load() {
			return store.Result{}, errLine
		}

		return s.Store.Release(ctx, op)
	}

	return &down
}

// losingReplies makes the store lose the replies to its first claims.
func (s *faultStore) losingReplies(claims int64) *faultStore {
	s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
		sent := s.claims.Load()
		res, err := s.Store.Claim(ctx, op)

		if sent <= claims {
			return store.Result{}, errLine
		}

		return res, err
	}

	return s
}

func atLeastOnce() []interceptor.ServerOption {
	return policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
}

// record is the record of the payment.
func (w *world) record(ctx context.Context, t *testing.T) onlyonce.Record {
	t.Helper()

	rec, err := w.engine.Lookup(context.WithoutCancel(ctx), onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"})
	if err != nil {
		t.Errorf("Lookup: %v", err)
	}

	return rec
}

func TestF07_RunUnderAtMostOnceGoesOnAndIsRecordedWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		down := faults.outage()
		w := start(t, setup{store: faults}, cancellable(20*time.Second, answering("paid")))

		down.Store(true)

		first := w.payInBackground(t)

		time.Sleep(19 * time.Second)
		w.call(withKey(t.Context(), "key"), otherPayment()).mustBe(t, keyReused) // it is known whose key this is

		time.Sleep(4 * time.Second)
		down.Store(false)

		paid := <-first
		paid.mustAnswer(t, "paid")
		paid.mustHaveStatus(t, onlyonce.StatusExecuted)
		w.pay(t, "key").mustBeReplayOf(t, paid, paid.at)
		w.mustHaveRun(t, 1)
	})
}

func TestF08_AnswerThatCannotBeRecordedIsGivenAndReplayedWhenTheStoreHasHealed(t *testing.T) {
	outcomes := map[string]handlerFunc{
		"response": rich(answering("paid")),
		"error":    rich(failing(status.Error(codes.NotFound, "nobody"))),
	}

	for name, handle := range outcomes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := newFaultStore()
				down := faults.outage()
				w := start(t, setup{store: faults, server: policy(onlyonce.Policy{MaxWait: onlyonce.NoWait})}, handle)
				whole := w.pay(t, "twin")

				down.Store(true)

				began := time.Now()
				first := w.pay(t, "key")
				first.mustHaveStatus(t, onlyonce.StatusUnrecorded)

				if took := first.at.Sub(began); took > 10*time.Second {
					t.Errorf("the caller was kept for %v", took)
				}

				w.pay(t, "key").mustBe(t, inProgress)
				w.mustHaveRun(t, 2) // the twin's and its own

				down.Store(false)
				time.Sleep(5 * time.Second) // the longest pause between two tries

				w.pay(t, "key").mustBeReplayOf(t, whole, w.record(t.Context(), t).EndedAt)
				w.mustHaveRun(t, 2)
			})
		})
	}
}

func TestF10_ClaimThatWasLostOnItsWayIsSentAgain(t *testing.T) {
	for lost := range int64(3) {
		synctest.Test(t, func(t *testing.T) {
			faults := newFaultStore()
			faults.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
				if faults.claims.Load() <= lost {
					return store.Result{}, errLine
				}

				return faults.Store.Claim(ctx, op)
			}

			w := start(t, setup{store: faults}, nil)

			first := w.pay(t, "key")
			first.mustAnswer(t, "run 1")
			first.mustHaveStatus(t, onlyonce.StatusExecuted)
			w.pay(t, "key").mustBeReplayOf(t, first, first.at)
			w.mustHaveRun(t, 1)
		})
	}
}

func TestF11_CompletionWhoseReplyIsLostIsStillTheRunsOwn(t *testing.T) {
	tests := map[string]struct {
		lost   int64
		status onlyonce.Status
	}{
		"once":      {1, onlyonce.StatusExecuted},
		"repeated":  {5, onlyonce.StatusExecuted},
		"all along": {1 << 30, onlyonce.StatusUnrecorded},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64

				faults := newFaultStore()
				faults.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
					res, err := faults.Store.Complete(ctx, op)
					if sent.Add(1) <= test.lost {
						return store.Result{}, errLine
					}

					return res, err
				}

				w := start(t, setup{store: faults}, rich(answering("paid")))
				began := time.Now()

				first := w.pay(t, "key")
				first.mustAnswer(t, "paid")
				first.mustHaveStatus(t, test.status)
				w.pay(t, "key").mustBeReplayOf(t, first, began)
				w.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF54_RetryRunsWhenEveryReplyToTheClaimIsLost(t *testing.T) {
	const tries = 3 // how often one claim is sent

	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore().losingReplies(tries)
		w := start(t, setup{store: faults}, nil)

		w.pay(t, "key").mustBe(t, storeUnavailable)
		w.mustHaveRun(t, 0)

		if n := faults.claims.Load(); n != tries {
			t.Errorf("the claim was sent %d times, want %d", n, tries)
		}

		time.Sleep(time.Second)

		retry := w.pay(t, "key")
		retry.mustAnswer(t, "run 1")
		retry.mustHaveStatus(t, onlyonce.StatusExecuted)
		w.mustHaveRun(t, 1)
	})

	synctest.Test(t, func(t *testing.T) { // by the client's own means, and the release is late
		faults := newFaultStore().losingReplies(tries)
		down := faults.outage()
		w := start(t, setup{store: faults}, nil)

		down.Store(true)
		time.AfterFunc(5*time.Second, func() { down.Store(false) })

		seen := &journal{}
		callOn(t.Context(), w.clientConn(t, seen.option()), unaryCall, payment()).mustAnswer(t, "run 1")
		w.mustHaveRun(t, 1)

		if n := len(seen.seen()); n != 2 {
			t.Errorf("the client needed %d attempts, want 2", n)
		}
	})
}
