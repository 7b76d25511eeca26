package oncenats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce/consume"
)

const (
	// fetchTime bounds one request for a message. The server forgets requests when it is restarted.
	fetchTime = 2 * time.Second
	// pauseTime is how long a worker waits after a request that failed.
	pauseTime = 500 * time.Millisecond
	// settleTime bounds what is sent to the server about one message.
	settleTime = 10 * time.Second
)

// Handle is what consume.Handler returns.
type Handle = func(ctx context.Context, m *consume.Message) consume.Decision

// Consumer handles the messages of a pull consumer. See [New].
type Consumer struct {
	js         jetstream.JetStream
	pull       jetstream.Consumer
	handle     Handle
	deadLetter string
	stream     string // that is consumed
	name       string // of the pull consumer
	every      time.Duration
	workers    int
	log        *slog.Logger
	observe    func(m *consume.Message, d consume.Decision)
}

// New returns a consumer of the messages of a pull consumer. DeadLetter is the subject of dead letters. It fails if messages could be lost:
//   - The AckPolicy of the pull consumer is not AckExplicit.
//   - Its MaxDeliver is set: JetStream then stops delivering a message without a dead letter. The handler's MaxAttempts takes its place.
//   - No stream stores the subject of dead letters, or it is the stream that is consumed.
func New(
	ctx context.Context, js jetstream.JetStream, pull jetstream.Consumer, handle Handle, deadLetter string, opts ...Option,
) (*Consumer, error) {
	info, err := pull.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("oncenats: the consumer's configuration: %w", err)
	}

	c := &Consumer{
		js: js, pull: pull, handle: handle, deadLetter: deadLetter, stream: info.Stream, name: info.Name, every: extendEvery(&info.Config),
		workers: 1,
	}

	for _, opt := range opts {
		opt(c)
	}

	if c.log == nil {
		c.log = slog.Default()
	}

	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oncenats: "+format, args...)) }

	if handle == nil {
		addf("New has no handler: make one with consume.Handler")
	}

	if c.workers < 1 {
		addf("WithWorkers is %d: give 1 or more", c.workers)
	}

	if info.Config.AckPolicy != jetstream.AckExplicitPolicy {
		addf("the AckPolicy of consumer %s is %v: give AckExplicit", info.Name, info.Config.AckPolicy)
	}

	if info.Config.MaxDeliver > 0 {
		addf("the MaxDeliver of consumer %s is %d, after which JetStream drops a message without a dead letter: give -1", info.Name,
			info.Config.MaxDeliver)
	}

	switch stream, err := js.StreamNameBySubject(ctx, deadLetter); {
	case err != nil:
		addf("no stream stores the dead-letter subject %q: %w", deadLetter, err)
	case stream == info.Stream:
		addf("the dead-letter subject %q belongs to the stream that is consumed, %s: give it a stream of its own", deadLetter, stream)
	}

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	return c, nil
}

// Run handles messages until ctx ends, and returns nil then. The messages that are being handled come to their end before. It fails if the
// connection is closed or the pull consumer is deleted. It goes on while the server is away.
func (c *Consumer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var group sync.WaitGroup

	for range c.workers {
		group.Go(func() {
			if err := c.work(ctx); err != nil {
				cancel(err)
			}
		})
	}

	group.Wait()

	if cause := context.Cause(ctx); isFatal(cause) {
		return fmt.Errorf("oncenats: consumer %s of stream %s: %w", c.name, c.stream, cause)
	}

	return nil
}

// work handles messages one by one.
func (c *Consumer) work(ctx context.Context) error {
	for ctx.Err() == nil {
		msg, err := c.next(ctx)

		switch {
		case err == nil:
			c.deliver(ctx, msg)
		case ctx.Err() != nil:
			return nil
		case isFatal(err):
			return err
		case !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, jetstream.ErrNoMessages):
			c.log.WarnContext(ctx, "oncenats: no messages can be requested", "consumer", c.name, "stream", c.stream, "error", err)
			pause(ctx, pauseTime)
		}
	}

	return nil
}

// next waits for a message for some time.
func (c *Consumer) next(ctx context.Context) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()

	return c.pull.Next(jetstream.FetchContext(ctx))
}

func isFatal(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// pause waits, or returns when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// deliver handles a message and carries out the decision.
func (c *Consumer) deliver(ctx context.Context, msg jetstream.Msg) {
	m, err := MessageOf(msg)
	if err != nil {
		c.log.ErrorContext(ctx, err.Error())

		return
	}

	m.ExtendEvery = c.every
	m.Extend = func(ctx context.Context) error {
		err := msg.InProgress()
		if err != nil {
			c.log.WarnContext(ctx, "oncenats: a message cannot be extended", "position", m.Position, "error", err)
		}

		return err
	}

	d := c.handle(ctx, m)

	if c.observe != nil {
		c.observe(m, d)
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()

	if err := c.settle(ctx, msg, m, d); err != nil {
		// The server delivers the message again after AckWait, and the handler knows it.
		c.log.WarnContext(ctx, "oncenats: a decision cannot be carried out", "position", m.Position, "id", m.ID, "action", d.Action.String(),
			"error", err)
	}
}
