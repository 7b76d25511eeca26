package onceconnect

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/calloption"
	"github.com/onlyonce-go/onlyonce/retry"
)

// Client is a [connect.Interceptor] for clients. See [NewClient].
type Client struct{ intercept grpc.UnaryClientInterceptor }

// NewClient returns an interceptor that gives every logical call of a protected method one key, and retries the call with that key. The
// options, the defaults and the rules are those of [interceptor.UnaryClientInterceptor]. NewClient fails if an option is invalid.
//
// The key comes from the first of these:
//   - onlyonce.ContextWithKey,
//   - the request header Idempotency-Key, which is read as a server reads it: see [NewServer],
//   - the request field that is marked as the key,
//   - inside a run, for a protected method: a key that is derived from the key of the run,
//   - outside of a run, for a protected method: a fresh key.
//
// The error of a keyed call is a *connect.Error with all details. onlyonce.VerdictOf returns its meaning for the key, and
// interceptor.KeyOf returns the key.
//
//   - One Client may serve any number of connect-go's clients. They share its retry budget.
//   - All servers behind the host of a base URL count as one server when they confirm that they protect a method.
//   - An interceptor that repeats calls goes behind the Client: connect.WithInterceptors(client, theOther).
//   - Streams pass unchanged.
func NewClient(opts ...interceptor.ClientOption) (*Client, error) {
	intercept, err := interceptor.UnaryClientInterceptor(opts...)
	if err != nil {
		return nil, err
	}

	return &Client{intercept: intercept}, nil
}

// ContextWithRetry overrides the retry policy of the [Client] for the calls of a context, field by field. A field that is zero keeps the
// value of the Client, which includes the shared budget.
func ContextWithRetry(ctx context.Context, p retry.Policy) context.Context {
	return context.WithValue(ctx, policyKey{}, p)
}

// ContextWithoutRetry limits each call of a context to one attempt. The call still has a key.
func ContextWithoutRetry(ctx context.Context) context.Context {
	return ContextWithRetry(ctx, retry.Policy{MaxAttempts: 1})
}

type policyKey struct{}

// WrapUnary implements [connect.Interceptor]: see [NewClient].
func (c *Client) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if !req.Spec().IsClient {
			return next(ctx, req)
		}

		if within(ctx, req) {
			return next(ctx, req) // the interceptor is installed twice
		}

		call := &clientCall{req: req, next: next, caller: ctx}
		opts := append(call.options[:0], calloption.Target{Name: req.Peer().Addr})

		if policy, ok := ctx.Value(policyKey{}).(retry.Policy); ok {
			opts = append(opts, interceptor.WithCallRetry(policy))
		}

		if mark, ok := ctx.Value(resumedKey{}).(*resumed); ok {
			opts = append(opts, mark.option())
		}

		if err := c.intercept(call.outgoing(ctx), req.Spec().Procedure, req.Any(), nil, nil, call.invoke, opts...); err != nil {
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
