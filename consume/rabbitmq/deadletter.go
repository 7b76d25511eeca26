package oncerabbit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce/consume"
)

// DeadLetters is the way of dead letters: [ByPublishing] or [ByReject].
type DeadLetters interface {
	// open prepares the way for one connection of the consumer. A dialer makes further connections.
	open(dial Dialer) sender
	// loops reports whether the dead letters of a queue come back to it.
	loops(queue string) bool
}

// sender sends the dead letters of one connection.
type sender interface {
	// send puts a message where dead letters are, and removes it from its queue. The message is delivered again if it fails.
	send(ctx context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision) error
	// close lets what is being sent fail, and sends no more.
	close()
}

// ByPublishing publishes dead letters to an exchange, with the given routing key, and removes the message from its queue after the server
// has confirmed that it has the dead letter. The empty exchange takes the name of a queue as routing key. If no queue gets the dead
// letter, the message stays where it is, and the consumer tries again.
//
// The first dead letter makes a connection for dead letters alone. A server that is short of memory or disk stops reading from connections
// that publish, and it still has to read the acknowledgements.
//
// A dead letter has the properties and headers of its message, and those of consume.Decision.DeadLetterHeaders if all of them fit in a
// frame. It is persistent. The headers CC and BCC are left out, because the server sends a message to the queues that they name. A message
// may become a dead letter twice, if the connection breaks between the two steps; both have the same message id.
func ByPublishing(exchange, routingKey string) DeadLetters { return publishing{exchange, routingKey} }

// ByReject rejects messages with basic.nack, so that the server sends them to the dead-letter exchange of their queue. It needs no
// permission to publish. The consumer cannot see whether the queue has such an exchange: without one, the server drops the message.
// Unless the queue has the dead-letter strategy at-least-once, the server may also lose it on its way.
func ByReject() DeadLetters { return rejecting{} }

type rejecting struct{}

func (rejecting) open(Dialer) sender { return rejecting{} }

func (rejecting) loops(string) bool { return false }

func (rejecting) send(_ context.Context, d *amqp.Delivery, _ *consume.Message, _ consume.Decision) error {
	return d.Nack(false, false)
}

func (rejecting) close() {}

type publishing struct{ exchange, routingKey string }

func (p publishing) open(dial Dialer) sender {
	return &publisher{publishing: p, dial: dial, turn: make(chan struct{}, 1)}
}

func (p publishing) loops(queue string) bool { return p.exchange == "" && p.routingKey == queue }

// publisher publishes one dead letter at a time, so that a returned message is the one that was published.
type publisher struct {
	publishing

	dial Dialer
	turn chan struct{}

	mu     sync.Mutex
	line   *line // nil: none
	closed bool
}

// confirmation is how long the server may take to confirm a dead letter.
const confirmation = time.Minute

func (p *publisher) send(ctx context.Context, d *amqp.Delivery, m *consume.Message, decision consume.Decision) error {
	// The decision stands, also if the consumer is stopping.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmation)
	defer cancel()

	if err := p.publishLargest(ctx, letters(d, m, decision)); err != nil {
		return fmt.Errorf("publishing a dead letter to the exchange %q with the routing key %q: %w", p.exchange, p.routingKey, err)
	}

	return d.Ack(false)
}

// publishLargest publishes the first letter that is not too large.
func (p *publisher) publishLargest(ctx context.Context, letters []amqp.Publishing) (err error) {
	for i := range letters {
		if err = p.publish(ctx, letters[i]); !tooLarge(err) {
			break
		}
	}

	return err
}

func (p *publisher) publish(ctx context.Context, letter amqp.Publishing) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}

	defer func() { <-p.turn }()

	l, err := p.open(ctx)
	if err != nil {
		return err
	}

	err = l.publish(ctx, p.publishing, letter)

	var unroutable *unroutableError
	if err != nil && !errors.As(err, &unroutable) {
		p.drop(l) // a late answer must not be taken for that of the next dead letter
	}

	return err
}

var errOver = errors.New("the connection of the message has ended")

// open returns the line, and makes one if there is none that works.
func (p *publisher) open(ctx context.Context) (*line, error) {
	p.mu.Lock()
	l, closed := p.line, p.closed
	p.mu.Unlock()

	switch {
	case closed:
		return nil, errOver
	case l != nil && !l.ch.IsClosed():
		return l, nil
	case l != nil:
		p.drop(l)
	}

	l, err := newLine(ctx, p.dial)
	if err != nil {
		return nil, err
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if p.closed {
		l.close()

		return nil, errOver
	}

	p.line = l

	return l, nil
}

func (p *publisher) drop(l *line) {
	p.mu.Lock()
	p.line = nil
	p.mu.Unlock()

	l.close()
}

func (p *publisher) close() {
	p.mu.Lock()
	l := p.line
	p.line, p.closed = nil, true
	p.mu.Unlock()

	if l != nil {
		l.close()
	}
}

// tooLarge reports that the properties and headers of a message exceed a frame. The server then ends the connection.
func tooLarge(err error) bool {
	failure, ok := errors.AsType[*amqp.Error](err)

	return ok && failure.Code == amqp.FrameError
}

// letters are the dead letters of a message, with fewer and fewer headers. The last one is not larger than the message.
func letters(d *amqp.Delivery, m *consume.Message, decision consume.Decision) []amqp.Publishing {
	whole, short := bare(d), bare(d)
	delete(short.Headers, consume.HeaderError) // of an earlier death, if the dead letter was sent again

	for name, value := range decision.DeadLetterHeaders(m) {
		whole.Headers[name] = value

		if name != consume.HeaderError {
			short.Headers[name] = value
		}
	}

	return []amqp.Publishing{whole, short, bare(d)}
}

// bare makes the dead letter of a message, with the message's own headers.
func bare(d *amqp.Delivery) amqp.Publishing {
	table := amqp.Table{}
	maps.Copy(table, d.Headers)

	// A queue counts for itself.
	delete(table, headerAcquired)
	delete(table, headerDeliveries)

	// The server sends a message to the queues that these name, too.
	delete(table, "CC")
	delete(table, "BCC")

	return amqp.Publishing{
		Headers: table, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type,
		AppId: d.AppId, Body: d.Body,
	}
}
