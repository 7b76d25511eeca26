package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
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

// committingLate is a handler that joins a transaction and returns a second before that commits.
func committingLate(db *txstore.Store) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		body, tx := []byte("late"), db.Open()
		err := tx.Join(ctx, body, nil)

		ctx = context.WithoutCancel(ctx)
		time.AfterFunc(time.Second, func() { _ = tx.Commit(ctx) })

		return body, err
	}
}

func TestHandlerWhoseTransactionCommitsAfterItHasReturnedIsAnsweredFromTheRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))

		do(t, e, pay("k"), committingLate(db)).mustBe(t, onlyonce.StatusExecuted, "late")
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

		if n := len(seen.of(onlyonce.EventTransactionUnused)); n != 1 {
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

				time.Sleep(16 * time.Second) // the lease is not renewed

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

func TestJoinedRunIsNotAnsweredWithWhatNoRecordHolds(t *testing.T) {
	t.Parallel()

	resolved := func(t *testing.T, e *onlyonce.Engine, _ *losingStore) {
		t.Helper()
		time.Sleep(onlyonce.DefaultMaxRun + onlyonce.DefaultLease)

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.DidNotHappen()); err != nil {
			t.Errorf("Resolve: %v", err)
		}
	}
	lost := func(t *testing.T, _ *onlyonce.Engine, s *losingStore) { t.Helper(); s.lose(t) }
	down := func(_ *testing.T, _ *onlyonce.Engine, s *losingStore) { s.down.Store(true) }

	type gone func(*testing.T, *onlyonce.Engine, *losingStore)

	for name, tt := range map[string]struct {
		early, late bool // whether the handler joins, before and after the record is gone
		gone        gone
		ends        error
	}{
		"resolved as not executed":                 {early: true, gone: resolved},
		"resolved before it joins":                 {late: true, gone: resolved},
		"resolved, and it does not join":           {gone: resolved},
		"lost":                                     {early: true, gone: lost},
		"lost before it joins":                     {late: true, gone: lost},
		"lost, and it does not join":               {gone: lost},
		"lost, and it ends with an error":          {gone: lost, ends: onlyonce.Final(errLine)},
		"the store is down, and it does not join":  {gone: down},
		"the store is down, and it ends with one":  {gone: down, ends: onlyonce.Final(errLine)},
		"the store is down after it has joined":    {early: true, gone: down},
		"the store is down and it joins, and ends": {early: true, gone: down, ends: onlyonce.Final(errLine)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &losingStore{Store: txstore.New()}
				e := newEngine(t, s, exactlyOnce(onlyonce.JoinedTransaction))

				join := func(ctx context.Context) error {
					tx := s.Open()
					defer tx.Rollback() // the database has ended it, which the handler overlooks

					return tx.Join(ctx, []byte("lie"), nil)
				}

				do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					if tt.early {
						if err := join(ctx); err != nil {
							t.Error(err)
						}
					}

					tt.gone(t, e, s)

					if tt.late {
						_ = join(ctx) // the handler ignores that error, too
					}

					return []byte("lie"), tt.ends
				}).mustBeRejected(t, onlyonce.ReasonLeaseLost)

				s.down.Store(false)

				if err := e.Drain(t.Context()); err != nil {
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}

// losingStore is a txstore that loses the record of its last claim, or is down when a run ends.
type losingStore struct {
	*txstore.Store

	claim store.Claim
	down  atomic.Bool
}

func (s *losingStore) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Inspector, can.Transactional = s, s

	return can
}

func (s *losingStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	s.claim = op

	return s.Store.Claim(ctx, op)
}

func (s *losingStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if s.down.Load() {
		return store.Result{}, errLine
	}

	return s.Store.Complete(ctx, op)
}

func (s *losingStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	if s.down.Load() {
		return store.Result{}, errLine
	}

	return s.Store.Lookup(ctx, key)
}

func (s *losingStore) lose(t *testing.T) {
	t.Helper()

	claim := s.claim
	claim.Retention = time.Millisecond

	if res, err := s.Release(t.Context(), store.Release{Claim: claim}); err != nil || !res.Applied {
		t.Errorf("Release = %+v, %v", res, err)
	}

	time.Sleep(2 * time.Millisecond)
}
