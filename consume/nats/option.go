package oncenats

import (
	"log/slog"

	"github.com/onlyonce-go/onlyonce/consume"
)

// Option changes a consumer under construction.
type Option func(*Consumer)

// WithWorkers sets how many messages are handled at a time. The default is 1; at least 1. Messages are in order only with one worker. A
// message that is delivered again comes after others even then.
func WithWorkers(n int) Option { return func(c *Consumer) { c.workers = n } }

// WithLogger sets where the consumer reports failures that Run does not return: of an acknowledgement, an extension, a request for messages
// or a dead letter. It also reports every dead letter. The default, and nil, is slog.Default().
func WithLogger(log *slog.Logger) Option { return func(c *Consumer) { c.log = log } }

// WithObserver sets a function that is called with every decision before it is carried out, such as for metrics. It must be safe for
// concurrent use. The default, and nil, is none.
func WithObserver(observe func(m *consume.Message, d consume.Decision)) Option {
	return func(c *Consumer) { c.observe = observe }
}
