package service

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// Dial connects to another service. Calls from a run get keys derived from the key of the run.
func (s *Service) Dial(name string, attempt time.Duration) (*grpc.ClientConn, error) {
	conn, err := Dial(s.Others[name], s.trace, Retry(attempt), s.Without)
	if err != nil {
		return nil, err
	}

	s.close = append(s.close, conn.Close)

	return conn, nil
}

// Retry returns the retry policy of all clients, for attempts of this length.
func Retry(attempt time.Duration) retry.Policy {
	return retry.Policy{
		MaxAttempts: 6, BaseDelay: 20 * time.Millisecond, MaxDelay: 300 * time.Millisecond, AttemptTimeout: attempt,
	}
}

// Dial connects to a service, with or without the kit. Both have the same retry policy.
func Dial(target string, trace *Trace, policy retry.Policy, without bool) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The default delay of one second before a reconnect would dominate the demo.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 50 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDisableRetry(),
	}

	if without {
		opts = append(opts, grpc.WithChainUnaryInterceptor(plainRetries(trace, policy)))
	} else {
		keyed, err := interceptor.DialOptions(interceptor.WithRetry(policy), interceptor.WithAttemptObserver(trace.Attempt))
		if err != nil {
			return nil, fmt.Errorf("configuring a client: %w", err)
		}

		opts = append(opts, keyed...)
	}

	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}

	return conn, nil
}

// plainRetries retries without onlyonce.
func plainRetries(trace *Trace, policy retry.Policy) grpc.UnaryClientInterceptor {
	options := retry.Options{Classify: func(a retry.Attempt) retry.Decision {
		return retry.Decision{Retry: a.TimedOut || status.Code(a.Err) == codes.Unavailable}
	}}

	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		options := options
		options.Observe = func(a retry.Attempt) { trace.Attempt(ctx, interceptor.Attempt{Attempt: a, Method: method}) }

		_, err := retry.Do(ctx, policy, options, func(ctx context.Context, _ int) (struct{}, error) {
			return struct{}{}, invoker(ctx, method, req, reply, cc, opts...)
		})

		return err // a gRPC status
	}
}
