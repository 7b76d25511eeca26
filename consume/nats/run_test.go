package oncenats_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
)

// No request waits for a message at that time, so nobody is told.
func TestRunEndsWhenItsConsumerIsDeletedWhileItHandlesAMessage(t *testing.T) {
	w := newWorld(t)
	pull := w.pull("billing", time.Minute)

	c, err := oncenats.New(t.Context(), w.js, pull, func(ctx context.Context, _ *consume.Message) consume.Decision {
		if err := w.js.DeleteConsumer(ctx, "orders", "billing"); err != nil {
			t.Error(err)
		}

		return consume.Decision{Delay: time.Hour}
	}, "dead.orders")
	if err != nil {
		t.Fatal(err)
	}

	w.publish(1)

	if err := c.Run(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("Run returns %v", err)
	}
}

// starting is a pull consumer whose server has just started. The server does not know the consumer yet.
type starting struct {
	jetstream.Consumer

	lookUps atomic.Int64 // that fail still
}

func (s *starting) Next(opts ...jetstream.FetchOpt) (jetstream.Msg, error) {
	if s.lookUps.Load() > 0 {
		return nil, nats.ErrNoResponders
	}

	return s.Consumer.Next(opts...)
}

func (s *starting) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	if s.lookUps.Add(-1) >= 0 {
		return nil, jetstream.ErrConsumerNotFound
	}

	return s.Consumer.Info(ctx)
}

func TestRunGoesOnWhenAServerThatHasJustStartedDoesNotKnowTheConsumerYet(t *testing.T) {
	w := newWorld(t)
	pull := &starting{Consumer: w.pull("billing", time.Minute)}
	ctx, stop := context.WithCancel(t.Context())

	c, err := oncenats.New(t.Context(), w.js, pull, func(context.Context, *consume.Message) consume.Decision {
		stop()

		return consume.Decision{Action: consume.Ack}
	}, "dead.orders")
	if err != nil {
		t.Fatal(err)
	}

	pull.lookUps.Store(2)
	w.publish(1)

	if err := c.Run(ctx); err != nil || ctx.Err() == nil {
		t.Errorf("Run returns %v, before its context has ended: %v", err, ctx.Err())
	}
}

// The client takes a message without data that has these headers for a message of the server.
func TestAMessageThatLooksLikeOneOfTheServerDoesNotEndRun(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)
	w.start(settings{Name: "billing", Guarantee: onlyonce.ExactlyOnce}, nil)

	fake := nats.NewMsg("orders.fake")
	fake.Header.Set("Status", "409")
	fake.Header.Set("Description", "Consumer Deleted")

	if _, err := w.js.PublishMsg(t.Context(), fake, jetstream.WithMsgID("fake")); err != nil {
		t.Fatal(err)
	}

	w.publish(3)
	w.until("the others are handled", func() bool {
		stream, err := w.js.Stream(t.Context(), "orders")

		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
	w.charged(3)
}

func TestARequestForMessagesIsNoLongerThanTheConsumerAllows(t *testing.T) {
	w := newWorld(t)

	if _, err := w.js.CreateConsumer(t.Context(), "orders", jetstream.ConsumerConfig{
		Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxRequestExpires: 500 * time.Millisecond,
	}); err != nil {
		t.Fatal(err)
	}

	w.start(settings{Name: "billing", Guarantee: onlyonce.ExactlyOnce}, nil)
	w.publish(1)
	w.settled()
	w.charged(1)
}
