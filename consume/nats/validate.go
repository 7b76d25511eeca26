package oncenats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// validate reports everything about the consumer that cannot hold.
func (c *Consumer) validate(config *jetstream.ConsumerConfig) error {
	var errs []error

	addf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oncenats: "+format, args...)) }

	if c.handle == nil {
		addf("New has no handler: make one with consume.Handler")
	}

	if c.workers < 1 {
		addf("WithWorkers is %d: give 1 or more", c.workers)
	}

	if config.AckPolicy != jetstream.AckExplicitPolicy {
		addf("the AckPolicy of consumer %s is %v: give AckExplicit", c.name, config.AckPolicy)
	}

	if config.MaxDeliver > 0 {
		addf("the MaxDeliver of consumer %s is %d, after which JetStream drops a message without a dead letter: give -1", c.name,
			config.MaxDeliver)
	}

	if config.HeadersOnly {
		addf("consumer %s is HeadersOnly, so neither the handler nor a dead letter would have the data: give false", c.name)
	}

	return errors.Join(errs...)
}

// validateDeadLetter reports why dead letters would be lost.
func (c *Consumer) validateDeadLetter(ctx context.Context) error {
	if strings.ContainsAny(c.deadLetter, "*>") {
		return fmt.Errorf("oncenats: the dead-letter subject %q has a wildcard: give a subject to publish on", c.deadLetter)
	}

	name, err := c.js.StreamNameBySubject(ctx, c.deadLetter)
	if err != nil {
		return fmt.Errorf("oncenats: no stream stores the dead-letter subject %q: %w", c.deadLetter, err)
	}

	if name == c.stream {
		return fmt.Errorf("oncenats: the dead-letter subject %q belongs to the stream that is consumed, %s: give it a stream of its own",
			c.deadLetter, name)
	}

	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("oncenats: the configuration of the stream %s of dead letters: %w", name, err)
	}

	switch config := stream.CachedInfo().Config; {
	case config.Retention == jetstream.InterestPolicy:
		return fmt.Errorf("oncenats: the stream %s of dead letters has the InterestPolicy, which drops what nobody consumes: give LimitsPolicy",
			name)
	case config.NoAck:
		return fmt.Errorf("oncenats: the stream %s of dead letters is NoAck, so it does not confirm what it stores: give false", name)
	default:
		return nil
	}
}
