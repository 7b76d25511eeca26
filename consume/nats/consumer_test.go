package oncenats_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
)

func TestEveryMessageHasItsEffectOnce(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)
	w.start(settings{Name: "billing", Guarantee: onlyonce.ExactlyOnce, Workers: 4}, nil)
	w.publish(50)

	w.settled()
	w.charged(50)
}

// A consumer is killed at each of its steps. Its rows and its record are in one transaction.
func TestF05AConsumerThatIsKilledLeavesItsMessageToTheNextOne(t *testing.T) {
	for _, place := range []string{"before the effect", "after the effect", "before the acknowledgement"} {
		for _, guarantee := range []onlyonce.Guarantee{onlyonce.ExactlyOnce, onlyonce.AtLeastOnce} {
			if guarantee == onlyonce.AtLeastOnce && place == "after the effect" {
				continue // the effect happens again: that is the guarantee
			}

			t.Run(place+" under "+guarantee.String(), func(t *testing.T) {
				w := newWorld(t)
				w.pull("billing", time.Second)
				w.publish(1)

				for range 2 {
					w.killed(settings{Name: "billing", Guarantee: guarantee, Hook: place})
				}

				w.start(settings{Name: "billing", Guarantee: guarantee}, nil)
				w.settled()
				w.charged(1)
			})
		}
	}
}

func TestF04UnderAtMostOnceTheRecoveryFunctionFindsTheEffectOfAKilledConsumer(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Second)
	w.publish(1)
	w.killed(settings{Name: "billing", Guarantee: onlyonce.AtMostOnce, Hook: "after the effect"})

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtMostOnce}, nil,
		consume.WithRecover(func(ctx context.Context, m *consume.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
			var rows int
			if err := w.db.QueryRowContext(ctx, "SELECT count(*) FROM charges WHERE id = $1", m.ID).Scan(&rows); err != nil || rows == 0 {
				return onlyonce.StillUnknown(), err
			}

			return consume.FindingOf(nil), nil
		}))

	w.settled()
	w.charged(1)
}

// Three consumers get every message, and so do their workers, which are slower than AckWait.
func TestSeveralConsumersOfOneMessageActOnce(t *testing.T) {
	const messages = 20

	w := newWorld(t)

	var delivered atomic.Int64

	for _, name := range []string{"billing-1", "billing-2", "billing-3"} {
		w.pull(name, 200*time.Millisecond)
		w.start(settings{Name: name, Guarantee: onlyonce.ExactlyOnce, Workers: 3}, nil,
			consume.WithContent(func(m *consume.Message) []byte {
				delivered.Add(1)

				return m.Data
			}))
	}

	w.publish(messages)
	w.settled()
	w.charged(messages)

	if got := delivered.Load(); got < 3*messages {
		t.Errorf("there were %d deliveries, want those of all consumers", got)
	}
}

func TestTheServerIsRestartedAndNothingIsLostOrDoubled(t *testing.T) {
	const messages = 60

	w := newWorld(t)
	w.pull("billing", time.Second)

	var handled atomic.Int64

	w.publish(messages)
	w.start(settings{Name: "billing", Guarantee: onlyonce.ExactlyOnce, Workers: 2}, func(ctx context.Context, m *consume.Message) error {
		handled.Add(1)

		return charge(ctx, w.db, settings{Guarantee: onlyonce.ExactlyOnce}, m)
	})

	for _, after := range []int64{10, 30} {
		w.until("messages are handled", func() bool { return handled.Load() >= after })
		w.b.stop()
		w.b.start()
	}

	w.settled()
	w.charged(messages)
}

func TestF55APoisonMessageBecomesADeadLetter(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)

	var runs atomic.Int64

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, func(_ context.Context, m *consume.Message) error {
		if m.ID != "1" {
			return nil
		}

		runs.Add(1)

		return errors.New("no account\nof this name")
	}, consume.WithPolicy(onlyonce.Policy{MaxAttempts: 3}))

	w.publish(3)
	w.settled()

	if got := runs.Load(); got != 3 {
		t.Errorf("the handler has run %d times", got)
	}

	letters := w.deadLetters()
	if len(letters) != 1 {
		t.Fatalf("there are %d dead letters", len(letters))
	}

	for name, want := range map[string]string{
		consume.HeaderCause: "poison", consume.HeaderError: "no account of this name", consume.HeaderSource: "orders",
		consume.HeaderPosition: "orders/1", oncenats.HeaderID: "1", oncenats.HeaderSubject: "orders.1",
	} {
		if got := letters[0].Headers().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	if string(letters[0].Data()) != "order 1" {
		t.Errorf("the data is %q", letters[0].Data())
	}
}

func TestF35F24WhatCannotBeHandledBecomesADeadLetter(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", time.Minute)
	w.start(settings{Name: "billing", Guarantee: onlyonce.ExactlyOnce}, nil)
	w.publish(1)
	w.settled()

	if _, err := w.js.Publish(t.Context(), "orders.none", []byte("without an id")); err != nil {
		t.Fatal(err)
	}

	w.settled()

	// Beyond the time in which JetStream knows the id.
	stream, err := w.js.Stream(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}

	config := stream.CachedInfo().Config
	config.Duplicates = 100 * time.Millisecond

	if _, err := w.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}

	w.until("JetStream has forgotten the id", func() bool {
		ack, err := w.js.Publish(t.Context(), "orders.1", []byte("another order"), jetstream.WithMsgID("1"))

		return err == nil && !ack.Duplicate
	})

	w.until("there are two dead letters", func() bool { return len(w.deadLetters()) == 2 })
	w.settled()
	w.charged(1)

	letters := w.deadLetters()
	for i, want := range []string{"key", "reused"} {
		if got := letters[i].Headers().Get(consume.HeaderCause); got != want {
			t.Errorf("the cause is %q, want %q", got, want)
		}
	}
}

func TestADeadLetterThatIsNotStoredIsNotLost(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", 100*time.Millisecond)

	acks, err := w.js.Conn().SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, refuse)

	if err := w.js.DeleteStream(t.Context(), "dead"); err != nil {
		t.Fatal(err)
	}

	w.publish(1)

	for range 10 { // the message is extended until its dead letter is stored
		ack, err := acks.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}

		if string(ack.Data) != "+WPI" {
			t.Errorf("the server gets %q, want an extension", ack.Data)
		}
	}

	stream, err := w.js.Stream(t.Context(), "orders")
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("the message is gone: %v", err)
	}

	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "dead", Subjects: []string{"dead.>"}}); err != nil {
		t.Fatal(err)
	}

	w.settled()

	if n := len(w.deadLetters()); n != 1 {
		t.Errorf("there are %d dead letters", n)
	}
}

func TestAMessageIsExtendedWhileItIsHandled(t *testing.T) {
	w := newWorld(t)
	w.pull("billing", 300*time.Millisecond)

	acks, err := w.js.Conn().SubscribeSync("$JS.ACK.>") // what consumers send to the server about messages
	if err != nil {
		t.Fatal(err)
	}

	w.start(settings{Name: "billing", Guarantee: onlyonce.AtLeastOnce}, func(context.Context, *consume.Message) error {
		for range 3 {
			if ack, err := acks.NextMsg(time.Minute); err != nil || string(ack.Data) != "+WPI" {
				t.Errorf("the message is not extended: %v", err)
			}
		}

		return nil
	})

	w.publish(1)
	w.settled()
}

func TestNewRefusesWhatLosesMessages(t *testing.T) {
	w := newWorld(t)

	handle := func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }

	const explicit = jetstream.AckExplicitPolicy

	for want, c := range map[string]struct {
		config     jetstream.ConsumerConfig
		deadLetter string
		opts       []oncenats.Option
	}{
		"MaxDeliver of consumer c is 5":      {config: jetstream.ConsumerConfig{MaxDeliver: 5, AckPolicy: explicit}},
		"AckPolicy of consumer c is AckNone": {config: jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}},
		"c is HeadersOnly":                   {config: jetstream.ConsumerConfig{HeadersOnly: true, AckPolicy: explicit}},
		`no stream stores the dead-letter subject "nowhere"`: {
			config: jetstream.ConsumerConfig{AckPolicy: explicit}, deadLetter: "nowhere",
		},
		`belongs to the stream that is consumed, orders`: {
			config: jetstream.ConsumerConfig{AckPolicy: explicit}, deadLetter: "orders.dead",
		},
		"WithWorkers is 0": {
			config: jetstream.ConsumerConfig{AckPolicy: explicit}, opts: []oncenats.Option{oncenats.WithWorkers(0)},
		},
	} {
		c.config.Name = "c"

		pull, err := w.js.CreateConsumer(t.Context(), "orders", c.config)
		if err != nil {
			t.Fatal(err)
		}

		_, err = oncenats.New(t.Context(), w.js, pull, handle, cmp.Or(c.deadLetter, "dead.orders"), c.opts...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one about %q", err, want)
		}

		if err := w.js.DeleteConsumer(t.Context(), "orders", "c"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunEndsWhenItsConsumerIsDeleted(t *testing.T) {
	w := newWorld(t)
	pull := w.pull("billing", time.Minute)

	handle := func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }

	c, err := oncenats.New(t.Context(), w.js, pull, handle, "dead.orders", oncenats.WithWorkers(2))
	if err != nil {
		t.Fatal(err)
	}

	ended := make(chan error)

	go func() { ended <- c.Run(t.Context()) }()

	w.until("the consumer waits", func() bool {
		info, err := pull.Info(t.Context())

		return err == nil && info.NumWaiting == 2
	})

	if err := w.js.DeleteConsumer(t.Context(), "orders", "billing"); err != nil {
		t.Fatal(err)
	}

	if err := <-ended; !errors.Is(err, jetstream.ErrConsumerDeleted) {
		t.Errorf("Run returns %v", err)
	}
}
