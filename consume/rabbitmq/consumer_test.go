//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// The connection breaks after the effect and before the acknowledgement.
func TestF05AMessageWhoseAcknowledgementIsLostActsOnce(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	net := &network{url: b.url}

	var (
		done effects
		seen reports
	)

	h := handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		done.add(m.ID)

		return nil
	})

	var once sync.Once

	start(t, b.consumer(func(ctx context.Context, m *consume.Message) consume.Decision {
		decision := h(ctx, m)
		once.Do(net.cut)

		return decision
	}, oncerabbit.WithReport(seen.add)), net.dial)

	b.publish("a", "1")
	seen.wait(t, "the replay", func(r oncerabbit.Report) bool { return replayed(r) && r.Err == nil && r.Message.Deliveries == 2 })
	b.waitTaken(b.queue)
	done.check(t, "a")

	if net.dials < 2 {
		t.Errorf("%d connections", net.dials)
	}
}

// The first consumer loses its connection and goes on, so the server gives the message to the second one.
func TestAMessageThatIsHandledElsewhereRunsOnceAndIsNotLost(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	st := memory()
	first, second := &network{url: b.url}, &network{url: b.url}

	var (
		done effects
		seen reports
	)

	running, finish := make(chan struct{}), make(chan struct{})
	handle := func(_ context.Context, m *consume.Message) error {
		close(running) // a second run would panic
		<-finish
		done.add(m.ID)

		return nil
	}

	stop := start(t, b.consumer(handler(t, engine(t, st, onlyonce.Policy{}), handle)), first.dial)

	b.publish("a", "1")
	<-running

	start(t, b.consumer(handler(t, engine(t, st, onlyonce.Policy{}), handle), oncerabbit.WithReport(seen.add)), second.dial)

	// The first consumer must not get it back.
	go stop()
	first.cut()

	seen.wait(t, "finding it in progress", func(r oncerabbit.Report) bool {
		return r.Decision.Action == consume.Redeliver && r.Decision.Cause == consume.CauseInProgress && r.Err == nil
	})
	close(finish)
	seen.wait(t, "the replay", replayed)
	b.waitTaken(b.queue)
	done.check(t, "a")
}

func TestSeveralConsumersActOnceForEachMessageAlsoIfItIsSentTwice(t *testing.T) {
	t.Parallel()

	const messages, consumers = 100, 3

	b := newBroker(t)
	st := memory()

	var (
		done  effects
		ended sync.WaitGroup
	)

	ids := make([]string, 0, messages)

	for range consumers {
		h := handler(t, engine(t, st, onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
			done.add(m.ID)

			return nil
		})

		start(t, b.consumer(func(ctx context.Context, m *consume.Message) consume.Decision {
			decision := h(ctx, m)
			if decision.Action == consume.Ack {
				ended.Done()
			}

			return decision
		}), (&network{url: b.url}).dial)
	}

	ended.Add(2 * messages)

	for i := range messages {
		ids = append(ids, fmt.Sprint("m", i))
		b.publish(ids[i], ids[i])
		b.publish(ids[i], ids[i])
	}

	ended.Wait()
	done.check(t, ids...)
}

func TestAConnectionThatRecoversByItselfIsRefused(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	c := b.consumer(func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} })

	err := c.Run(t.Context(), func(context.Context) (*amqp.Connection, error) {
		return amqp.DialConfig(b.url, amqp.Config{Recovery: &amqp.Recovery{}})
	})
	if !errors.Is(err, oncerabbit.ErrRecovery) {
		t.Errorf("got %v", err)
	}
}

// A consumer that stops gives back what waits, and acknowledges what is still done.
func TestAConsumerThatStopsLosesNothing(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var seen reports

	entered, finish := make(chan string, 2), make(chan struct{})

	stop := start(t, b.consumer(func(_ context.Context, m *consume.Message) consume.Decision {
		entered <- m.ID

		if m.ID == "waits" {
			return consume.Decision{Action: consume.Redeliver, Delay: servertest.Patience}
		}

		<-finish

		return consume.Decision{Action: consume.Ack}
	}, oncerabbit.WithReport(seen.add)), (&network{url: b.url}).dial)

	b.publish("waits", "")
	b.publish("works", "")
	<-entered
	<-entered

	stopped := make(chan struct{})

	go func() {
		defer close(stopped)

		stop()
	}()

	isBack := func(r oncerabbit.Report) bool { return r.Message.ID == "waits" && r.Err == nil }
	seen.wait(t, "giving it back", isBack)
	close(finish)
	<-stopped
	seen.wait(t, "acknowledging", func(r oncerabbit.Report) bool { return r.Message.ID == "works" && r.Err == nil })

	servertest.Wait(t, "the message that waits", func() error {
		d, ok, err := b.ch.Get(b.queue, true)
		if err != nil || !ok {
			return fmt.Errorf("it is not there, %w", err)
		}

		if d.MessageId != "waits" {
			t.Errorf("got %q", d.MessageId)
		}

		return nil
	})
	b.waitTaken(b.queue)
}

func TestAConsumerOfAQueueThatIsNotThereTriesAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	failed := make(chan error, 1)
	c, err := oncerabbit.New(b.queue+".late", func(context.Context, *consume.Message) consume.Decision {
		return consume.Decision{Action: consume.Ack}
	}, oncerabbit.ByReject(), oncerabbit.WithBackoff(soon), oncerabbit.WithReport(func(_ context.Context, r oncerabbit.Report) {
		select {
		case failed <- r.Err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}

	start(t, c, (&network{url: b.url}).dial)

	var missing *amqp.Error
	if err := <-failed; !errors.As(err, &missing) || missing.Code != amqp.NotFound {
		t.Errorf("got %v", err)
	}

	b.queue += ".late"
	b.declare(b.queue, nil)
	b.publish("a", "")
	b.waitTaken(b.queue)
}
