package interceptor

import (
	"slices"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/retry"
)

// WithKey gives one call an idempotency key. It goes before every other source of a key.
func WithKey(key string) grpc.CallOption { return keyOption{key: key} }

// WithCallRetry changes the retry policy for one call, field by field: what is zero stays as it is for the connection, the
// shared budget included.
func WithCallRetry(p retry.Policy) grpc.CallOption { return retryOption{policy: p} }

// WithoutRetry makes one call at most once, with its key.
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
