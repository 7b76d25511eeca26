package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// The defaults of the options.
const (
	DefaultPrefetch        = 16
	DefaultConsumerTimeout = 30 * time.Minute
)

// Option changes a consumer under construction.
type Option func(*Consumer)

// WithPrefetch sets how many messages the consumer has at a time. It handles all of them side by side; those that wait for their next
// delivery count, too. The default is 16; the range is 1 to 65,535.
func WithPrefetch(n int) Option { return func(c *Consumer) { c.prefetch = n } }

// WithMessage sets a function that changes the message of a delivery before it is handled. It may set the id to another property, or add
// properties as headers. It depends on nothing but the delivery. The default, and nil, changes nothing.
func WithMessage(change func(d *amqp.Delivery, m *consume.Message)) Option {
	return func(c *Consumer) { c.change = change }
}

// WithConsumerTimeout sets the time after which the server ends a consumer that has not acknowledged a message: consumer_timeout in the
// server's configuration. The consumer gives a message back before nine tenths of it are over, so a message may wait for less than the
// delay of the decision. The default is 30 minutes, as the server's is; at least a minute. It does not bound the run: Policy.MaxRun does.
func WithConsumerTimeout(d time.Duration) Option { return func(c *Consumer) { c.timeout = d } }

// WithBackoff sets how long the consumer waits before it makes a connection, after the given number of failures in a row, which is at
// least 1. The default, and nil, is half a second, doubled each time, up to 30 seconds, and spread by half either way.
func WithBackoff(backoff func(failures int) time.Duration) Option {
	return func(c *Consumer) { c.backoff = backoff }
}

// WithReport sets a function that gets what happens. It must be safe for concurrent use, and return quickly. The default, and nil, writes
// to slog everything that has an error or is a dead letter.
func WithReport(report func(ctx context.Context, r Report)) Option {
	return func(c *Consumer) { c.report = report }
}

// Report is what has become of a message or, if Message is nil, of a connection.
type Report struct {
	// Message is the message, as the handler got it.
	Message *consume.Message
	// Decision is what the handler has decided.
	Decision consume.Decision
	// Err is why the decision was not carried out, or why the connection has ended. A message whose decision was not carried out is
	// delivered again; a dead letter that was refused is sent again before, and each refusal is reported.
	Err error
}

// logReport is the report that is used by default.
func logReport(ctx context.Context, r Report) {
	switch {
	case r.Message == nil:
		slog.WarnContext(ctx, "oncerabbit: no connection, trying again", "error", r.Err)
	case r.Err != nil:
		slog.WarnContext(ctx, "oncerabbit: the message stays in its queue", "queue", r.Message.Source, "id", r.Message.ID,
			"decision", r.Decision.Action.String(), "cause", string(r.Decision.Cause), "error", r.Err)
	case r.Decision.Action == consume.DeadLetter:
		slog.WarnContext(ctx, "oncerabbit: dead letter", "queue", r.Message.Source, "id", r.Message.ID,
			"cause", string(r.Decision.Cause), "error", r.Decision.Err)
	}
}

// validate reports everything that is wrong.
func (c *Consumer) validate() error {
	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oncerabbit: "+format, args...)) }

	if c.queue == "" {
		addf("the consumer has no queue: name one")
	}

	if c.handle == nil {
		addf("the consumer has no handler: make one with consume.Handler")
	}

	if c.dead == nil {
		addf("the consumer has no way for dead letters: use ByPublishing or ByReject")
	} else if c.dead.loops(c.queue) {
		addf("the dead letters of the queue %q go to the same queue: name another one", c.queue)
	}

	const maxPrefetch = 1<<16 - 1
	if c.prefetch < 1 || c.prefetch > maxPrefetch {
		addf("WithPrefetch is %d: give 1 to 65,535", c.prefetch)
	}

	if c.timeout < time.Minute {
		addf("WithConsumerTimeout is %v: give a minute or more", c.timeout)
	}

	return errors.Join(errs...)
}

// The default backoff.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
	doublings   = 6
)

func backoff(failures int) time.Duration {
	d := min(firstWait<<min(failures-1, doublings), longestWait)

	return d/2 + rand.N(d) //nolint:gosec // not a secret
}
