package interceptor

import (
	"context"
	"log/slog"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

// WithAttemptObserver sets a function that is called after every attempt of a keyed call. The default, and nil, is no function. The call
// waits for the function, so it must return quickly. It must be safe for concurrent use.
func WithAttemptObserver(observe func(ctx context.Context, attempt Attempt)) ClientOption {
	return func(c *clientConfig) { c.observe = observe }
}

// WithClientLogger sets the logger that reports, once per method, that a server does not protect a method that is declared protected. The
// default, and nil, is slog.Default().
func WithClientLogger(logger *slog.Logger) ClientOption {
	return func(c *clientConfig) { c.logger = logger }
}

// Attempt is one attempt of a keyed call.
type Attempt struct {
	retry.Attempt

	// Method and Key identify the logical call. Do not use Key as a metric label: every call has another one.
	Method, Key string
	// Status is the status in the answer of the server. It is empty if there was no answer, or if the answer has no status.
	Status onlyonce.Status
	// Unconfirmed reports that the server seems not to protect the method, although the client declares it protected: OK or an error of the
	// application came without a status. The server has no kit, or an interceptor in front of the kit answered. The call is not retried. Raise
	// an alarm.
	Unconfirmed bool
}

// reportUnconfirmed logs, once per method, that a server does not protect a method that is declared protected.
func (c *clientConfig) reportUnconfirmed(ctx context.Context, method, target, replica string) {
	if c.known.get(method).reported.Swap(true) {
		return
	}

	logger := c.logger
	if logger == nil {
		logger = slog.Default()
	}

	logger.LogAttrs(ctx, slog.LevelWarn, "onlyonce: a server does not protect a method that the client declares protected",
		slog.String("method", method), slog.String("target", target), slog.String("server", replica),
		slog.String("happened", "a call with an idempotency key was answered without the trailer "+StatusTrailer),
		slog.String("remedy", "deploy the kit on all servers of the target first, then on the clients; until then, calls of the method are not "+
			"retried. If all servers have the kit, there are three causes: the method is in shadow mode; an interceptor behind the client "+
			"interceptor does not pass its call options on; an interceptor in front of the server interceptor answers calls"))
}
