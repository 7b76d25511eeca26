package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestWaitForOtherTransactionsIsNoPartOfMaxRun(t *testing.T) {
	t.Parallel()

	const maxRun, waits = 8 * time.Second, 9 * time.Second

	limited := onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, Lease: time.Second, MaxRun: maxRun})

	// whole is a handler that has the whole of MaxRun.
	whole := func(t *testing.T, p *payments) func(context.Context) ([]byte, error) {
		t.Helper()

		return func(ctx context.Context) ([]byte, error) {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != maxRun {
				t.Errorf("the handler has %v, want %v", time.Until(end), maxRun)
			}

			return p.cancellable(maxRun - time.Second)(ctx)
		}
	}

	t.Run("of the same key", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			db := txstore.New()
			here, there := newEngine(t, db, limited), newEngine(t, db, limited)

			var p payments

			first := inBackground(t.Context(), here, pay("k"), func(context.Context) ([]byte, error) {
				time.Sleep(waits)

				return nil, errLine
			})

			synctest.Wait()
			do(t, there, pay("k"), whole(t, &p)).mustBe(t, onlyonce.StatusExecuted, "#1")
			(<-first).mustFail(t, onlyonce.StatusUnknown, errLine)
		})
	})

	t.Run("of others", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			db := &queueingStore{Store: txstore.New(), waits: []time.Duration{waits}}
			e := newEngine(t, db, limited)

			var p payments

			do(t, e, pay("k"), whole(t, &p)).mustBe(t, onlyonce.StatusExecuted, "#1")
		})
	})
}

// queueingStore is a txstore whose transactions wait before they begin, each for its own time.
type queueingStore struct {
	*txstore.Store

	waits []time.Duration
}

func (s *queueingStore) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Transactional = s

	return can
}

func (s *queueingStore) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if len(s.waits) > 0 {
		time.Sleep(s.waits[0])
		s.waits = s.waits[1:]
	}

	return s.Store.Begin(ctx, op, wait)
}

func TestHandlerIsNotRunAgainWhoseMaxRunIsOverBeforeItsTransactionBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &queueingStore{Store: txstore.New(), waits: []time.Duration{0, 200 * time.Millisecond}}
		e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		s := shop{lasts: onlyonce.DefaultMaxRun - 100*time.Millisecond}

		db.Fail(txstore.Conflict)
		do(t, e, pay("k"), s.sell).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		s.mustHave(t, 1, 0)
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}
