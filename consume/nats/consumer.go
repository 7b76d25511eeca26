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

// Consumer handles the messages of a pull consumer. [New] makes one.
type Consumer struct {
	js         jetstream.JetStream
	pull       jetstream.Consumer
	handle     Handle
	deadLetter string
	stream     string // that is consumed
	name       string // of the pull consumer
	every      time.Duration
	request    time.Duration // how long a request for a message waits
	retry      time.Duration // after which a dead letter that was not stored is published again
	workers    int
	log        *slog.Logger
	observe    func(m *consume.Message, d consume.Decision)
}

// New returns a consumer of the messages of a pull consumer. DeadLetter is the subject of dead letters. New fails if an option is out of
// range, or if messages could be lost:
//   - The AckPolicy of the pull consumer is not AckExplicit.
//   - Its MaxDeliver is set: JetStream then stops delivering a message without a dead letter. The handler's MaxAttempts takes its place.
//   - It is HeadersOnly: the handler and the dead letters would have no data.
//   - No stream stores the subject of dead letters, or it is the stream that is consumed.
//   - The stream of dead letters has the InterestPolicy, which drops what nobody consumes, or is NoAck, which confirms nothing.
func New(
	ctx context.Context, js jetstream.JetStream, pull jetstream.Consumer, handle Handle, deadLetter string, opts ...Option,
) (*Consumer, error) {
	info, err := pull.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("oncenats: the consumer's configuration: %w", err)
	}

	c := &Consumer{
		js: js, pull: pull, handle: handle, deadLetter: deadLetter, stream: info.Stream, name: info.Name, every: extendEvery(&info.Config),
		request: requestTime(&info.Config), retry: unsentDelay, workers: 1,
	}

	for _, opt := range opts {
		opt(c)
	}

	if c.log == nil {
		c.log = slog.Default()
	}

	if err := errors.Join(c.validate(&info.Config), c.validateDeadLetter(ctx)); err != nil {
		return nil, err
	}

	return c, nil
}

// Run handles messages until ctx ends. Then it waits for the handlers that are running, gives back the messages whose dead letters could
// not be stored, and returns nil. Run fails if the connection is closed or the pull consumer is deleted. It goes on while the server is
// away. If Run has requested a message and not yet got it when ctx ends, the server delivers the message again after AckWait.
func (c *Consumer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var working, held sync.WaitGroup

	for range c.workers {
		working.Go(func() {
			if err := c.work(ctx, &held); err != nil {
				cancel(err)
			}
		})
	}

	working.Wait()
	held.Wait()

	if cause := context.Cause(ctx); errors.As(cause, new(*fatalError)) {
		return fmt.Errorf("oncenats: consumer %s of stream %s: %w", c.name, c.stream, cause)
	}

	return nil
}

// work handles messages one by one. Held are the messages whose dead letters are not stored yet.
func (c *Consumer) work(ctx context.Context, held *sync.WaitGroup) error {
	for ctx.Err() == nil {
		msg, err := c.next(ctx)

		switch {
		case err == nil:
			c.deliver(ctx, msg, held)
		case ctx.Err() != nil:
			return nil //nolint:nilerr // ctx has ended, and that is no failure
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoMessages):
		default:
			c.log.WarnContext(ctx, "oncenats: no messages can be requested", "consumer", c.name, "stream", c.stream, "error", err)

			if err := c.fatal(ctx, err); err != nil {
				return err
			}

			pause(ctx, pauseTime)
		}
	}

	return nil
}

// next waits for a message for some time.
func (c *Consumer) next(ctx context.Context) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.request)
	defer cancel()

	return c.pull.Next(jetstream.FetchContext(ctx))
}

// fatalError is an error after which no request can succeed.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// fatal returns a *fatalError if a request failed because the connection is closed or the pull consumer is gone. The error of the request
// does not prove that, because a producer can make a message that looks like such an error. So fatal looks the consumer up. It does so a
// few times, because a server that has just started may not know the consumer yet.
func (c *Consumer) fatal(ctx context.Context, err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) {
		return &fatalError{err}
	}

	const attempts = 3

	for range attempts {
		gone := c.lookUp(ctx)
		if !errors.Is(gone, jetstream.ErrConsumerNotFound) && !errors.Is(gone, jetstream.ErrStreamNotFound) {
			return nil
		}

		err = errors.Join(err, gone)

		pause(ctx, pauseTime)
	}

	return &fatalError{err}
}

// lookUp returns an error if the pull consumer does not exist, or if the server does not answer.
func (c *Consumer) lookUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()

	_, err := c.pull.Info(ctx)

	return err
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
func (c *Consumer) deliver(ctx context.Context, msg jetstream.Msg, held *sync.WaitGroup) {
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

	if d.Cause == consume.CauseProgram {
		c.log.ErrorContext(ctx, "oncenats: a message cannot be handled because of an error in the program", "position", m.Position, "id", m.ID,
			"error", d.Err)
	}

	if c.observe != nil {
		c.observe(m, d)
	}

	if err := c.settle(ctx, msg, m, d); errors.As(err, new(*unsentError)) {
		held.Go(func() { c.hold(ctx, msg, m, d, err) })
	} else if err != nil {
		c.failed(ctx, m, d, err)
	}
}
