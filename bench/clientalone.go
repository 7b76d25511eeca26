package main

import (
	"context"
	"fmt"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientAlone measures the client interceptor without a network and without failures.
func (c *config) clientAlone(ctx context.Context) error {
	variants, err := clientVariants(ctx)
	if err != nil {
		return err
	}

	return c.play(ctx, &contest{
		id: "client", question: "What does the client interceptor add to a call, without the network?",
		lost: func(of func(string) row) string {
			fresh := of("fresh key")

			return fmt.Sprintf("%s of CPU and %s allocations.", nanoText(fresh.adds(invoker, cpu)), count(fresh.adds(invoker, allocs)))
		},
		about: "The invoker answers at once, as gRPC does with the answer of a protected server.",
		columns: []column{
			more("CPU over the invoker (aim: 2000 ns)", invoker, moreNanos, cpu),
			more("allocations", invoker, moreTenths, allocs),
			more("memory", invoker, moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: 50_000, variants: variants,
	})
}

// invoker is the way without an interceptor.
const invoker = "invoker"

func clientVariants(ctx context.Context) ([]variant, error) {
	budget, err := retry.NewBudget(10, 0.1)
	if err != nil {
		return nil, err
	}

	var problem error

	client := func(opts ...interceptor.ClientOption) grpc.UnaryClientInterceptor {
		intercept, err := interceptor.UnaryClientInterceptor(opts...)
		if err != nil {
			problem = err
		}

		return intercept
	}

	req, reply := newRequest(), new(testing.SimpleResponse)
	call := func(ctx context.Context, intercept grpc.UnaryClientInterceptor) func() (func(int) error, error) {
		return always(func(int) error { return intercept(ctx, unaryCall, req, reply, nil, answer) })
	}

	all := interceptor.WithAllMethods()
	other := interceptor.WithMethods("/grpc.testing.TestService/EmptyCall")
	policy := interceptor.WithRetry(retry.Policy{AttemptTimeout: time.Second, Budget: budget})

	return []variant{
		{way: invoker, start: call(ctx, invokeAlone)},
		{way: "fresh key", start: call(ctx, client(all))},
		{way: "key from the context", start: call(onlyonce.ContextWithKey(ctx, newKey(1)), client(all))},
		{way: "fresh key, retry budget, attempt timeout", start: call(ctx, client(all, policy))},
		{way: "method that is not protected", start: call(ctx, client(other))},
		{way: "go-grpc-middleware retry (no key)", start: call(ctx, middleware.UnaryClientInterceptor(middleware.WithMax(maxAttempts)))},
	}, problem
}

func invokeAlone(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	return invoker(ctx, method, req, reply, cc, opts...)
}

// answer is an invoker that answers at once, as gRPC does with the answer of a protected server.
func answer(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	for _, opt := range opts {
		switch opt := opt.(type) {
		case grpc.TrailerCallOption:
			*opt.TrailerAddr = executed
		case grpc.PeerCallOption:
			*opt.PeerAddr = peer.Peer{}
		case grpc.OnFinishCallOption:
			opt.OnFinish(nil)
		}
	}

	return nil
}

var executed = metadata.MD{interceptor.StatusTrailer: {string(onlyonce.StatusExecuted)}} //nolint:gochecknoglobals // never modified
