package onlyonce_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The database checks the handler's writes only at the commit and refuses them. The run then ends like one whose
// handler returned that error.
func TestF71RefusedCommitIsTheHandlersOwnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction), onlyonce.WithObserver(seen))

		var s shop

		db.Fail(txstore.Violation)
		do(t, e, pay("k"), s.sell).mustFail(t, onlyonce.StatusUnknown, txstore.ErrViolation)
		s.mustHave(t, 1, 0)
		seen.mustHave(t, onlyonce.EventSettleFailed, 0)

		// The refused commit leaves no record, so the next call runs.
		mustBeState(t, e, store.Absent)
		do(t, e, pay("k"), s.sell).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestF71RefusedCommitWhoseErrorIsDefiniteIsRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		call := pay("k")
		soldOut := errors.New("sold out")

		// A transport maps the errors of its database like this.
		call.Outcome = func(_ any, err error) onlyonce.Outcome {
			if errors.Is(err, txstore.ErrViolation) {
				return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "FAILED_PRECONDITION", Body: []byte("sold out"), Err: soldOut}
			}

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		}

		runs := 0
		sell := func(ctx context.Context) onlyonce.Outcome {
			runs++

			txstore.Write(ctx, func() { t.Error("a row of the refused transaction is there") })

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		}

		db.Fail(txstore.Violation)

		reply, err := e.Execute(t.Context(), &call, sell)
		if err != nil || reply.Status != onlyonce.StatusExecuted || !reply.Refused || !errors.Is(reply.Err, soldOut) {
			t.Errorf("got %+v, %v; want the database's error, recorded", reply, err)
		}

		reply, err = e.Execute(t.Context(), &call, sell)
		if err != nil || reply.Status != onlyonce.StatusReplayed || string(reply.Body) != "sold out" {
			t.Errorf("the duplicate got %+v, %v; want the replay", reply, err)
		}

		if runs != 1 {
			t.Errorf("the handler ran %d times, want once", runs)
		}
	})
}

func TestF70HandlerThatDoesNotUseTheTransactionIsReported(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		mode    onlyonce.TransactionMode
		handler func(context.Context) ([]byte, error)
		want    int
	}{
		"single, unused": {onlyonce.SingleTransaction, new(payments).do, 1},
		"single, used":   {onlyonce.SingleTransaction, new(shop).sell, 0},
		"single, unused by a handler that fails": {
			onlyonce.SingleTransaction, new(payments).failing(onlyonce.Final(errLine)), 0,
		},
		"joined, unused": {onlyonce.JoinedTransaction, new(payments).do, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				e := newEngine(t, txstore.New(), exactlyOnce(tt.mode), onlyonce.WithObserver(seen))

				_ = do(t, e, pay("k"), tt.handler)
				seen.mustHave(t, onlyonce.EventTransactionUnused, tt.want)
			})
		})
	}
}

func TestF70ErrorOfARunThatMayNotJoinNamesThePolicyToChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db)

		_ = do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			err := db.Open().Join(ctx, []byte("sold"), nil)
			mustMention(t, err, method, "AT_MOST_ONCE", "ExactlyOnce", "JoinedTransaction")

			return nil, err
		})
	})
}

// The handler of a run on another store has the context of the run around it as well. Its answer is not that run's.
func TestF70RunInsideAJoinedRunDoesNotCompleteIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		outer := newEngine(t, db, exactlyOnce(onlyonce.JoinedTransaction))
		inner := newEngine(t, memstore.New())

		got := do(t, outer, pay("k"), func(ctx context.Context) ([]byte, error) {
			call := pay("k")
			call.Method = "/ledger.Ledger/Book"

			_, err := inner.Do(ctx, call, func(ctx context.Context) ([]byte, error) {
				return nil, db.Open().Join(ctx, []byte("booked"), nil)
			})
			mustMention(t, err, "/ledger.Ledger/Book", method)

			tx := db.Open()
			if err := tx.Join(ctx, []byte("sold"), nil); err != nil {
				t.Errorf("Join in the run's own handler: %v", err)
			}

			return []byte("sold"), tx.Commit(ctx)
		})
		got.mustBe(t, onlyonce.StatusExecuted, "sold")
		do(t, outer, pay("k"), new(payments).do).mustBe(t, onlyonce.StatusReplayed, "sold")
	})
}

// unsureStore cannot be sure that its transactions were rolled back: their handlers may have committed by a statement.
type unsureStore struct {
	*txstore.Store

	conflicts bool
}

func (s unsureStore) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Transactional = s

	return can
}

func (s unsureStore) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	res, tx, err := s.Store.Begin(ctx, op, wait)
	if tx != nil {
		tx = unsureTransaction{tx, s.conflicts}
	}

	return res, tx, err
}

type unsureTransaction struct {
	store.Transaction

	conflicts bool
}

func (t unsureTransaction) Conflicted(err error) bool {
	return t.conflicts || t.Transaction.Conflicted(err)
}

func (t unsureTransaction) Rollback() (held bool, err error) {
	_, _ = t.Transaction.Rollback()

	return true, errLine
}

func TestF74RunWhoseTransactionMayHaveCommittedIsNotReleased(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		err  error
		want onlyonce.Status
	}{
		"not executed": {onlyonce.NotExecuted(errLine), onlyonce.StatusUnknown},
		"conflict":     {txstore.ErrConflict, onlyonce.StatusUnknown}, // and the handler does not run again
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				e := newEngine(t, unsureStore{Store: txstore.New()}, exactlyOnce(onlyonce.SingleTransaction), onlyonce.WithObserver(seen))

				var p payments

				do(t, e, pay("k"), p.failing(tt.err)).mustFail(t, tt.want, onlyonce.Unmarked(tt.err))
				p.mustHaveRun(t, 1)
				seen.mustHave(t, onlyonce.EventSettleFailed, 1)
			})
		})
	}
}

func TestF71RefusedCommitIsAmbiguousWhileADownstreamCallIsOpen(t *testing.T) {
	t.Parallel()
	s := txstore.New()
	e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
	s.Fail(txstore.Violation)

	call := pay("k")
	call.Outcome = func(_ any, err error) onlyonce.Outcome {
		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "ALREADY_EXISTS", Err: err}
	}
	reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
		c, err := onlyonce.DeriveCall(ctx, "/x/Y")
		if err != nil {
			t.Fatal(err)
		}

		c.End(verdictError{onlyonce.VerdictUnknown})

		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
	})
	if err != nil || reply.Status != onlyonce.StatusUnknown {
		t.Errorf("got %v %v, want unknown", reply.Status, err)
	}
}

// The run goes on without its caller, and its outcome is recorded.
func TestF71RefusedCommitIsRecordedAlthoughTheCallerHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := txstore.New()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
		s.Fail(txstore.Violation)

		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		call := pay("k")
		call.Outcome = func(_ any, err error) onlyonce.Outcome {
			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "ALREADY_EXISTS", Err: err}
		}
		_, _ = e.Execute(ctx, &call, func(context.Context) onlyonce.Outcome {
			runs++
			cancel()

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		})

		_, _ = e.Execute(t.Context(), &call, func(context.Context) onlyonce.Outcome {
			runs++

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		})
		if runs != 1 {
			t.Errorf("ran %d times", runs)
		}
	})
}

func TestF71RefusedCommitIsRecordedAlthoughADrainHasBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		call := pay("k")
		call.Outcome = func(_ any, err error) onlyonce.Outcome {
			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "ALREADY_EXISTS", Err: err}
		}

		db.Fail(txstore.Violation)

		drained := make(chan error, 1)
		drain := func() { drained <- e.Drain(t.Context()) }

		reply, err := e.Execute(t.Context(), &call, func(context.Context) onlyonce.Outcome {
			go drain()

			time.Sleep(time.Second)

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
		})
		if err != nil || reply.Status != onlyonce.StatusExecuted || !reply.Refused {
			t.Errorf("got %+v, %v; want the database's refusal, recorded", reply, err)
		}

		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// A definite answer counts only if it has committed, whatever else goes wrong.
func TestF74DefiniteAnswerOfATransactionThatMayHaveEndedIsNotGiven(t *testing.T) {
	t.Parallel()

	e := newEngine(t, unsureStore{txstore.New(), true}, exactlyOnce(onlyonce.SingleTransaction))

	do(t, e, pay("k"), new(payments).do).mustBeRejected(t, onlyonce.ReasonLeaseLost)
}
