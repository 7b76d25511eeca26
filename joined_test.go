package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// join is a handler that writes its rows and its completion in a transaction of its own.
func (s *shop) join(db *txstore.Store) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		body := []byte{'#', byte('0' + s.runs.Add(1))}

		time.Sleep(s.lasts)

		tx := db.Open()
		defer tx.Rollback()

		tx.Write(func() { s.rows.Add(1) })

		if err := tx.Join(ctx, body, nil); err != nil {
			return nil, err
		}

		return body, errors.Join(tx.Commit(ctx), s.fails)
	}
}

func TestJoinedRunIsRecordedByTheTransactionOfItsHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))
		s := shop{lasts: 20 * time.Second} // longer than a lease

		do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusReplayed, "#1")
		s.mustHave(t, 1, 1)
	})
}

func TestJoinedHandlerThatFailsAfterItsCommitIsAnsweredWithWhatItCommitted(t *testing.T) {
	t.Parallel()

	for name, fails := range map[string]error{
		"ambiguous":    errors.New("no"),
		"definite":     onlyonce.Final(errors.New("no")),
		"not executed": onlyonce.NotExecuted(errors.New("no")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := txstore.New()
				e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))
				s := shop{fails: fails}

				do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusExecuted, "#1")
				do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusReplayed, "#1")
				s.mustHave(t, 1, 1)
			})
		})
	}
}

func TestF12JoinedCommitWhoseReplyIsLostIsDecidedByTheRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))

		var s shop

		db.Fail(txstore.ReplyLost)
		do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusExecuted, "#1")

		db.Fail(txstore.RequestLost)

		if got := do(t, e, pay("other"), s.join(db)); got.err == nil || got.Status != onlyonce.StatusUnknown {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		s.mustHave(t, 2, 1)
		do(t, e, pay("other"), s.join(db)).mustBe(t, onlyonce.StatusExecuted, "#3")
		s.mustHave(t, 3, 2)
	})
}

func TestHandlerThatForgetsToCommitIsNotAnsweredWithItsResponse(t *testing.T) {
	t.Parallel()

	for name, leaks := range map[string]bool{"rolled back": false, "left open for a second": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := txstore.New()
				e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))

				var s shop

				got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					body, tx := []byte("lie"), db.Open()
					err := tx.Join(ctx, body, nil)

					if leaks {
						time.AfterFunc(time.Second, tx.Rollback)
					} else {
						tx.Rollback()
					}

					return body, err
				})

				if !errors.Is(got.err, onlyonce.ErrNotCommitted) {
					t.Errorf("got %s %q, %v", got.Status, got.Body, got.err)
				}

				do(t, e, pay("k"), s.join(db)).mustBe(t, onlyonce.StatusExecuted, "#1")
				s.mustHave(t, 1, 1)
			})
		})
	}
}

func TestHandlerWhoseTransactionCommitsAfterItHasReturnedIsAnsweredFromTheRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			body, tx := []byte("late"), db.Open()
			err := tx.Join(ctx, body, nil)

			ctx = context.WithoutCancel(ctx)
			time.AfterFunc(time.Second, func() { _ = tx.Commit(ctx) })

			return body, err
		}).mustBe(t, onlyonce.StatusExecuted, "late")
	})
}

func TestHandlerThatDoesNotJoinIsRecordedAllTheSameAndReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.JoinedTransaction), onlyonce.WithObserver(seen))

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		_ = do(t, e, pay("refused"), p.failing(onlyonce.Final(errors.New("no")))) // it has nothing to commit

		if n := len(seen.of(onlyonce.EventNotJoined)); n != 1 {
			t.Errorf("%d events, want one for the response", n)
		}
	})
}

func TestF16OvertakenRunCannotCommitAndItsCallerGetsTheWinnersOutcome(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		winnerLasts time.Duration
		first       func(*testing.T, answer)
	}{
		"the winner has finished": {0, func(t *testing.T, got answer) { t.Helper(); got.mustBe(t, onlyonce.StatusReplayed, "#1") }},
		"the winner is running": {time.Minute, func(t *testing.T, got answer) {
			t.Helper()
			got.mustBeRejected(t, onlyonce.ReasonLeaseLost)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := txstore.New()
				stopped := newEngine(t, pausedStore{db}, exactlyOnce(onlyonce.JoinedTransaction))
				other := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction), onlyonce.WithPolicy(onlyonce.Policy{MaxRun: time.Hour}))

				late, winner := shop{lasts: 20 * time.Second}, shop{lasts: tt.winnerLasts}

				first := inBackground(t.Context(), stopped, pay("k"), late.join(db))

				time.Sleep(16 * time.Second) // nobody renews

				second := inBackground(t.Context(), other, pay("k"), winner.join(db))

				tt.first(t, <-first)
				(<-second).mustBe(t, onlyonce.StatusExecuted, "#1")

				if rows := late.rows.Load(); rows != 0 {
					t.Error("the overtaken run has committed")
				}

				winner.mustHave(t, 1, 1)
			})
		})
	}
}

// pausedStore is a txstore whose renewals do not arrive.
type pausedStore struct{ *txstore.Store }

func (pausedStore) Renew(context.Context, store.Renewal) (store.Result, error) {
	return store.Result{}, errLine
}

func TestRunThatHasJoinedKeepsItsKeyForAsLongAsItsTransactionIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction), onlyonce.WithObserver(seen))

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			body, tx := []byte("slow"), db.Open()
			err := tx.Join(ctx, body, nil)

			time.Sleep(20 * time.Second) // longer than the lease

			return body, errors.Join(err, ctx.Err(), tx.Commit(ctx))
		}).mustBe(t, onlyonce.StatusExecuted, "slow")

		if lost, failed := seen.of(onlyonce.EventLeaseLost), seen.of(onlyonce.EventRenewFailed); len(lost)+len(failed) > 0 {
			t.Errorf("%d leases were lost, %d renewals failed", len(lost), len(failed))
		}
	})
}

func TestJoinedRunUnderDoRecordsTextAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))
		handler := func(response any) func(context.Context) ([]byte, error) {
			return func(ctx context.Context) ([]byte, error) {
				tx := db.Open()
				defer tx.Rollback()

				if err := tx.Join(ctx, response, nil); err != nil {
					return nil, err
				}

				return []byte("text"), tx.Commit(ctx)
			}
		}

		do(t, e, pay("text"), handler("text")).mustBe(t, onlyonce.StatusExecuted, "text")
		do(t, e, pay("text"), handler("text")).mustBe(t, onlyonce.StatusReplayed, "text")

		if got := do(t, e, pay("number"), handler(7)); got.err == nil || !strings.Contains(got.err.Error(), "not int") {
			t.Errorf("got %s, %v", got.Status, got.err)
		}
	})
}
