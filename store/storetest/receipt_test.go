package storetest

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// givesRecords lets a store give its records as receipts.
func givesRecords(s *mapStore) { s.gives = func(rec *store.Record) any { return *rec } }

func TestAWholeStoreThatGivesReceiptsPasses(t *testing.T) {
	t.Parallel()

	giving := func() store.Store {
		s := newMapStore()
		givesRecords(s)

		return s
	}

	for name, messages := range failures(t, giving) {
		t.Errorf("%s: %q", name, messages)
	}
}

// received puts a bug into a store that gives receipts.
func received(wrong func(s *mapStore)) func(s *mapStore) {
	return func(s *mapStore) {
		givesRecords(s)
		wrong(s)
	}
}

func receiptBugs() []bug {
	return []bug{
		{"a completion believes its receipt", receipts, received(on(
			func(op *store.Completion, rec *store.Record, _ time.Time) {
				if seen, ok := op.Receipt.(store.Record); ok {
					*rec = seen
				}
			}, nil))},
		{"a hold believes its receipt", receipts, received(on(
			func(op *store.Hold, rec *store.Record, _ time.Time) {
				if seen, ok := op.Receipt.(store.Record); ok {
					*rec, op.Token = seen, seen.Token
				}
			}, nil))},
		{"a completion without a receipt is refused", receipts, received(on(nil,
			func(op *store.Completion, rec store.Record, _ time.Time, t *store.Transition) {
				if _, ok := op.Receipt.(store.Record); !ok {
					*t = store.Transition{Record: rec}
				}
			}))},
		{"a release with the receipt from before a renewal is refused", receipts, received(on(nil,
			func(op *store.Release, rec store.Record, _ time.Time, t *store.Transition) {
				if seen, ok := op.Receipt.(store.Record); ok && !seen.LeaseUntil.Equal(rec.LeaseUntil) {
					*t = store.Transition{Record: rec}
				}
			}))},
		{"a completion with a receipt ignores the retention that it brings", receipts, received(on(
			func(op *store.Completion, _ *store.Record, _ time.Time) {
				if op.Receipt != nil {
					op.Retention = 0
				}
			}, nil))},
		{"a completion moves the first start to its receipt's", receipts, received(on(nil,
			func(op *store.Completion, _ store.Record, now time.Time, t *store.Transition) {
				if op.Receipt != nil && t.Changed {
					t.Record.FirstStart = now
				}
			}))},
	}
}
