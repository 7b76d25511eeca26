package oncenats

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce/consume"
)

// MessageOf returns a message of JetStream as consume.Handler takes it, without Extend. It fails if the message is not from JetStream.
func MessageOf(msg jetstream.Msg) (*consume.Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("oncenats: the message on %s is not from JetStream: %w", msg.Subject(), err)
	}

	return &consume.Message{
		Source: meta.Stream, ID: msg.Headers().Get(jetstream.MsgIDHeader),
		Position: fmt.Sprintf("%s/%d", meta.Stream, meta.Sequence.Stream),
		Data:     msg.Data(), Headers: msg.Headers(),
		Deliveries: int(min(meta.NumDelivered, 1<<30)),
	}, nil
}

// extendEvery is how often a message of a consumer is extended: three times within the shortest time after which it is delivered again.
func extendEvery(config *jetstream.ConsumerConfig) time.Duration {
	const parts = 3

	shortest := config.AckWait
	for _, wait := range config.BackOff {
		shortest = min(shortest, wait)
	}

	return max(shortest/parts, time.Millisecond)
}

// requestTime is how long a request for a message waits, at most as long as the consumer allows.
func requestTime(config *jetstream.ConsumerConfig) time.Duration {
	if most := config.MaxRequestExpires; most > 0 {
		return min(fetchTime, most)
	}

	return fetchTime
}
