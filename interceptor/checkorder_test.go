package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// forbidden refuses every replay.
func forbidden() interceptor.ServerOption {
	return interceptor.WithReplayCheck(func(context.Context, any) error {
		return status.Error(codes.PermissionDenied, "not yours any more")
	})
}

func TestScopeIsCheckedBeforeTheKey(t *testing.T) {
	w := start(t, setup{scope: noScope, server: keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired})}, nil)

	w.pay(t, "two words").mustBe(t, scopeMissing)
	w.call(t.Context(), payment()).mustBe(t, scopeMissing)
	w.call(withKey(t.Context(), "one", "two"), payment()).mustBe(t, scopeMissing)
}

func TestKeyIsCheckedBeforeTheStoreIsCalled(t *testing.T) {
	faults := newFaultStore().down()
	w := start(t, setup{store: faults}, nil)

	w.pay(t, "two words").mustBe(t, keyInvalid)

	if n := faults.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

// The states in which a key can be found; the handler of each has run once.
func keyStates() map[string]func(s stage) (end func()) {
	settled := func(s stage) func() {
		s.pay(s.T, "key")

		return func() {}
	}

	return map[string]func(s stage) (end func()){
		"completed": settled,
		"failed": func(s stage) func() {
			s.handle = failing(status.Error(codes.NotFound, "no"))

			return settled(s)
		},
		"unknown": func(s stage) func() {
			s.handle = failing(status.Error(codes.Internal, "no"))

			return settled(s)
		},
		"running": func(s stage) func() {
			s.handle = after(20*time.Second, answering("late"))
			first := s.payInBackground(s.T)

			synctest.Wait()

			return func() { (<-first).mustAnswer(s.T, "late") }
		},
		"waited for": func(s stage) func() {
			s.handle = after(8*time.Second, answering("late"))
			first, second := s.payInBackground(s.T), s.payInBackground(s.T)

			synctest.Wait()

			return func() {
				(<-first).mustAnswer(s.T, "late")
				(<-second).mustAnswer(s.T, "late")
			}
		},
	}
}

func TestF24_KeyReusedOnEveryPath(t *testing.T) {
	states := keyStates()
	states["released"] = func(s stage) func() {
		s.handle = failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no")))
		s.pay(s.T, "key")

		return func() {}
	}

	for name, reach := range states {
		for _, replica := range []string{"here", "on another replica"} {
			t.Run(name+" "+replica, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared := newFaultStore()
					w := start(t, setup{store: shared, server: []interceptor.ServerOption{forbidden()}}, nil)
					asked := w

					if replica != "here" {
						asked = start(t, setup{store: shared, server: []interceptor.ServerOption{forbidden()}}, nil)
					}

					if name == "waited for" {
						w = start(t, setup{store: shared}, nil) // here the waiter is allowed to wait
						if replica == "here" {
							asked = w
						}
					}

					end := reach(stage{T: t, world: w})
					began := time.Now()
					a := asked.call(withKey(t.Context(), "key"), otherPayment())

					// The key is checked before the permission, which would be denied, and without a wait.
					a.mustBe(t, keyReused)

					if waited := a.at.Sub(began); waited > 0 {
						t.Errorf("the answer took %v", waited)
					}

					end()
					w.mustHaveRun(t, 1)
				})
			})
		}
	}
}

func TestPermissionIsCheckedBeforeTheState(t *testing.T) {
	for name, reach := range keyStates() {
		if name == "waited for" {
			continue // this state rejects waiters
		}

		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{server: []interceptor.ServerOption{forbidden()}}, nil)
				end := reach(stage{T: t, world: w})

				began := time.Now()
				a := w.pay(t, "key")
				a.mustFail(t, codes.PermissionDenied, "not yours any more")
				a.mustHaveStatus(t, onlyonce.StatusRejected)

				if a.headerFrame || a.at != began {
					t.Errorf("header frame: %t, after %v", a.headerFrame, a.at.Sub(began))
				}

				end()
				w.mustHaveRun(t, 1)
			})
		})
	}
}

func TestReplayCheckDoesNotConcernTheFirstCall(t *testing.T) {
	w := start(t, setup{server: []interceptor.ServerOption{forbidden()}}, nil)

	w.pay(t, "key").mustAnswer(t, "run 1")
	w.pay(t, "another").mustAnswer(t, "run 2")
}

func TestF27_PermissionWithdrawnBeforeTheReplay(t *testing.T) {
	t.Run("WithReplayCheck", func(t *testing.T) {
		var refusal error

		var method string

		w := start(t, setup{server: []interceptor.ServerOption{
			interceptor.WithReplayCheck(func(ctx context.Context, _ any) error {
				method, _ = grpc.Method(ctx)

				return refusal
			}),
		}}, answering("secret"))

		first := w.pay(t, "key")
		w.pay(t, "key").mustAnswer(t, "secret")

		if method != unaryCall {
			t.Errorf("the check saw method %q", method)
		}

		refusal = status.Error(codes.PermissionDenied, "the account was closed")
		a := w.pay(t, "key")
		a.mustFail(t, codes.PermissionDenied, "the account was closed")
		a.mustHaveStatus(t, onlyonce.StatusRejected)

		refusal = nil
		w.pay(t, "key").mustAnswer(t, first.resp.GetUsername())
		w.mustHaveRun(t, 1)
	})

	t.Run("an auth interceptor in front", func(t *testing.T) {
		allowed := true

		w := start(t, setup{before: authorised(&allowed)}, answering("secret"))
		w.pay(t, "key").mustAnswer(t, "secret")

		allowed = false
		w.pay(t, "key").mustFail(t, codes.PermissionDenied, "go away")
		w.mustHaveRun(t, 1)
	})
}

func TestErrorOfTheReplayCheckIsNotOurs(t *testing.T) {
	elsewhere := start(t, setup{scope: noScope}, nil)
	w := start(t, setup{server: []interceptor.ServerOption{
		interceptor.WithReplayCheck(func(ctx context.Context, _ any) error {
			return elsewhere.call(withKey(ctx, "key"), payment()).err
		}),
	}}, nil)

	w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)

	if info := w.pay(t, "key").info(t); info.GetDomain() != interceptor.DownstreamDomain {
		t.Errorf("the domain is %q, as if this server had rejected the call", info.GetDomain())
	}
}

func authorised(allowed *bool) []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if !*allowed {
				return nil, status.Error(codes.PermissionDenied, "go away")
			}

			return handler(ctx, req)
		},
	}
}

func TestF24_KeyReusedWhileTheStoreIsClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		w := start(t, setup{store: faults, server: []interceptor.ServerOption{forbidden()}}, nil)
		w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusExecuted)

		faults.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
			time.Sleep(time.Second)

			return faults.Store.Claim(ctx, op)
		}

		// The second call follows the first one, whose claim the store answers with the record.
		same := w.payInBackground(t)

		synctest.Wait()

		w.call(withKey(t.Context(), "key"), otherPayment()).mustBe(t, keyReused)
		(<-same).mustFail(t, codes.PermissionDenied, "not yours any more")

		if n := faults.claims.Load(); n != 2 {
			t.Errorf("the store was asked %d times, want once for each flight", n)
		}
	})
}
