package interceptor

import (
	"slices"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/retry"
)

// WithKey gives one call an idempotency key. It goes before onlyonce.ContextWithKey and a generated key; a different key in
// the outgoing metadata is an error. The key is sent whatever the method, but only protected methods are retried. A key that
// breaks the key rules fails the call before it is sent, with KEY_INVALID.
func WithKey(key string) grpc.CallOption { return keyOption{key: key} }

// WithCallRetry changes the retry policy for one call, field by field: what is zero stays as it is for the connection, the
// shared budget included.
func WithCallRetry(p retry.Policy) grpc.CallOption { return retryOption{policy: p} }

// WithoutRetry sends one call once, with its key. It does not switch off gRPC's own retries, where a service config asks for
// them.
func WithoutRetry() grpc.CallOption { return WithCallRetry(retry.Policy{MaxAttempts: 1}) }

type keyOption struct {
	grpc.EmptyCallOption

	key string
}

type retryOption struct {
	grpc.EmptyCallOption

	policy retry.Policy
}

// attemptOption marks the attempts of a call, so that a second retry interceptor behind the first does not multiply them.
type attemptOption struct{ grpc.EmptyCallOption }

// lastOption returns the last option of a type, which is the one that counts.
func lastOption[T grpc.CallOption](opts []grpc.CallOption) (T, bool) {
	for _, opt := range slices.Backward(opts) {
		if found, ok := opt.(T); ok {
			return found, true
		}
	}

	var none T

	return none, false
}
