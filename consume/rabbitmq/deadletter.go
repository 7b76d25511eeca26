package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// DeadLetters is the way of dead letters: [ByPublishing] or [ByReject].
type DeadLetters interface {
	// open prepares the way on a connection. Close ends it.
	open(conn *amqp.Connection) (sender, error)
}

// sender sends the dead letters of one connection.
type sender interface {
	// send puts a message where dead letters are, and removes it from its queue. The message is delivered again if it fails.
	send(ctx context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision) error
}

// ByPublishing publishes dead letters to an exchange, with the given routing key, and removes the message from its queue after the server
// has confirmed that it has the dead letter. The empty exchange takes the name of a queue as routing key. If no queue gets the dead
// letter, the message stays where it is, and is delivered again.
//
// A dead letter has the properties and headers of its message, and those of consume.Decision.DeadLetterHeaders. It is persistent. A
// message may become a dead letter twice, if the connection breaks between the two steps; both have the same message id.
func ByPublishing(exchange, routingKey string) DeadLetters { return publishing{exchange, routingKey} }

// ByReject rejects messages with basic.nack, so that the server sends them to the dead-letter exchange of their queue. It needs no
// permission to publish. The consumer cannot see whether the queue has such an exchange: without one, the server drops the message.
// Unless the queue has the dead-letter strategy at-least-once, the server may also lose it on its way.
func ByReject() DeadLetters { return rejecting{} }

type rejecting struct{}

func (rejecting) open(*amqp.Connection) (sender, error) { return rejecting{}, nil }

func (rejecting) send(_ context.Context, d *amqp.Delivery, _ *consume.Message, _ consume.Decision) error {
	return d.Nack(false, false)
}

type publishing struct{ exchange, routingKey string }

func (p publishing) open(conn *amqp.Connection) (sender, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}

	if err := ch.Confirm(false); err != nil {
		return nil, err
	}

	s := &publisher{publishing: p, ch: ch, turn: make(chan struct{}, 1), returned: ch.NotifyReturn(make(chan amqp.Return, 1))}

	return s, nil
}

// publisher publishes one dead letter at a time, so that a returned message is the one that was published.
type publisher struct {
	publishing

	ch       *amqp.Channel
	turn     chan struct{}
	returned chan amqp.Return
}

// confirmation is how long the server may take to confirm a dead letter.
const confirmation = time.Minute

var errNotConfirmed = errors.New("the server refuses the dead letter")

func (p *publisher) send(ctx context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision) error {
	// The decision stands, also if the consumer is stopping.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmation)
	defer cancel()

	if err := p.publish(ctx, letter(d, m, decision)); err != nil {
		return fmt.Errorf("publishing a dead letter to the exchange %q with the routing key %q: %w", p.exchange, p.routingKey, err)
	}

	return d.Ack(false)
}

func (p *publisher) publish(ctx context.Context, letter amqp.Publishing) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}

	defer func() { <-p.turn }()

	select {
	case <-p.returned: // of a dead letter whose confirmation took too long
	default:
	}

	confirmed, err := p.ch.PublishWithDeferredConfirmWithContext(ctx, p.exchange, p.routingKey, true, false, letter)
	if err != nil {
		return err
	}

	switch accepted, err := confirmed.WaitContext(ctx); {
	case err != nil:
		return err
	case !accepted:
		return errNotConfirmed
	}

	// The server returns a message before it confirms it.
	select {
	case back, ok := <-p.returned:
		if ok {
			return fmt.Errorf("no queue gets it: %s", back.ReplyText)
		}
	default:
	}

	return nil
}

// letter makes the dead letter of a message.
func letter(d *amqp.Delivery, m *consume.Message, decision consume.Decision) amqp.Publishing {
	table := amqp.Table{}
	maps.Copy(table, d.Headers)

	for name, value := range decision.DeadLetterHeaders(m) {
		table[name] = value
	}

	// A queue counts for itself.
	delete(table, headerAcquired)
	delete(table, headerDeliveries)

	return amqp.Publishing{
		Headers: table, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type,
		AppId: d.AppId, Body: d.Body,
	}
}
