package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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

// retrier is a client that retries, and the server that it calls.
type retrier struct {
	name   string
	client testing.TestServiceClient
	server *flaky
}

// retries measures how clients behave when attempts fail.
func (c *config) retries(ctx context.Context) error {
	const title = "Retries"

	if !c.run.MatchString(title + "/") {
		return nil
	}

	var rows [][]string

	for _, failing := range []float64{0.1, 0.5, 1} {
		results, err := c.retriesAt(ctx, failing)
		if err != nil {
			return err
		}

		rows = append(rows, results...)
	}

	printTable(title, "The server answers attempts at random with UNAVAILABLE, for onlyonce marked as not executed. All: up to "+
		"5 attempts, backoff from 10 to 100 ms; 16 callers over TCP. Attempts per call are the load that failures add.",
		[]string{"", "attempts fail", "attempts per call", "calls succeed", "median", "99th percentile"}, rows)

	return nil
}

// retriesAt measures all clients against servers of which a part of the attempts fails.
func (c *config) retriesAt(ctx context.Context, failing float64) ([][]string, error) {
	retriers, stop, err := newRetriers(ctx)
	defer stop()

	if err != nil {
		return nil, err
	}

	results := make([][]outcome, len(retriers))

	for round := range c.rounds {
		for i, r := range retriers {
			r.server.reset(failing, uint64(round))

			got, err := r.play(ctx)
			if err != nil {
				return nil, err
			}

			results[i] = append(results[i], got)
		}
	}

	rows := make([][]string, len(retriers))
	for i, r := range retriers {
		rows[i] = append([]string{r.name, fmt.Sprintf("%.0f %%", failing*100)}, outcomeColumns(results[i])...)
	}

	return rows, nil
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

	onlyonceWith("onlyonce", nil)
	add("go-grpc-middleware", plain, []grpc.DialOption{grpc.WithUnaryInterceptor(middleware.UnaryClientInterceptor(
		middleware.WithMax(maxAttempts), middleware.WithCodes(codes.Unavailable),
		middleware.WithBackoff(middleware.BackoffExponentialWithJitterBounded(baseDelay, 0.2, maxDelay)),
	))})
	add("gRPC's own", plain, []grpc.DialOption{grpc.WithDefaultServiceConfig(fmt.Sprintf(nativePolicy, ""))})
	onlyonceWith("onlyonce, budget", budget)
	add("gRPC's own, throttling", plain, []grpc.DialOption{grpc.WithDefaultServiceConfig(fmt.Sprintf(nativePolicy, nativeThrottling))})

	return retriers, stop, problem
}

// flaky lets attempts fail, in the same sequence for all who ask with the same seed.
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

// outcome is what became of a round of calls.
type outcome struct {
	attempts, succeeded float64 // per call
	half, most          time.Duration
}

func (r *retrier) play(ctx context.Context) (outcome, error) {
	const callers, calls = 16, 640

	var succeeded atomic.Int64

	took := make([]time.Duration, calls)
	req := newRequest()

	_, err := measure(callers, calls, func(i int) error {
		began := time.Now()
		_, err := r.client.UnaryCall(ctx, req)
		took[i] = time.Since(began)

		switch status.Code(err) {
		case codes.OK:
			succeeded.Add(1)
		case codes.Unavailable:
		default:
			return err
		}

		return nil
	})

	slices.Sort(took)

	return outcome{
		attempts:  float64(r.server.attempts) / calls,
		succeeded: float64(succeeded.Load()) / calls,
		half:      took[calls/2],
		most:      took[calls*99/100],
	}, err
}

func outcomeColumns(all []outcome) []string {
	millis := func(of func(outcome) time.Duration) string {
		return fmt.Sprintf("%.1f ms", median(all, func(o outcome) float64 { return of(o).Seconds() * 1000 }))
	}

	return []string{
		fmt.Sprintf("%.2f", median(all, func(o outcome) float64 { return o.attempts })),
		fmt.Sprintf("%.1f %%", median(all, func(o outcome) float64 { return o.succeeded * 100 })),
		millis(func(o outcome) time.Duration { return o.half }),
		millis(func(o outcome) time.Duration { return o.most }),
	}
}
