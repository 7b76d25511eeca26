package onceconnect

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/calloption"
	"github.com/onlyonce-go/onlyonce/retry"
)

// Client is a [connect.Interceptor] for clients. See [NewClient].
type Client struct{ intercept grpc.UnaryClientInterceptor }

// NewClient returns the interceptor that gives every logical call of a protected method one key and retries it with that key. It fails if
// an option is invalid. Options, protected methods and rules are those of [interceptor.UnaryClientInterceptor].
//
// The key comes from the first of these:
//   - onlyonce.ContextWithKey,
//   - the request header Idempotency-Key,
//   - the request field that is marked as the key,
//   - for a protected method inside a run: the key of the run, from which it is derived,
//   - for a protected method outside of a run: a fresh key.
//
// One Client may serve any number of connect-go's clients, and they share its retry budget. The host of the base URL takes the place of the
// target and of the replica: servers behind it confirm together that they protect a method.
//
// The error of a keyed call is a *connect.Error with all details. onlyonce.VerdictOf returns its meaning for the key, and
// interceptor.KeyOf the key. Streams pass unchanged.
//
// An interceptor that makes several calls of one goes behind this one: connect.WithInterceptors(client, theOther).
func NewClient(opts ...interceptor.ClientOption) (*Client, error) {
	intercept, err := interceptor.UnaryClientInterceptor(opts...)
	if err != nil {
		return nil, err
	}

	return &Client{intercept: intercept}, nil
}

// ContextWithRetry changes the retry policy for the calls of a context, field by field. Fields that are zero keep the value of the client,
// also the shared budget.
func ContextWithRetry(ctx context.Context, p retry.Policy) context.Context {
	return context.WithValue(ctx, policyKey{}, p)
}

// ContextWithoutRetry makes a single attempt for each call of a context, with its key.
func ContextWithoutRetry(ctx context.Context) context.Context {
	return ContextWithRetry(ctx, retry.Policy{MaxAttempts: 1})
}

type policyKey struct{}

// WrapUnary implements [connect.Interceptor].
func (c *Client) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if !req.Spec().IsClient {
			return next(ctx, req)
		}

		if within(ctx, req) {
			return next(ctx, req) // the interceptor is installed twice
		}

		call := &clientCall{req: req, next: next}

		opts := []grpc.CallOption{calloption.Target{Name: req.Peer().Addr}}
		if policy, ok := ctx.Value(policyKey{}).(retry.Policy); ok {
			opts = append(opts, interceptor.WithCallRetry(policy))
		}

		if mark, ok := ctx.Value(resumedKey{}).(*resumed); ok {
			opts = append(opts, mark.option())
		}

		// The interceptor reads the key of the request, and the mark of a retry interceptor in front of it, in the outgoing metadata.
		outgoing := metadata.NewOutgoingContext(ctx, contractMetadata(req.Header()))

		if err := c.intercept(outgoing, req.Spec().Procedure, req.Any(), nil, nil, call.invoke, opts...); err != nil {
			return nil, call.failure(err)
		}

		return call.response, nil
	}
}

// WrapStreamingClient implements [connect.Interceptor]. Streams are never protected.
func (c *Client) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor]. It changes nothing.
func (c *Client) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
