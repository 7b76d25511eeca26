package interceptor

import (
	"context"
	"slices"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/retry"
)

// WithKey gives one call an idempotency key. It overrides onlyonce.ContextWithKey and a generated key. The key is sent for every method,
// but only protected methods are retried. If the key breaks the key rules, or if the outgoing metadata or the request has another key, the
// call fails with IDEMPOTENCY_KEY_INVALID. It is then not sent.
//
// On a connection without the client interceptor, and on a stream, the key is sent as credentials of the call:
//   - Nothing is retried, and errors have no verdict and no KeyOf. A server with the kit refuses a stream with a key.
//   - A key that breaks the contract's rules, or that differs from the outgoing metadata, fails the call with INTERNAL before it is sent.
//   - gRPC uses only the last grpc.PerRPCCredentials of a call. If the call has such an option and WithKey, only the later of the two is
//     sent. With the interceptor both are sent. Credentials of the connection are always sent.
func WithKey(key string) grpc.CallOption {
	return keyOption{PerRPCCredsCallOption: grpc.PerRPCCredsCallOption{Creds: keyCredentials(key)}, key: key}
}

// WithCallRetry changes the retry policy for one call of a protected method, field by field. A field that is zero keeps the value of the
// connection, also the shared budget. MaxElapsed can only be shortened. If the policy is invalid, the call fails with INVALID_ARGUMENT
// before it is sent. Without the client interceptor the option has no effect.
func WithCallRetry(p retry.Policy) grpc.CallOption { return retryOption{policy: p} }

// WithoutRetry makes a single attempt for one call, with its key. The client interceptor switches gRPC's own retries off for keyed calls,
// so a service config adds no attempts. With UnaryClientKeyInterceptor alone the option has no effect.
func WithoutRetry() grpc.CallOption { return WithCallRetry(retry.Policy{MaxAttempts: 1}) }

type keyOption struct {
	grpc.PerRPCCredsCallOption // sends the key if no interceptor removes the option

	key string
}

type retryOption struct {
	grpc.EmptyCallOption

	policy retry.Policy
}

// attemptOption marks the attempts of a call. A second retry interceptor behind the first then does not multiply them.
type attemptOption struct{ grpc.EmptyCallOption }

// withoutKey returns the options without WithKey, whose key is in the metadata already.
func withoutKey(opts []grpc.CallOption) []grpc.CallOption {
	rest, _ := split[keyOption](opts)

	return rest
}

// split separates the options of one type from the others. It does not change its argument.
func split[T grpc.CallOption](opts []grpc.CallOption) (rest []grpc.CallOption, found []T) {
	if _, ok := lastOption[T](opts); !ok {
		return opts, nil
	}

	for _, opt := range opts {
		if option, ok := opt.(T); ok {
			found = append(found, option)
		} else {
			rest = append(rest, opt)
		}
	}

	return rest, found
}

// once wraps an interceptor so that grpc.OnFinish is called once for each call, and not once for each attempt.
func once(intercept grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		rest, finish := split[grpc.OnFinishCallOption](opts)
		err := intercept(ctx, method, req, reply, cc, invoker, rest...)

		for _, option := range finish {
			option.OnFinish(err)
		}

		return err
	}
}

// lastOption returns the last option of a type. It overrides the earlier ones.
func lastOption[T grpc.CallOption](opts []grpc.CallOption) (T, bool) {
	for _, opt := range slices.Backward(opts) {
		if found, ok := opt.(T); ok {
			return found, true
		}
	}

	var none T

	return none, false
}
