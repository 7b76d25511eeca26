package interceptor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// leaseLeft is how long the store keeps the key for its owner.
func (w *world) leaseLeft(ctx context.Context, t *testing.T) time.Duration {
	t.Helper()

	return time.Until(w.record(ctx, t).LeaseUntil)
}

func TestF07_RunUnderAtLeastOnceIsCancelledBeforeItsLeaseCanHaveEnded(t *testing.T) {
	tests := map[string]struct {
		last  handlerFunc // what the handler does after its context has ended
		check func(t *testing.T, a answer)
		again string
		runs  int64
	}{
		"and cannot say how far it came": {
			last: failing(status.Error(codes.Aborted, "stopped half-way")),
			check: func(t *testing.T, a answer) {
				t.Helper()
				a.mustFail(t, codes.Aborted, "stopped half-way")
				a.mustHaveStatus(t, onlyonce.StatusUnknown)
			},
			again: "second", runs: 2,
		},
		"and has finished after all": {
			last: answering("first"),
			check: func(t *testing.T, a answer) {
				t.Helper()
				a.mustAnswer(t, "first")
				a.mustHaveStatus(t, onlyonce.StatusExecuted)
			},
			again: "first", runs: 1,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					cause error
					left  time.Duration
				)

				faults := newFaultStore()
				faults.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }

				w := start(t, setup{store: faults, server: atLeastOnce()}, nil)
				w.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					if w.runs.Load() > 1 {
						return answering("second")(ctx, req)
					}

					<-ctx.Done()

					cause, left = context.Cause(ctx), w.leaseLeft(ctx, t)

					return test.last(ctx, req)
				}

				test.check(t, w.pay(t, "key"))

				if !errors.Is(cause, onlyonce.ErrLeaseLost) || left <= 0 || left > onlyonce.DefaultLease/5 {
					t.Errorf("the run was told with %v, %v before its lease ended", cause, left)
				}

				w.pay(t, "key").mustAnswer(t, test.again)
				w.mustHaveRun(t, test.runs)
			})
		})
	}
}

func TestF19_StarvedRunIsFencedBeforeItsLeaseCanHaveEnded(t *testing.T) {
	refused := func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }

	tests := map[string]func(s *faultStore){
		"renewals that are refused": func(s *faultStore) { s.renew = refused },
		"renewals that hang": func(s *faultStore) {
			s.renew = func(ctx context.Context, _ store.Renewal) (store.Result, error) {
				<-ctx.Done()

				return store.Result{}, ctx.Err()
			}
		},
		"one renewal with a slow reply, and no other": func(s *faultStore) {
			var sent atomic.Int64

			s.renew = func(ctx context.Context, op store.Renewal) (store.Result, error) {
				if sent.Add(1) > 1 {
					return store.Result{}, errLine
				}

				res, err := s.Store.Renew(ctx, op)

				time.Sleep(4 * time.Second)

				return res, err
			}
		},
		"a claim with a slow reply, and no renewal": func(s *faultStore) {
			s.renew = refused
			s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
				res, err := s.Store.Claim(ctx, op)

				time.Sleep(4 * time.Second)

				return res, err
			}
		},
	}

	for name, starve := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					cause error
					left  time.Duration
				)

				faults := newFaultStore()
				starve(faults)

				w := start(t, setup{store: faults, server: atLeastOnce()}, nil)
				w.handle = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					<-ctx.Done()

					cause, left = context.Cause(ctx), w.leaseLeft(ctx, t)

					return nil, status.Error(codes.Aborted, "stopped half-way")
				}

				a := w.pay(t, "key")
				a.mustFail(t, codes.Aborted, "stopped half-way")
				a.mustHaveStatus(t, onlyonce.StatusUnknown)
				w.mustHaveRun(t, 1)

				if !errors.Is(cause, onlyonce.ErrLeaseLost) || left <= 0 || left > onlyonce.DefaultLease/5 {
					t.Errorf("the run was told with %v, %v before its lease ended", cause, left)
				}
			})
		})
	}
}
