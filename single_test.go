package onlyonce_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// shop is a handler that writes rows in a transaction; they count when it commits.
type shop struct {
	runs, rows atomic.Int64
	fails      error
	lasts      time.Duration
}

// sell is a handler in the transaction of its claim.
func (s *shop) sell(ctx context.Context) ([]byte, error) {
	run := s.runs.Add(1)

	txstore.Write(ctx, func() { s.rows.Add(1) })
	time.Sleep(s.lasts)

	return []byte{'#', byte('0' + run)}, s.fails
}

func (s *shop) mustHave(t *testing.T, runs, rows int64) {
	t.Helper()

	if gotRuns, gotRows := s.runs.Load(), s.rows.Load(); gotRuns != runs || gotRows != rows {
		t.Errorf("%d runs and %d rows, want %d and %d", gotRuns, gotRows, runs, rows)
	}
}

func exactlyOnce(t onlyonce.TransactionMode) onlyonce.Option {
	return onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: t})
}

func TestSingleTransactionCommitsRowsAndRecordTogetherAndIsReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))

		var s shop

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			if rec, err := e.Lookup(ctx, identity("k")); err != nil || rec.State != store.Absent {
				t.Errorf("before the commit there is %+v, %v", rec, err)
			}

			if run, ok := onlyonce.RunFromContext(ctx); !ok || run.Fence != 0 || run.Guarantee != onlyonce.ExactlyOnce {
				t.Errorf("the run is %+v, %t; its fence goes with its transaction, so it has none", run, ok)
			}

			return s.sell(ctx)
		}).mustBe(t, onlyonce.StatusExecuted, "#1")

		mustBeState(t, e, store.Completed)
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusReplayed, "#1")
		do(t, e, payOther("k"), s.sell).mustBeRejected(t, onlyonce.ReasonKeyReused)
		s.mustHave(t, 1, 1)
	})
}

func TestEndOfAHandlerDecidesWhatItsTransactionLeaves(t *testing.T) {
	t.Parallel()

	no := errors.New("no")

	for name, tt := range map[string]struct {
		fails  error
		status onlyonce.Status
		rows   int64
		state  store.State
	}{
		"success":                        {nil, onlyonce.StatusExecuted, 1, store.Completed},
		"a definite error":               {onlyonce.Final(no), onlyonce.StatusExecuted, 0, store.Completed},
		"one that keeps the writes":      {onlyonce.KeepWrites(onlyonce.Final(no)), onlyonce.StatusExecuted, 1, store.Completed},
		"the same marked the other way":  {onlyonce.Final(onlyonce.KeepWrites(no)), onlyonce.StatusExecuted, 1, store.Completed},
		"nothing executed":               {onlyonce.NotExecuted(no), onlyonce.StatusReleased, 0, store.Absent},
		"an ambiguous error":             {no, onlyonce.StatusUnknown, 0, store.Absent},
		"an ambiguous one cannot keep":   {onlyonce.KeepWrites(no), onlyonce.StatusUnknown, 0, store.Absent},
		"nothing executed, nothing kept": {onlyonce.KeepWrites(onlyonce.NotExecuted(no)), onlyonce.StatusReleased, 0, store.Absent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))
				s := shop{fails: tt.fails}

				got := do(t, e, pay("k"), s.sell)
				if got.Status != tt.status || tt.fails != nil && !errors.Is(got.err, no) {
					t.Errorf("got %s, %v", got.Status, got.err)
				}

				s.mustHave(t, 1, tt.rows)
				mustBeState(t, e, tt.state)

				if tt.state == store.Absent {
					s.fails = nil
					do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusExecuted, "#2")
				}
			})
		})
	}
}

func TestF33PanicRollsTheTransactionBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))

		var s shop

		got, _ := crash(e, pay("k"), func(ctx context.Context) ([]byte, error) {
			_, _ = s.sell(ctx)
			panic("no")
		})
		if got != "no" {
			t.Errorf("the panic was %v", got)
		}

		s.mustHave(t, 1, 0)
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusExecuted, "#2")
		s.mustHave(t, 2, 1)
	})
}

func TestF12CommitWhoseFateIsUnknownIsNeverAnsweredWithTheResponse(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		fault  txstore.Fault
		reason onlyonce.Reason
		rows   int64 // after the first call
		next   onlyonce.Status
	}{
		"rolled back":        {txstore.Refused, onlyonce.ReasonStoreUnavailable, 0, onlyonce.StatusExecuted},
		"the reply is lost":  {txstore.ReplyLost, onlyonce.ReasonLeaseLost, 1, onlyonce.StatusReplayed},
		"it never got there": {txstore.RequestLost, onlyonce.ReasonLeaseLost, 0, onlyonce.StatusExecuted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				db := txstore.New()
				e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction), onlyonce.WithObserver(seen))

				var s shop

				db.Fail(tt.fault)

				first := do(t, e, pay("k"), s.sell)
				if first.rejection(t, tt.reason).RetryAfter == 0 {
					t.Error("the caller is not asked to try again")
				}

				if onlyonce.VerdictOf(first.err) != onlyonce.VerdictUnknown {
					t.Errorf("the caller may conclude %v", onlyonce.VerdictOf(first.err))
				}

				s.mustHave(t, 1, tt.rows)

				if len(seen.of(onlyonce.EventSettleFailed)) != 1 {
					t.Error("the observer was not told")
				}

				if got := do(t, e, pay("k"), s.sell); got.Status != tt.next || got.err != nil {
					t.Errorf("the next call got %s, %v, want %s", got.Status, got.err, tt.next)
				}

				if rows := s.rows.Load(); rows != 1 {
					t.Errorf("%d rows", rows)
				}
			})
		})
	}
}

func TestF47HandlerWhoseTransactionConflictsIsRunAgainAFewTimes(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		commits    []txstore.Fault
		statements int // how many runs meet the conflict in a statement
		runs, rows int64
		reason     onlyonce.Reason
	}{
		"once at commit":      {[]txstore.Fault{txstore.Conflict}, 0, 2, 1, ""},
		"once in a statement": {nil, 1, 2, 1, ""},
		"three times":         {[]txstore.Fault{txstore.Conflict, txstore.Conflict}, 1, 4, 1, ""},
		"again and again":     {nil, 100, 4, 0, onlyonce.ReasonStoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				db := txstore.New()
				e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction), onlyonce.WithObserver(seen))

				var s shop

				db.Fail(tt.commits...)

				got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					body, err := s.sell(ctx)
					if s.runs.Load() <= int64(tt.statements) {
						return nil, txstore.ErrConflict
					}

					return body, err
				})

				s.mustHave(t, tt.runs, tt.rows)

				if n := int64(len(seen.of(onlyonce.EventConflict))); n != tt.runs-1+min(int64(len(tt.reason)), 1) {
					t.Errorf("%d events of %d runs", n, tt.runs)
				}

				if tt.reason != "" {
					got.mustBeRejected(t, tt.reason)

					return
				}

				if got.Status != onlyonce.StatusExecuted || got.err != nil {
					t.Errorf("got %s, %v", got.Status, got.err)
				}
			})
		})
	}
}

func TestConflictThatADefiniteErrorHidesIsNoOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))

		var s shop

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			if body, err := s.sell(ctx); s.runs.Load() > 1 {
				return body, err
			}

			return nil, onlyonce.Final(txstore.ErrConflict)
		}).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestDuplicatesOfASingleTransactionWaitAndAreReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		here := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		there := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		s := shop{lasts: 3 * time.Second}

		var all sync.WaitGroup

		executed := new(atomic.Int64)

		for i := range 100 {
			e := here
			if i%2 == 1 {
				e = there
			}

			all.Go(func() {
				got := do(t, e, pay("k"), s.sell)
				if got.Status == onlyonce.StatusExecuted {
					executed.Add(1)
				} else {
					got.mustBe(t, onlyonce.StatusReplayed, "#1")
				}
			})
		}

		all.Wait()
		s.mustHave(t, 1, 1)

		if n := executed.Load(); n != 1 {
			t.Errorf("%d calls executed", n)
		}

		if n := db.Begun(); n != 2 {
			t.Errorf("%d transactions for one key of two processes, want one each", n)
		}
	})
}

func TestDuplicateOfASingleTransactionElsewhereIsInProgressWhenItsWaitIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		here := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		there := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		s := shop{lasts: 20 * time.Second}

		first := inBackground(t.Context(), here, pay("k"), s.sell)

		synctest.Wait()

		began := time.Now()
		duplicate := inBackground(t.Context(), there, pay("k"), s.sell)
		other := inBackground(t.Context(), there, payOther("k"), s.sell) // follows the duplicate, which does not know the record
		got := <-duplicate
		got.mustBeRejected(t, onlyonce.ReasonInProgress)
		(<-other).mustBeRejected(t, onlyonce.ReasonInProgress)

		if waited := got.at.Sub(began).Round(time.Second); waited != 10*time.Second {
			t.Errorf("it waited for %v", waited)
		}

		ctx, done := context.WithTimeout(t.Context(), time.Second)
		defer done()

		short := <-inBackground(ctx, there, pay("k"), s.sell)
		short.mustBeRejected(t, onlyonce.ReasonInProgress)

		if short.at.After(began.Add(11 * time.Second)) {
			t.Error("the answer came after the caller's deadline")
		}

		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, there, payOther("k"), s.sell).mustBeRejected(t, onlyonce.ReasonKeyReused)
		s.mustHave(t, 1, 1)
	})
}

func TestF20CallerOfASingleTransactionWhoLeavesGetsItsOutcomeLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))
		s := shop{lasts: time.Second}

		ctx, leave := context.WithCancel(t.Context())
		got := inBackground(ctx, e, pay("k"), s.sell)

		synctest.Wait()
		leave()
		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusReplayed, "#1")
	})
}

func TestRunInASingleTransactionEndsWithMaxRunAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))
		began := time.Now()

		var p payments

		_ = do(t, e, pay("k"), p.cancellable(time.Hour))

		if took := time.Since(began); took != onlyonce.DefaultMaxRun {
			t.Errorf("the run was ended after %v", took)
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestSingleTransactionMeetsTheLeaseOfARunThatBeganOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		before := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))
		after := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))

		var (
			p payments
			s shop
		)

		first := inBackground(t.Context(), before, pay("k"), p.lasting(3*time.Second))

		synctest.Wait()
		do(t, after, pay("k"), s.sell).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		s.mustHave(t, 0, 0)
	})
}

func TestFollowerOfABlockedDuplicateHasItsOwnPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		here := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		there := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		s := shop{lasts: 8 * time.Second}

		first := inBackground(t.Context(), here, pay("k"), s.sell)

		synctest.Wait()

		patient := inBackground(t.Context(), there, pay("k"), s.sell)

		synctest.Wait()

		began, short := time.Now(), pay("k")
		short.Policy = &onlyonce.Policy{MaxWait: time.Second}
		got := do(t, there, short, s.sell)
		got.mustBeRejected(t, onlyonce.ReasonInProgress)

		if waited := got.at.Sub(began); waited != time.Second {
			t.Errorf("it waited for %v", waited)
		}

		(<-patient).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestRunsThatConflictShareOneMaxRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction))
		began := time.Now()

		_ = do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(20 * time.Second):
				return nil, txstore.ErrConflict
			}
		})

		if took := time.Since(began); took != onlyonce.DefaultMaxRun {
			t.Errorf("the runs took %v", took)
		}
	})
}

// A leader with little time does not shorten the wait of its followers.
func TestF23LeaderWithAShortDeadlineOfASingleTransactionDoesNotEndTheWaitOfTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := txstore.New()
		policy := onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce})
		one, two := newEngine(t, s, policy), newEngine(t, s, policy)

		var p payments

		owner := inBackground(t.Context(), one, pay("k"), p.lasting(5*time.Second))
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		leader := inBackground(ctx, two, pay("k"), p.do)
		synctest.Wait()

		follower := inBackground(t.Context(), two, pay("k"), p.do)

		(<-leader).mustBeRejected(t, onlyonce.ReasonInProgress)
		(<-follower).mustBe(t, onlyonce.StatusReplayed, "#1")
		<-owner
	})
}
