package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// Handler handles a message and returns what to do with it. consume.Handler makes one.
type Handler = func(ctx context.Context, m *consume.Message) consume.Decision

// Dialer makes a connection, such as amqp.Dial does. It should declare the queue, if nobody else does. It must be safe for concurrent use:
// dead letters have a connection of their own. So the queue must not be exclusive, because an exclusive queue belongs to one connection.
type Dialer = func(ctx context.Context) (*amqp.Connection, error)

// Consumer takes the messages of one queue. [New] makes one.
type Consumer struct {
	queue    string
	handle   Handler
	dead     DeadLetters
	prefetch int
	timeout  time.Duration
	retry    time.Duration // after which a dead letter that was refused is sent again
	change   func(d *amqp.Delivery, m *consume.Message)
	backoff  func(failures int) time.Duration
	report   func(ctx context.Context, r Report)
}

// New returns a consumer of a queue. It fails if something is missing or out of range, and reports every problem at once.
func New(queue string, handle Handler, dead DeadLetters, opts ...Option) (*Consumer, error) {
	c := &Consumer{
		queue: queue, handle: handle, dead: dead,
		prefetch: DefaultPrefetch, timeout: DefaultConsumerTimeout, retry: deadLetterDelay, backoff: backoff, report: logReport,
	}

	for _, opt := range opts {
		opt(c)
	}

	if c.backoff == nil {
		c.backoff = backoff
	}

	if c.report == nil {
		c.report = logReport
	}

	if err := c.validate(); err != nil {
		return nil, err
	}

	return c, nil
}

// ErrRecovery is the error of [Consumer.Run] if a connection has the recovery of amqp091: leave amqp.Config.Recovery nil.
var ErrRecovery = errors.New("oncerabbit: the connection recovers by itself, so the acknowledgement of an old message could remove " +
	"a new one: leave amqp.Config.Recovery nil")

// ErrStream is the error of [Consumer.Run] if the queue is a stream. A stream takes no message back, so each message whose handler has
// failed would be lost.
var ErrStream = errors.New("oncerabbit: the queue is a stream, which takes no message back: use a quorum queue")

// Run handles messages until ctx ends, and returns the cause of the end of ctx. It makes a connection with dial, uses it until it breaks,
// and makes the next one. Only [ErrRecovery] and [ErrStream] make it return earlier. Run notices a stream before it gets a message.
//
// After ctx has ended, Run takes no more messages, and gives back those that wait for a delay. It returns when all handlers have returned
// and their messages are settled. Stop the handlers with onlyonce.Engine.Drain. Any number of goroutines and processes may run consumers of
// a queue.
func (c *Consumer) Run(ctx context.Context, dial Dialer) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()

	for failures := 0; ; {
		began := time.Now()

		err := c.once(ctx, dial, &handlers)

		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrRecovery):
			return ErrRecovery
		case isStream(err):
			return fmt.Errorf("%w: %w", ErrStream, err)
		}

		c.report(ctx, Report{Err: err})

		failures++
		if time.Since(began) > longestWait {
			failures = 1
		}

		select {
		case <-time.After(c.backoff(failures)):
		case <-ctx.Done():
		}
	}
}

// isStream reports that the server has refused what a stream does not have: a priority of the consumer, or basic.nack.
func isStream(err error) bool {
	failure, ok := errors.AsType[*amqp.Error](err)

	return ok && (failure.Code == amqp.NotImplemented || failure.Code == amqp.PreconditionFailed && strings.Contains(failure.Reason, priority))
}

// once makes a connection and uses it until it breaks or ctx ends.
func (c *Consumer) once(ctx context.Context, dial Dialer, handlers *sync.WaitGroup) error {
	conn, err := connect(ctx, dial)
	if err != nil {
		return fmt.Errorf("oncerabbit: connecting: %w", err)
	}
	defer hangUp(conn)

	dead := c.dead.open(dial)
	defer dead.close()

	s, err := c.subscribe(conn, dead)
	if err != nil {
		return fmt.Errorf("oncerabbit: consuming the queue %q: %w", c.queue, err)
	}

	return s.serve(ctx, handlers)
}
