package consume_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// The first deliveries have killed their processes. A single transaction leaves nothing behind to count them by.
func TestF55AMessageThatKillsItsProcessInASingleTransactionHasABound(t *testing.T) {
	t.Parallel()

	single := onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.SingleTransaction}

	for name, test := range map[string]struct {
		policy onlyonce.Policy
		opts   []consume.Option
		bound  int // 0: none
	}{
		"single transaction":             {policy: single, bound: consume.DefaultMaxDeliveries},
		"single transaction, with three": {policy: single, opts: []consume.Option{consume.WithMaxDeliveries(3)}, bound: 3},
		"single transaction, with none":  {policy: single, opts: []consume.Option{consume.WithMaxDeliveries(0)}},
		"joined transaction": {
			policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction},
		},
		"lease": {policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}},
		"lease, with three": {
			policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}, opts: []consume.Option{consume.WithMaxDeliveries(3)}, bound: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			const many = 1_000_000

			c := start(t, txstore.New(), nil, append(test.opts, consume.WithPolicy(test.policy))...)

			if test.bound == 0 {
				c.gets(message("m", many), consume.Ack, consume.CauseDone)

				return
			}

			c.gets(message("at-the-bound", test.bound), consume.Ack, consume.CauseDone)
			c.gets(message("beyond-it", test.bound+1), consume.DeadLetter, consume.CausePoison)
			c.gets(message("at-the-bound", test.bound+1), consume.Ack, consume.CauseDone)
			c.hasRun(1)
		})
	}
}

// An outage of the store is no fault of a message.
func TestF06DeliveriesThatEndedInThisProcessDoNotCountForMaxDeliveries(t *testing.T) {
	t.Parallel()

	s := txstore.New()
	c := start(t, s, nil, consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))

	for n := range 2 * consume.DefaultMaxDeliveries {
		s.Fail(txstore.Refused)
		c.gets(message("m", n+1), consume.Redeliver, consume.CauseStore)
	}

	c.gets(message("m", 2*consume.DefaultMaxDeliveries+1), consume.Ack, consume.CauseDone)
}

// A key that was released has no outcome, either.
func TestAMessageWhoseKeyIsReleasedHasABoundOfDeliveries(t *testing.T) {
	t.Parallel()

	const bound = 3

	s := txstore.New()
	opts := []consume.Option{
		consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}), consume.WithMaxDeliveries(bound),
	}

	c := start(t, s, func(context.Context, *consume.Message) error { return errors.New("failed") }, opts...)
	c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)

	next := start(t, s, nil, opts...) // of another process
	next.gets(message("m", bound+1), consume.DeadLetter, consume.CausePoison)
	next.hasRun(0)
}

// The end of a run that is told to stop says nothing about its message.
func TestF56ARunThatADrainEndsIsNoFailureOfItsMessage(t *testing.T) {
	t.Parallel()

	s := txstore.New()
	begun := make(chan struct{})

	c := start(t, s, func(ctx context.Context, _ *consume.Message) error {
		close(begun)
		<-ctx.Done()
		s.Fail(txstore.Refused)

		return nil
	}, consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, MaxAttempts: 1}))

	var drained sync.WaitGroup

	drained.Go(func() {
		<-begun

		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		_ = c.engine.Drain(ctx) // it tells the run
	})

	c.gets(message("m", 1), consume.Redeliver, consume.CauseStore)
	drained.Wait()
}
