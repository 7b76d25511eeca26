package interceptor_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// natively renders a policy for gRPC's own retries.
func natively(t *testing.T, p retry.Policy, fullMethods ...string) grpc.DialOption {
	t.Helper()

	config, err := retry.ServiceConfig(p, fullMethods...)
	if err != nil {
		t.Fatal(err)
	}

	return grpc.WithDefaultServiceConfig(config)
}

func TestServiceConfigMakesTheSameAttemptsNatively(t *testing.T) {
	released := onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))
	asked := turn{code: codes.Unavailable, status: "rejected", reason: onlyonce.ReasonInProgress, pushback: []string{"700"}}

	tests := map[string]struct {
		policy   retry.Policy
		names    []string
		setup    setup
		handle   func() handlerFunc
		attempts int
	}{
		"until it succeeds": {retry.Policy{}, nil, setup{}, func() handlerFunc {
			handlers := slices.Repeat([]handlerFunc{failing(released)}, 2)

			return scriptedHandlers(append(handlers, answering("paid"))...)
		}, 3},
		"as many as there may be": {retry.Policy{MaxAttempts: 3}, nil, setup{}, func() handlerFunc { return failing(released) }, 3},
		"five, as by default":     {retry.Policy{}, []string{unaryCall}, setup{}, func() handlerFunc { return failing(released) }, 5},
		"of a whole service": {retry.Policy{}, []string{"/" + testService + "/"}, setup{}, func() handlerFunc {
			return failing(released)
		}, 5},
		"not of an unknown outcome": {retry.Policy{}, nil, setup{}, func() handlerFunc {
			return failing(status.Error(codes.Internal, "no"))
		}, 1},
		"not of an answer": {retry.Policy{}, nil, setup{}, func() handlerFunc { return failing(status.Error(codes.NotFound, "no")) }, 1},
		"when the server asks to": {
			retry.Policy{BaseDelay: time.Millisecond}, nil, setup{unprotected: true},
			func() handlerFunc { return scripted(asked, asked, paid()) }, 3,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, way := range []string{"native", "ours"} {
				synctest.Test(t, func(t *testing.T) {
					seen := &arrivals{}
					test.setup.before = seen.before()
					w := start(t, test.setup, test.handle())
					key, _ := halves(t)

					conn := w.dial(t, natively(t, test.policy, test.names...), grpc.WithChainUnaryInterceptor(key))
					if way == "ours" {
						conn = w.clientConn(t, interceptor.WithRetry(test.policy))
					}

					callOn(t.Context(), conn, unaryCall, payment())
					seen.mustBe(t, test.attempts)

					for _, key := range seen.values(interceptor.KeyHeader) {
						if key == "" || key != seen.values(interceptor.KeyHeader)[0] {
							t.Errorf("%s: the keys are %q", way, seen.values(interceptor.KeyHeader))
						}
					}

					for i, gap := range seen.gaps() {
						most := test.policy.Backoff(i+1, 1) * 6 / 5 // gRPC's jitter goes a fifth beyond

						if test.setup.unprotected {
							most = 700 * time.Millisecond
						}

						if gap > most+time.Millisecond || test.setup.unprotected && gap < most {
							t.Errorf("%s: retry %d came after %v, want %v at most", way, i+1, gap, most)
						}
					}
				})
			}
		})
	}
}

func TestF53_ServiceConfigDoesNotMultiplyWithOurRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))))
		policy := retry.Policy{MaxAttempts: 3}

		dial, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(policy))
		if err != nil {
			t.Fatal(err)
		}

		callOn(t.Context(), w.dial(t, append(dial, natively(t, policy))...), unaryCall, payment())
		seen.mustBe(t, 3)
	})
}

func TestServiceConfigThrottlesAsTheBudgetDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, err := retry.NewBudget(4, 0.5)
		if err != nil {
			t.Fatal(err)
		}

		for _, way := range []string{"native", "ours"} {
			seen := &arrivals{}
			w := start(t, setup{before: seen.before()}, failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))))
			policy := retry.Policy{Budget: budget}
			key, _ := halves(t)

			conn := w.dial(t, natively(t, policy), grpc.WithChainUnaryInterceptor(key))
			if way == "ours" {
				conn = w.clientConn(t, interceptor.WithRetry(policy))
			}

			for range 3 {
				callOn(t.Context(), conn, unaryCall, payment())
			}

			seen.mustBe(t, 4) // two of the first call, and then no retry
		}
	})
}

func TestClientWaitsUntilTheServerIsThere(t *testing.T) {
	const down = 10 * time.Second

	tests := map[string]struct {
		policy retry.Policy
		wait   bool
		paid   bool
	}{
		"waiting":                                    {retry.Policy{}, true, true},
		"waiting, for some time in each attempt":     {retry.Policy{AttemptTimeout: 3 * time.Second, MaxAttempts: 20}, true, true},
		"not waiting, and giving up":                 {retry.Policy{}, false, false},
		"not waiting, and trying for long enough":    {retry.Policy{MaxAttempts: 1000, BaseDelay: time.Second}, false, true},
		"waiting, and a timeout that gives up first": {retry.Policy{AttemptTimeout: time.Second, MaxAttempts: 2}, true, false},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{}, answering("paid"))
				began := time.Now()

				dial, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(test.policy))
				if err != nil {
					t.Fatal(err)
				}

				conn := w.dial(t, append(dial, grpc.WithDefaultCallOptions(grpc.WaitForReady(test.wait)),
					grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
						if time.Since(began) < down {
							return nil, errors.New("nobody is there")
						}

						return w.listener.dial(ctx, addr)
					}))...)

				a := callOn(t.Context(), conn, unaryCall, payment())
				if (a.err == nil) != test.paid || test.paid != (a.at.Sub(began) >= down) {
					t.Errorf("the answer after %v is %v, %v", a.at.Sub(began), a.resp, a.err)
				}

				if test.paid {
					a.mustHaveStatus(t, onlyonce.StatusExecuted)
				}
			})
		})
	}
}

func TestEachTargetHasItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budgets, err := retry.NewBudgets(4, 1)
		if err != nil {
			t.Fatal(err)
		}

		fails := failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no")))
		seen, calm := &arrivals{}, &arrivals{}
		troubled, other := start(t, setup{before: seen.before()}, fails), start(t, setup{before: calm.before()}, nil)

		option := interceptor.WithBudgets(budgets)
		first, second := troubled.clientConn(t, option), troubled.clientConn(t, option)

		for _, conn := range []*grpc.ClientConn{first, second, first} {
			callOn(t.Context(), conn, unaryCall, payment())
		}

		seen.mustBe(t, 4) // the connections share it

		dial, err := interceptor.DialOptions(interceptor.WithAllMethods(), option)
		if err != nil {
			t.Fatal(err)
		}

		elsewhere, err := grpc.NewClient("passthrough:///other.test", append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(other.listener.dial))...)
		if err != nil {
			t.Fatal(err)
		}

		defer elsewhere.Close()

		callOn(t.Context(), elsewhere, unaryCall, payment()).mustAnswer(t, "run 1")

		if left := budgets.For(first.Target()).Tokens(); left != 0 {
			t.Errorf("the troubled target has %v tokens", left)
		}

		if all := budgets.Tokens(); len(all) != 2 || all[elsewhere.Target()] != 4 {
			t.Errorf("the targets have %v", all)
		}
	})
}

func TestBudgetsThatCannotHoldAreRefused(t *testing.T) {
	budget, _ := retry.NewBudget(10, 0.1)
	budgets, _ := retry.NewBudgets(10, 0.1)

	for _, opts := range [][]interceptor.ClientOption{
		{interceptor.WithBudgets(nil)},
		{interceptor.WithBudgets(budgets), interceptor.WithRetry(retry.Policy{Budget: budget})},
	} {
		if _, err := interceptor.DialOptions(opts...); err == nil {
			t.Error("the options are accepted")
		}
	}
}
