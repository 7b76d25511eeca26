package consume_test

import (
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
