package consume

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Message is what a queue delivered.
type Message struct {
	// Source is the queue, stream or topic. It is part of the identity, so it is the same for every delivery of the message. Do not use a
	// name that producers choose, such as a subject that has an order's number.
	Source string
	// ID is the id that the producer gave the message, and the same if the producer sends the message twice. It is empty if the message
	// has none.
	ID string
	// Position is the place of the message in the queue, such as "topic/partition/offset". It is the same for every delivery, and another
	// one if the producer sends the message twice. It is empty if the queue has none.
	Position string
	// Key is the routing or partition key. Nil means none.
	Key []byte
	// Data is the body. Nobody modifies Key, Data and Headers.
	Data []byte
	// Headers are the headers, with their names as they were sent. Nil means none.
	Headers map[string][]string
	// Deliveries is how often the message was delivered, this time included. 0 means that the queue does not count. Some messages then never
	// become dead letters:
	//   - A message that kills its process in a single transaction is delivered again and again.
	//   - Under AtMostOnce, a message with an unknown outcome waits until somebody settles it.
	Deliveries int
	// Extend tells the queue that the message is still being handled, so that it is not delivered again meanwhile. Nil means that the
	// queue has no such thing. It obeys its context. An error has no consequence here, so Extend itself reports it.
	Extend func(ctx context.Context) error
	// ExtendEvery is how often Extend is called, such as a third of the time after which the queue delivers again. 0 means never.
	ExtendEvery time.Duration
}

// Header returns the first value of a header, or an empty string. Names are compared as they are.
func (m *Message) Header(name string) string {
	if values := m.Headers[name]; len(values) > 0 {
		return values[0]
	}

	return ""
}

// KeyFunc returns the key of a message: 1 to 255 printable ASCII characters. It depends on nothing but the message, and is safe for
// concurrent use. A message for which it returns an error, or a key that breaks the rules, becomes a dead letter.
// If it panics, the handler counts as failed.
type KeyFunc func(m *Message) (string, error)

var (
	errNoID       = errors.New("consume: the message has no id: let its producer set one")
	errNoPosition = errors.New("consume: the queue gives its messages no position: use another KeyFunc")
)

// ByID returns the id of the message. A message without an id becomes a dead letter.
func ByID(m *Message) (string, error) {
	if m.ID == "" {
		return "", errNoID
	}

	return m.ID, nil
}

// ByPosition returns the position of the message. It does not recognise a message that its producer sent twice.
func ByPosition(m *Message) (string, error) {
	if m.Position == "" {
		return "", errNoPosition
	}

	return m.Position, nil
}

// ByHeader returns a function that returns the value of a header. A message that does not have exactly one value becomes a dead letter.
func ByHeader(name string) KeyFunc {
	return func(m *Message) (string, error) {
		if len(m.Headers[name]) != 1 {
			return "", errors.New("consume: the message must have exactly one value of the header " + name)
		}

		return m.Headers[name][0], nil
	}
}

// methodPrefix begins the methods of messages.
const methodPrefix = "consume/"

// Method returns the method of the records of a consumer's messages, for onlyonce.Engine.Lookup: "consume/", the scope, a slash and the
// source.
func Method(scope, source string) string { return methodPrefix + scope + "/" + source }

// FindingOf is the finding that a message was handled, for a recovery function and for onlyonce.Engine.Resolve. With nil the message is
// done. With an error it has ended with the text of that error, as if the handler had returned a Final error.
func FindingOf(err error) onlyonce.Finding {
	out := outcomeOf(onlyonce.Final(err))

	return onlyonce.Happened(out.Code, out.Body)
}
