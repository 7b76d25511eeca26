//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// survivor runs a member that gets what a killed one had.
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

	c, err := oncekafka.New(h, dead, w.options(), oncekafka.WithIDHeader("message-id"), oncekafka.WithReport(seen.add))
	if err != nil {
		t.Fatal(err)
	}

	start(t, c)
}

func TestF05AMemberThatIsKilledBeforeItsCommitHasActedOnce(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	w := newWorld(t, b)

	var seen reports

	b.produce(0, "a")
	w.killed(t, beforeCommit)

	if at, err := b.committed(0); err != nil || at > 0 {
		t.Errorf("the offset %d is committed, %v", at, err)
	}

	survivor(t, w, &seen)
	seen.wait(t, "the replay", replayed)
	b.waitCommitted(0, 1)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF03ARecordOfAMemberThatIsKilledInItsHandlerDoesNotRunAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	w := newWorld(t, b)

	var seen reports

	b.produce(0, "a")
	w.killed(t, inHandler)
	survivor(t, w, &seen)
	seen.wait(t, "the dead letter", func(r oncekafka.Report) bool {
		return r.Decision.Action == consume.DeadLetter && r.Decision.Cause == consume.CauseUnknown && r.Err == nil
	})
	b.waitDead(1)
	b.waitCommitted(0, 1)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF04ARecoveryFunctionFindsTheEffectOfAMemberThatWasKilled(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	w := newWorld(t, b)

	var seen reports

	b.produce(0, "a")
	w.killed(t, inHandler)
	survivor(t, w, &seen, consume.WithRecover(func(_ context.Context, m *consume.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
		if m.ID == "a" && w.happened() == 1 {
			return consume.FindingOf(nil), nil
		}

		return onlyonce.DidNotHappen(), nil
	}))
	seen.wait(t, "the acknowledgement", func(r oncekafka.Report) bool { return r.Decision.Action == consume.Ack })
	b.waitCommitted(0, 1)

	if n := w.happened(); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestF55ARecordThatKillsItsProcessRunsMaxAttemptsTimes(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	w := newWorld(t, b)

	b.produce(0, "a")

	// The child that does not run the handler any more commits.
	child, _ := w.child(t, exits)

	servertest.Wait(t, "the dead letter", func() error {
		if child.IsEnded() {
			b.expelAll()

			child, _ = w.child(t, exits)
		}

		if at, err := b.committed(0); err != nil || at != 1 {
			return errors.Join(err, errors.New("the record is not done"))
		}

		return nil
	})
	b.waitDead(1)

	if n := w.happened(); n != childAttempts {
		t.Errorf("%d runs, want %d", n, childAttempts)
	}
}
