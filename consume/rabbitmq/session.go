package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// session is a consumer's use of one connection.
type session struct {
	*Consumer

	ch         *amqp.Channel
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	dead       sender
}

// tag is the consumer's tag. It is unique within its channel, which has no other consumer.
const tag = "onlyonce"

// priority is the argument for the priority of a consumer. Zero is the default. A stream refuses the argument.
const priority = "x-priority"

// subscribe opens a channel and lets the server deliver.
func (c *Consumer) subscribe(conn *amqp.Connection, dead sender) (*session, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}

	s := &session{Consumer: c, ch: ch, dead: dead, closed: ch.NotifyClose(make(chan *amqp.Error, 1))}

	if err := ch.Qos(c.prefetch, 0, false); err != nil {
		return nil, err
	}

	s.deliveries, err = ch.Consume(c.queue, tag, false, false, false, false, amqp.Table{priority: int32(0)})

	return s, err
}

// serve handles messages until the channel ends, which it returns, or ctx.
func (s *session) serve(ctx context.Context, handlers *sync.WaitGroup) error {
	// Those who wait to give a message back wait for nothing, once the channel has ended.
	waiting, over := context.WithCancel(ctx)
	defer over()

	var own sync.WaitGroup

	for {
		select {
		case <-ctx.Done():
			s.leave(&own)

			return ctx.Err()
		case d, ok := <-s.deliveries:
			if !ok {
				return s.ended()
			}

			own.Add(1)
			handlers.Go(func() {
				defer own.Done()

				s.deliver(ctx, waiting, &d)
			})
		}
	}
}

// leave lets the server deliver no more, gives back what was delivered meanwhile, and waits for what is being handled.
func (s *session) leave(handlers *sync.WaitGroup) {
	var draining sync.WaitGroup

	draining.Go(func() {
		for d := range s.deliveries {
			_ = d.Nack(false, true) // if it fails, the channel has ended, which gives everything back
		}
	})

	if s.ch.Cancel(tag, false) != nil {
		_ = s.ch.Close()
	}

	draining.Wait()
	handlers.Wait()
}

var errCancelled = errors.New("oncerabbit: the server has ended the consumer: the queue was deleted, or a message was not acknowledged " +
	"within the consumer timeout")

// ended returns why the server delivers no more.
func (s *session) ended() error {
	if !s.ch.IsClosed() {
		return errCancelled
	}

	if err := <-s.closed; err != nil {
		return fmt.Errorf("oncerabbit: the channel has ended: %w", err)
	}

	return errors.New("oncerabbit: the channel has ended")
}

// deliver handles one message, and carries out what was decided.
func (s *session) deliver(ctx, waiting context.Context, d *amqp.Delivery) {
	received := time.Now()

	m := message(s.queue, d)
	if s.change != nil {
		s.change(d, m)
	}

	decision := s.handle(ctx, m)
	err := s.carryOut(waiting, d, m, decision, received)

	s.report(ctx, Report{Message: m, Decision: decision, Err: err})
}

func (s *session) carryOut(
	waiting context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision, received time.Time,
) error {
	delay := decision.Delay

	switch decision.Action {
	case consume.Ack:
		return d.Ack(false)
	case consume.DeadLetter:
		return s.bury(waiting, d, m, decision, received)
	case consume.Redeliver:
	}

	hold(waiting, holding(delay, s.timeout, time.Since(received)))

	return d.Nack(false, true)
}

// bury makes a message a dead letter. If that is refused, it tries again, because a redelivery could run the handler more often than it may
// run. It gives the message back when it can be held no longer.
func (s *session) bury(
	waiting context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision, received time.Time,
) error {
	for {
		if s.ch.IsClosed() {
			return errOver // the message is delivered again
		}

		err := s.dead.send(waiting, d, m, decision)
		if err == nil || s.ch.IsClosed() {
			return err
		}

		if wait := holding(s.retry, s.timeout, time.Since(received)); wait == s.retry {
			s.report(waiting, Report{Message: m, Decision: decision, Err: err})
			hold(waiting, wait)

			if waiting.Err() == nil {
				continue
			}
		}

		return errors.Join(err, d.Nack(false, true))
	}
}

// deadLetterDelay is how long a message waits whose dead letter was refused.
const deadLetterDelay = 10 * time.Second

// holding is how long a message may be held: for its delay, but not until the server takes the consumer for stuck.
func holding(delay, timeout, elapsed time.Duration) time.Duration {
	return max(min(delay, timeout/10*9-elapsed), 0)
}

// hold waits for a time, or until ctx ends.
func hold(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}

	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
