//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// survivor runs a consumer that gets what a killed one had.
func survivor(t *testing.T, w *world, seen *reports, opts ...consume.Option) {
	t.Helper()

	e, closeStore, err := w.engine(policy(inHandler))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(closeStore)

	h, err := consume.Handler(e, "test", consume.ByID, func(_ context.Context, m *consume.Message) error {
		return w.act(m.ID)
	}, append(opts, consume.WithBackoff(soon))...)
	if err != nil {
		t.Fatal(err)
	}

	c, err := oncerabbit.New(w.queue, h, oncerabbit.ByReject(), oncerabbit.WithBackoff(soon), oncerabbit.WithReport(seen.add))
	if err != nil {
		t.Fatal(err)
	}

	start(t, c, (&network{url: w.url}).dial)
}

func TestF05AConsumerThatIsKilledBeforeItsAcknowledgementHasActedOnce(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	w := newWorld(t, b)

	var seen reports

	b.publish("a", "a")
	w.killed(t, beforeAck)

	survivor(t, w, &seen)
	seen.wait(t, "the replay", replayed)
	b.waitTaken(b.queue)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF03ARecordOfAConsumerThatIsKilledInItsHandlerDoesNotRunAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	w := newWorld(t, b)

	var seen reports

	b.publish("a", "a")
	w.killed(t, inHandler)
	survivor(t, w, &seen)
	seen.wait(t, "the dead letter", func(r oncerabbit.Report) bool {
		return r.Decision.Action == consume.DeadLetter && r.Decision.Cause == consume.CauseUnknown && r.Err == nil
	})
	b.waitDead()
	b.waitTaken(b.queue)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF04ARecoveryFunctionFindsTheEffectOfAConsumerThatWasKilled(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	w := newWorld(t, b)

	var seen reports

	b.publish("a", "a")
	w.killed(t, inHandler)
	survivor(t, w, &seen, consume.WithRecover(func(_ context.Context, m *consume.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
		if m.ID == "a" && w.happened() == 1 {
			return consume.FindingOf(nil), nil
		}

		return onlyonce.DidNotHappen(), nil
	}))
	seen.wait(t, "the acknowledgement", func(r oncerabbit.Report) bool { return r.Decision.Action == consume.Ack })
	b.waitTaken(b.queue)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF55AMessageThatKillsItsProcessRunsMaxAttemptsTimes(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	w := newWorld(t, b)

	b.publish("a", "a")

	// The child that does not run the handler any more rejects the message.
	child, _ := w.child(t, exits)

	servertest.Wait(t, "the dead letter", func() error {
		if child.IsEnded() {
			child, _ = w.child(t, exits)
		}

		_, ok, err := b.ch.Get(b.dead, true)
		if err == nil && !ok {
			err = errors.New("there is none")
		}

		return err
	})

	if n := w.happened(); n != childAttempts {
		t.Errorf("%d runs, want %d", n, childAttempts)
	}
}
