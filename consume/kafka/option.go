package oncekafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce/consume"
)

// The defaults of the options.
const (
	DefaultBacklog    = 1000
	DefaultRevokeWait = 10 * time.Second
)

// Option changes a consumer under construction.
type Option func(*Consumer)

// WithIDHeader sets the header that has the id of a message, such as message-id or, for CloudEvents, ce_id. Its first value counts. The
// default is none: messages have no id.
func WithIDHeader(name string) Option { return func(c *Consumer) { c.idHeader = name } }

// WithBacklog sets how many records of a partition wait in memory before the consumer pauses fetching it. One fetch may exceed it. The
// default is 1,000; at least 1.
func WithBacklog(records int) Option { return func(c *Consumer) { c.backlog = records } }

// WithRevokeWait sets how long a partition that goes to another member waits for the record that is being handled. The default is 10
// seconds, and 0 waits for nothing. It must be shorter than kgo.RebalanceTimeout, which is 60 seconds by default. Otherwise Run returns
// [ErrRevokeWait].
func WithRevokeWait(d time.Duration) Option { return func(c *Consumer) { c.revokeWait = d } }

// WithReport sets a function that gets what happens. It must be safe for concurrent use, and return quickly. The default, and nil, writes
// to slog everything that has an error or is a dead letter.
func WithReport(report func(ctx context.Context, r Report)) Option {
	return func(c *Consumer) { c.report = report }
}

// Report is what has become of a record or, if Message is nil, of a fetch or a commit.
type Report struct {
	// Message is the message, as the handler got it.
	Message *consume.Message
	// Decision is what the handler has decided.
	Decision consume.Decision
	// Err is why the decision was not carried out, or why a fetch or a commit has failed. A dead letter that was refused is produced
	// again after 10 seconds, and each refusal is reported.
	Err error
}

// logReport is the report that is used by default.
func logReport(ctx context.Context, r Report) {
	switch {
	case r.Message == nil:
		slog.WarnContext(ctx, "oncekafka: a request to Kafka has failed", "error", r.Err)
	case r.Err != nil:
		slog.WarnContext(ctx, "oncekafka: the record is not done, and holds up its partition", "position", r.Message.Position,
			"decision", r.Decision.Action.String(), "cause", string(r.Decision.Cause), "error", r.Err)
	case r.Decision.Action == consume.DeadLetter:
		slog.WarnContext(ctx, "oncekafka: dead letter", "position", r.Message.Position,
			"cause", string(r.Decision.Cause), "error", r.Decision.Err)
	}
}

// validate reports everything that is wrong.
func (c *Consumer) validate() error {
	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oncekafka: "+format, args...)) }

	if c.handle == nil {
		addf("the consumer has no handler: make one with consume.Handler")
	}

	if c.deadLetters == "" {
		addf("the consumer has no topic for dead letters: name one")
	}

	if c.backlog < 1 {
		addf("WithBacklog is %d: give 1 or more", c.backlog)
	}

	if c.revokeWait < 0 {
		addf("WithRevokeWait is %v: give 0 or more", c.revokeWait)
	}

	if err := kgo.ValidateOpts(c.options(nil)...); err != nil {
		addf("the options of the client are invalid: %w", err)
	}

	return errors.Join(errs...)
}
