package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// The policy of all: up to five attempts, exponential backoff between 10 and 100 ms.
const (
	maxAttempts = 5
	baseDelay   = 10 * time.Millisecond
	maxDelay    = 100 * time.Millisecond

	nativePolicy = `{
		"methodConfig": [{"name": [{}], "retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}}]%s
	}`
	nativeThrottling = `, "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}`
)

// byGRPC is the client of gRPC's own retries.
const byGRPC = "gRPC's own"

// retrier is a client that retries, and the server that it calls.
type retrier struct {
	name   string
	client testing.TestServiceClient
	server *flaky
}

// retries measures how clients behave when attempts fail.
func (c *config) retries(ctx context.Context) error {
	const calls = 640

	var (
		variants []variant
		stops    []func()
	)

	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()

	for _, failing := range []float64{0.1, 0.5, 1} {
		retriers, stop, err := newRetriers(ctx)
		stops = append(stops, stop)

		if err != nil {
			return err
		}

		for _, r := range retriers {
			variants = append(variants, timed(r.variant(ctx, failing, calls), calls))
		}
	}

	return c.play(ctx, &contest{
		id: "retries", question: "How much load do retries add when attempts fail, and how many calls do they save?",
		lost: func(of func(string) row) string {
			const half = ", 50 % fail"

			return fmt.Sprintf("If half of the attempts fail, a call of onlyonce makes %s attempts, one of gRPC's own retries %s.",
				ratio(of(byOnlyonce+half).median(attempts)), ratio(of(byGRPC+half).median(attempts)))
		},
		about: "The server answers attempts at random with UNAVAILABLE, for onlyonce marked as not executed. All clients make up to 5 " +
			"attempts, with a backoff from 10 to 100 ms; 256 callers over TCP. Attempts per call are the load on a server that fails.",
		columns: []column{
			figure("attempts per call", ratio, attempts),
			figure("calls succeed", percent, func(s sample) float64 { return s.succeeded }),
			figure("median", millis, latency),
			figure("99th percentile", millis, func(s sample) float64 { return s.slowest }),
		},
		callers: 256, calls: calls, variants: variants,
	})
}

func attempts(s sample) float64 { return s.attempts }

// variant makes calls, of which the share failing of the attempts fails.
func (r *retrier) variant(ctx context.Context, failing float64, calls int) variant {
	var (
		rounds    uint64
		succeeded atomic.Int64
	)

	return variant{
		way: r.name, kind: fmt.Sprintf("%.0f %% fail", failing*100),
		start: func() (func(int) error, error) {
			rounds++
			r.server.reset(failing, rounds)
			succeeded.Store(0)

			return func(int) error {
				_, err := r.client.UnaryCall(ctx, request)

				switch status.Code(err) {
				case codes.OK:
					succeeded.Add(1)
				case codes.Unavailable:
				default:
					return err
				}

				return nil
			}, nil
		},
		finish: func(s *sample) error {
			s.attempts = float64(r.server.attempts) / float64(calls)
			s.succeeded = float64(succeeded.Load()) / float64(calls)

			return nil
		},
	}
}

func newRetriers(ctx context.Context) ([]retrier, func(), error) {
	var (
		retriers []retrier
		servers  []*loopback
		problem  error
	)

	stop := func() {
		for _, server := range servers {
			server.stop()
		}
	}

	add := func(name string, mark func(error) error, dial []grpc.DialOption, opts ...grpc.ServerOption) {
		svc := &flaky{mark: mark}

		server, err := listen(ctx, &service{fail: svc.fail}, opts...)
		if err != nil {
			problem = err

			return
		}

		servers = append(servers, server)

		client, err := server.dial(dial...)
		if err != nil {
			problem = err
		}

		retriers = append(retriers, retrier{name: name, client: client, server: svc})
	}

	onlyonceWith := func(name string, budget *retry.Budget) {
		protect, err := protectedServer()
		if err != nil {
			problem = err
		}

		both, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{
			MaxAttempts: maxAttempts, BaseDelay: baseDelay, MaxDelay: maxDelay, Budget: budget,
		}))
		if err != nil {
			problem = err
		}

		add(name, onlyonce.NotExecuted, both, protect)
	}
	plain := func(err error) error { return err }

	budget, err := retry.NewBudget(10, 0.1)
	if err != nil {
		return nil, stop, err
	}

	onlyonceWith(byOnlyonce, nil)
	add("go-grpc-middleware", plain, []grpc.DialOption{grpc.WithUnaryInterceptor(middleware.UnaryClientInterceptor(
		middleware.WithMax(maxAttempts), middleware.WithCodes(codes.Unavailable),
		middleware.WithBackoff(middleware.BackoffExponentialWithJitterBounded(baseDelay, 0.2, maxDelay)),
	))})
	add(byGRPC, plain, []grpc.DialOption{grpc.WithDefaultServiceConfig(fmt.Sprintf(nativePolicy, ""))})
	onlyonceWith(byOnlyonce+", budget", budget)
	add(byGRPC+", throttling", plain, []grpc.DialOption{grpc.WithDefaultServiceConfig(fmt.Sprintf(nativePolicy, nativeThrottling))})

	return retriers, stop, problem
}

// flaky lets attempts fail, in the same sequence for every round of the same number.
type flaky struct {
	mark func(error) error

	mu       sync.Mutex
	failing  float64
	random   *rand.Rand
	attempts int
}

func (f *flaky) reset(failing float64, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.failing, f.attempts = failing, 0
	f.random = rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same for all
}

func (f *flaky) fail() error {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.attempts++

	if f.random.Float64() < f.failing {
		return f.mark(status.Error(codes.Unavailable, "try again"))
	}

	return nil
}
