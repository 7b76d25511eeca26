package consume_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// The transaction of such a run is rolled back, so the record has nothing to count by.
func TestF55AHandlerThatAlwaysOutlivesMaxRunIsADeadLetterAfterItsAttempts(t *testing.T) {
	t.Parallel()

	for name, counts := range map[string]func(delivery int) int{
		"the queue counts":                       func(delivery int) int { return delivery },
		"the queue counts the first alone":       func(delivery int) int { return 1 / delivery },
		"the queue does not count":               func(int) int { return 0 },
		"the commit fails, and nobody knows how": func(delivery int) int { return delivery },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			synctest.Test(t, func(t *testing.T) {
				s := txstore.New()
				c := start(t, s, func(context.Context, *consume.Message) error {
					if name == "the commit fails, and nobody knows how" {
						s.Fail(txstore.RequestLost)
					} else {
						s.Fail(txstore.Refused)
					}

					time.Sleep(onlyonce.DefaultMaxRun + time.Second) // whatever becomes of its context

					return nil
				}, consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 3}))

				c.gets(message("m", counts(1)), consume.Redeliver, consume.CauseFailed)
				c.gets(message("m", counts(2)), consume.Redeliver, consume.CauseFailed)

				if d := c.gets(message("m", counts(3)), consume.DeadLetter, consume.CausePoison); !errors.Is(d.Err, onlyonce.ErrMaxRun) {
					t.Errorf("the error is %v, want one that names MaxRun", d.Err)
				}

				c.hasRun(3)
			})
		})
	}
}

// A commit that fails in time says nothing about the message.
func TestF06ARunInTimeWhoseCommitFailsIsNoFailureOfItsMessage(t *testing.T) {
	t.Parallel()

	s := txstore.New()
	c := start(t, s, func(context.Context, *consume.Message) error { return nil },
		consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 3}))

	for n := range 10 {
		s.Fail(txstore.Refused)
		c.gets(message("m", n+1), consume.Redeliver, consume.CauseStore)
	}

	c.gets(message("m", 11), consume.Ack, consume.CauseDone)
}

// A classic queue of RabbitMQ counts nothing after the first delivery.
func TestF55APoisonMessageOfAQueueThatDoesNotCountIsADeadLetter(t *testing.T) {
	t.Parallel()

	c := start(t, txstore.New(), func(context.Context, *consume.Message) error { return errBoom },
		consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 3}))

	c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)
	c.gets(message("m", 0), consume.Redeliver, consume.CauseFailed)
	c.gets(message("m", 0), consume.DeadLetter, consume.CausePoison)
	c.hasRun(3)
}

// The last run takes too long, and commits although the reply is lost. Its message is done.
func TestF12AMessageWhoseLastRunHasCommittedIsNoDeadLetter(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s := txstore.New()
		c := start(t, s, func(context.Context, *consume.Message) error {
			s.Fail(txstore.ReplyLost)
			time.Sleep(onlyonce.DefaultMaxRun + time.Second)

			return nil
		}, consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 1}))

		c.gets(message("m", 1), consume.Redeliver, consume.CauseInProgress)

		if d := c.gets(message("m", 2), consume.Ack, consume.CauseDone); !d.Replayed {
			t.Errorf("the outcome is not replayed: %+v", d)
		}

		c.hasRun(1)
	})
}
