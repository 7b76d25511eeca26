package oncenats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce/consume"
)

// The headers of dead letters, in addition to those of package consume. They are what a program needs to send the message again.
const (
	// HeaderID is the Nats-Msg-Id of the message.
	HeaderID = "Onlyonce-Id"
	// HeaderSubject is the subject of the message.
	HeaderSubject = "Onlyonce-Subject"
)

// unsentDelay is how long a dead letter waits that could not be stored.
const unsentDelay = 10 * time.Second

// unsentError is the error of a dead letter that could not be stored.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return "the dead letter is not stored: " + e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// settle carries out a decision, also after ctx has ended.
func (c *Consumer) settle(ctx context.Context, msg jetstream.Msg, m *consume.Message, d consume.Decision) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()

	switch {
	case d.Action == consume.Ack:
		return msg.DoubleAck(ctx)
	case d.Action == consume.DeadLetter:
		return c.bury(ctx, msg, m, d)
	case d.Delay > 0:
		return msg.NakWithDelay(d.Delay)
	default:
		return msg.Nak()
	}
}

// bury stores a dead letter, and terminates its message when it is stored.
func (c *Consumer) bury(ctx context.Context, msg jetstream.Msg, m *consume.Message, d consume.Decision) error {
	if err := c.send(ctx, msg, m, d); err != nil {
		return &unsentError{err}
	}

	c.log.WarnContext(ctx, "oncenats: a message became a dead letter", "position", m.Position, "id", m.ID, "cause", string(d.Cause),
		"error", d.Err)

	return c.terminate(ctx, msg, d.Cause)
}

// hold publishes a dead letter again until it is stored or ctx ends. Meanwhile it extends the message, because a redelivery could run the
// handler more often than it may run.
func (c *Consumer) hold(ctx context.Context, msg jetstream.Msg, m *consume.Message, d consume.Decision, err error) {
	holding, cancel := context.WithCancel(ctx)

	var extending sync.WaitGroup

	extending.Go(func() {
		for holding.Err() == nil {
			_ = m.Extend(holding) // which reports it

			pause(holding, c.every)
		}
	})

	defer extending.Wait()
	defer cancel()

	for errors.As(err, new(*unsentError)) {
		c.log.WarnContext(ctx, "oncenats: a dead letter is not stored, and is published again", "position", m.Position, "id", m.ID,
			"cause", string(d.Cause), "error", err)
		pause(ctx, c.retry)

		if ctx.Err() != nil {
			_ = msg.Nak() // without it, the message comes back after AckWait

			return
		}

		err = c.settle(ctx, msg, m, d)
	}

	if err != nil {
		c.failed(ctx, m, d, err)
	}
}

// failed reports a decision that was not carried out. The server delivers the message again after AckWait, and the handler knows it.
func (c *Consumer) failed(ctx context.Context, m *consume.Message, d consume.Decision, err error) {
	c.log.WarnContext(ctx, "oncenats: a decision cannot be carried out", "position", m.Position, "id", m.ID, "action", d.Action.String(),
		"error", err)
}

// send stores the dead letter of a message. One that is too large for the server or the stream is sent with fewer headers.
func (c *Consumer) send(ctx context.Context, msg jetstream.Msg, m *consume.Message, d consume.Decision) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}

	// The same message has the same id, so that its dead letter is stored once if the process dies before the message is terminated. The
	// time distinguishes it from the message at the same position of a stream that was deleted and made again.
	id := fmt.Sprintf("dead/%s/%s/%d", c.name, m.Position, meta.Timestamp.UnixNano())
	letter := c.letter(msg, m, d)

	if _, err = c.js.PublishMsg(ctx, letter, jetstream.WithMsgID(id)); !tooLarge(err) {
		return err
	}

	letter.Header.Del(consume.HeaderError)

	if _, err = c.js.PublishMsg(ctx, letter, jetstream.WithMsgID(id)); !tooLarge(err) {
		return err
	}

	_, err = c.js.PublishMsg(ctx, c.bare(msg)) // not larger than the message

	return err
}

// tooLarge reports that a message is larger than the server or the stream allows.
func tooLarge(err error) bool {
	const exceeds = 10054 // the stream's MaxMsgSize

	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.ErrorCode == exceeds
	}

	return errors.Is(err, nats.ErrMaxPayload)
}

// letter returns the dead letter of a message.
func (c *Consumer) letter(msg jetstream.Msg, m *consume.Message, d consume.Decision) *nats.Msg {
	letter := c.bare(msg)
	letter.Header.Set(HeaderSubject, msg.Subject())

	if m.ID != "" {
		letter.Header.Set(HeaderID, m.ID)
	}

	for name, value := range maps.All(d.DeadLetterHeaders(m)) {
		letter.Header.Set(name, value)
	}

	return letter
}

// bare returns the dead letter of a message, with the message's own headers.
func (c *Consumer) bare(msg jetstream.Msg) *nats.Msg {
	letter := nats.NewMsg(c.deadLetter)
	letter.Data = msg.Data()

	for name, values := range msg.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // those are for the server, and about the publishing of the message
			letter.Header[name] = values
		}
	}

	return letter
}

// terminate ends the deliveries of the message, and waits until the server confirms that. It is TermWithReason with a reply.
func (c *Consumer) terminate(ctx context.Context, msg jetstream.Msg, cause consume.Cause) error {
	if _, err := c.js.Conn().RequestWithContext(ctx, msg.Reply(), []byte("+TERM "+string(cause))); err != nil {
		return fmt.Errorf("terminating the message: %w", err)
	}

	return nil
}
