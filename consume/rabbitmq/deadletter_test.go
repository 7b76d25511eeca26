//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
)

func TestAPoisonMessageBecomesADeadLetterAfterItsAttempts(t *testing.T) {
	t.Parallel()

	const attempts = 3

	for name, tt := range map[string]struct {
		way     func(b *broker) oncerabbit.DeadLetters
		headers map[string]string
	}{
		"published": {
			func(b *broker) oncerabbit.DeadLetters { return oncerabbit.ByPublishing("", b.dead) },
			map[string]string{consume.HeaderCause: string(consume.CausePoison), consume.HeaderError: "cannot be handled", "tenant": "acme"},
		},
		"rejected": {func(*broker) oncerabbit.DeadLetters { return oncerabbit.ByReject() }, map[string]string{"tenant": "acme"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b := newBroker(t)

			var done effects

			h := handler(t, engine(t, memory(), onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: attempts}),
				func(_ context.Context, m *consume.Message) error {
					done.add(m.ID)

					if m.ID == "bad" {
						return errors.New("cannot be handled")
					}

					return nil
				})

			c, err := oncerabbit.New(b.queue, h, tt.way(b), oncerabbit.WithBackoff(soon))
			if err != nil {
				t.Fatal(err)
			}

			start(t, c, (&network{url: b.url}).dial)
			b.publish("bad", "body")
			b.publish("good", "")

			letter := b.waitDead()
			b.waitTaken(b.queue)

			if done.n["bad"] != attempts || done.n["good"] != 1 {
				t.Errorf("got %v", done.n)
			}

			if letter.MessageId != "bad" || string(letter.Body) != "body" || letter.DeliveryMode != amqp.Persistent {
				t.Errorf("the dead letter is %q, %q, %d", letter.MessageId, letter.Body, letter.DeliveryMode)
			}

			for name, want := range tt.headers {
				if letter.Headers[name] != want {
					t.Errorf("the header %s is %q, want %q", name, letter.Headers[name], want)
				}
			}
		})
	}
}

func TestADeadLetterThatNoQueueGetsStaysInItsQueue(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var seen reports

	decided := make(chan struct{}, 10)

	c, err := oncerabbit.New(b.queue, func(context.Context, *consume.Message) consume.Decision {
		decided <- struct{}{}

		return consume.Decision{Action: consume.DeadLetter, Cause: consume.CauseKey}
	}, oncerabbit.ByPublishing("", "not there"), oncerabbit.WithReport(seen.add))
	if err != nil {
		t.Fatal(err)
	}

	stop := start(t, c, (&network{url: b.url}).dial)

	b.publish("a", "")
	<-decided
	stop() // which does not wait until the message is held long enough

	if len(seen.all) == 0 || seen.all[0].Err == nil || !strings.Contains(seen.all[0].Err.Error(), "no queue gets it") {
		t.Errorf("got %v", seen.all)
	}

	if d, ok, err := b.ch.Get(b.queue, true); err != nil || !ok || d.MessageId != "a" {
		t.Errorf("the message is not there: %v", err)
	}
}

func TestF24AMessageWithTheIDOfAnotherIsADeadLetter(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var done effects

	start(t, b.consumer(handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		done.add(string(m.Data))

		return nil
	}), oncerabbit.WithPrefetch(1)), (&network{url: b.url}).dial)

	b.publish("a", "first")
	b.publish("a", "second")

	if letter := b.waitDead(); string(letter.Body) != "second" || letter.Headers[consume.HeaderCause] != string(consume.CauseReused) {
		t.Errorf("the dead letter is %q, %v", letter.Body, letter.Headers)
	}

	b.waitTaken(b.queue)
	done.check(t, "first")
}

func TestAMessageWithoutAnIDIsADeadLetterUnlessItGetsOne(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var done effects

	start(t, b.consumer(handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		done.add(m.ID + " " + m.Header("tenant") + " " + m.Header("try"))

		return nil
	}), oncerabbit.WithMessage(func(d *amqp.Delivery, m *consume.Message) {
		if id, ok := strings.CutPrefix(string(d.Body), "number "); ok {
			m.ID = id
		}
	})), (&network{url: b.url}).dial)

	b.publish("", "nothing")
	b.publish("", "number 17")

	if letter := b.waitDead(); string(letter.Body) != "nothing" {
		t.Errorf("the dead letter is %q", letter.Body)
	}

	b.waitTaken(b.queue)
	done.check(t, "17 acme 7")
}
