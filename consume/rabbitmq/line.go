package oncerabbit

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// line is a connection for dead letters.
type line struct {
	conn     *amqp.Connection
	ch       *amqp.Channel
	ended    chan *amqp.Error
	returned chan amqp.Return
}

// newLine makes a line, with confirms.
func newLine(ctx context.Context, dial Dialer) (*line, error) {
	conn, err := connect(ctx, dial)
	if err != nil {
		return nil, err
	}

	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}

	if err != nil {
		hangUp(conn)

		return nil, err
	}

	return &line{conn, ch, ch.NotifyClose(make(chan *amqp.Error, 1)), ch.NotifyReturn(make(chan amqp.Return, 1))}, nil
}

func (l *line) close() { hangUp(l.conn) }

var errNotConfirmed = errors.New("the server refuses the dead letter")

// unroutableError is about a dead letter that the server has returned.
type unroutableError struct{ text string }

func (e *unroutableError) Error() string { return "no queue gets it: " + e.text }

// publish publishes a dead letter, and returns nil when the server has confirmed that a queue has it.
func (l *line) publish(ctx context.Context, to publishing, letter amqp.Publishing) error {
	confirmed, err := l.ch.PublishWithDeferredConfirmWithContext(ctx, to.exchange, to.routingKey, true, false, letter)
	if err != nil {
		return err
	}

	accepted, err := confirmed.WaitContext(ctx)

	switch {
	case err != nil:
		return err
	case !accepted:
		return l.refusal()
	}

	// The server returns a message before it confirms it.
	select {
	case back, ok := <-l.returned:
		if ok {
			return &unroutableError{back.ReplyText}
		}
	default:
	}

	return nil
}

// refusal is why a dead letter was not confirmed. A channel that ends refuses what it has not confirmed, and says why before.
func (l *line) refusal() error {
	select {
	case err := <-l.ended:
		if err != nil {
			return err
		}
	default:
	}

	return errNotConfirmed
}

// connect makes a connection that does not recover by itself.
func connect(ctx context.Context, dial Dialer) (*amqp.Connection, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}

	if conn.IsRecoveryEnabled() {
		hangUp(conn)

		return nil, ErrRecovery
	}

	return conn, nil
}

// goodbye is how long a server may take to answer the end of a connection.
const goodbye = 10 * time.Second

// hangUp ends a connection, which may have ended.
func hangUp(conn *amqp.Connection) { _ = conn.CloseDeadline(time.Now().Add(goodbye)) }
