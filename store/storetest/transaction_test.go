package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// joinable is a transaction of txstore that a handler opens.
type joinable struct{ *txstore.Tx }

func (j joinable) Join(ctx context.Context, response any) error { return j.Tx.Join(ctx, response, nil) }

// brokenTransactions is a store whose transactions are wrong.
type brokenTransactions struct {
	*txstore.Store

	// begin replaces Begin.
	begin func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error)
	// join replaces what a handler does to write its completion.
	join func(ctx context.Context, tx *txstore.Tx, response any) error
	// run is what the handler's run is made of.
	run func(run store.Joinable) store.Joinable
}

func (s *brokenTransactions) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if s.begin == nil {
		return s.Store.Begin(ctx, op, wait)
	}

	return s.begin(ctx, s.Store, op, wait)
}

func (s *brokenTransactions) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Transactional = s

	return can
}

func (s *brokenTransactions) Join(ctx context.Context, run store.Joinable) context.Context {
	if s.run != nil {
		run = s.run(run)
	}

	return s.Store.Join(ctx, run)
}

type brokenJoin struct {
	joinable

	store *brokenTransactions
}

func (j brokenJoin) Join(ctx context.Context, response any) error {
	if j.store.join == nil {
		return j.joinable.Join(ctx, response)
	}

	return j.store.join(ctx, j.Tx, response)
}

// transactionalSuite is the suite for stores on txstore, without what it has of others.
func transactionalSuite() config {
	cfg := suite()
	cfg.take = txstore.Take
	cfg.join = func(_ context.Context, s store.Store) (Joining, error) {
		switch s := s.(type) {
		case *txstore.Store:
			return joinable{s.Open()}, nil
		case *brokenTransactions:
			return brokenJoin{joinable{s.Open()}, s}, nil
		default:
			return nil, errors.New("no transactions")
		}
	}

	return cfg
}

// transactionFailures is failures for the groups about transactions.
func transactionFailures(t *testing.T, newStore func() store.Store) map[string][]string {
	t.Helper()

	return failuresOf(t, transactionalSuite(), newStore, func(group string) bool {
		return group == "Transactional" || group == "a joined transaction"
	})
}

func TestAWholeStoreWithTransactionsPasses(t *testing.T) {
	t.Parallel()

	for name, messages := range failuresOf(t, transactionalSuite(), func() store.Store { return txstore.New() },
		func(string) bool { return true }) {
		t.Errorf("%s: %q", name, messages)
	}
}

// brokenTx is a transaction of which a part is replaced.
type brokenTx struct {
	store.Transaction

	complete   func(ctx context.Context, tx store.Transaction, op store.Completion, undo bool) (store.Result, error)
	rollback   func(tx store.Transaction) (bool, error)
	used       func(tx store.Transaction) bool
	conflicted bool
}

func (t brokenTx) Complete(ctx context.Context, op store.Completion, undo bool) (store.Result, error) {
	if t.complete == nil {
		return t.Transaction.Complete(ctx, op, undo)
	}

	return t.complete(ctx, t.Transaction, op, undo)
}

func (t brokenTx) Rollback() (bool, error) {
	if t.rollback == nil {
		return t.Transaction.Rollback()
	}

	return t.rollback(t.Transaction)
}

func (t brokenTx) Used() bool {
	if t.used == nil {
		return t.Transaction.Used()
	}

	return t.used(t.Transaction)
}

func (t brokenTx) Conflicted(err error) bool { return t.conflicted || t.Transaction.Conflicted(err) }

// a transaction with a part replaced, which may know the store and the claim.
func replacing(
	part func(s *txstore.Store, op store.Claim, tx *brokenTx),
) func(s *brokenTransactions) {
	return func(s *brokenTransactions) {
		s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
			res, tx, err := s.Begin(ctx, op, wait)
			if tx == nil {
				return res, nil, err
			}

			broken := brokenTx{Transaction: tx}
			part(s, op, &broken)

			return res, broken, err
		}
	}
}

// beginning changes the claim, or the wait, that Begin gets.
func beginning(wrong func(ctx context.Context, s *txstore.Store, op *store.Claim, wait *time.Duration)) func(s *brokenTransactions) {
	return func(s *brokenTransactions) {
		s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
			wrong(ctx, s, &op, &wait)

			return s.Begin(ctx, op, wait)
		}
	}
}

func look(ctx context.Context, s *txstore.Store, key store.Key) store.Record {
	res, _ := s.Lookup(context.WithoutCancel(ctx), key)

	return res.Record
}

func TestStoresWithBrokenTransactionsFailByTheRuleThatTheyBreak(t *testing.T) {
	t.Parallel()

	for _, b := range []struct {
		name   string
		rule   rule
		breaks func(s *brokenTransactions)
	}{
		{"Begin ignores the expected fence", expectedFence, beginning(
			func(ctx context.Context, s *txstore.Store, op *store.Claim, _ *time.Duration) {
				op.Fence = look(ctx, s, op.Key).Fence
			})},
		{"Begin ignores the fingerprint", binding, beginning(
			func(ctx context.Context, s *txstore.Store, op *store.Claim, _ *time.Duration) {
				op.Fingerprint = look(ctx, s, op.Key).Fingerprint
			})},
		{"Begin does not wait", turns, beginning(
			func(_ context.Context, _ *txstore.Store, _ *store.Claim, wait *time.Duration) { *wait = 0 })},
		{"Begin waits without end", turns, func(s *brokenTransactions) {
			s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, _ time.Duration) (store.Result, store.Transaction, error) {
				return s.Begin(context.WithoutCancel(ctx), op, time.Hour)
			}
		}},
		{"Begin does not say that it was busy", turns, func(s *brokenTransactions) {
			s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
				res, tx, err := s.Begin(ctx, op, wait)
				if err != nil {
					err = errors.New("something")
				}

				return res, tx, err
			}
		}},
		{"Begin that has lost keeps its transaction", turns, func(s *brokenTransactions) {
			s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
				res, tx, err := s.Begin(ctx, op, wait)
				if err == nil && tx == nil {
					_ = s.Open().Join(s.Join(ctx, &joinedRun{op: completion(op, theOutcome)}), nil, nil) // gives the lock back by itself
					_, tx, _ = s.Begin(ctx, store.Claim{
						Key: op.Key, Token: newToken(), Fence: res.Record.Fence, Guarantee: store.AtLeastOnce, Fingerprint: op.Fingerprint,
					}, wait)
					_ = tx // and is forgotten
				}

				return res, nil, err
			}
		}},
		{"the transaction ends with the context of Begin", oneCommit, func(s *brokenTransactions) {
			s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
				res, tx, err := s.Begin(ctx, op, wait)
				if tx == nil {
					return res, nil, err
				}

				return res, brokenTx{Transaction: tx, complete: func(
					within context.Context, tx store.Transaction, op store.Completion, undo bool,
				) (store.Result, error) {
					if ctx.Err() != nil {
						_, _ = tx.Rollback()

						return store.Result{}, store.ErrRolledBack
					}

					return tx.Complete(within, op, undo)
				}}, err
			}
		}},
		{"Rollback leaves the claim", oneCommit, replacing(func(s *txstore.Store, op store.Claim, tx *brokenTx) {
			tx.rollback = func(tx store.Transaction) (bool, error) {
				held, err := tx.Rollback()
				_, _ = s.Claim(context.Background(), op)

				return held, err
			}
		})},
		{"Rollback leaves a tombstone", oneCommit, replacing(func(s *txstore.Store, op store.Claim, tx *brokenTx) {
			tx.rollback = func(tx store.Transaction) (bool, error) {
				held, err := tx.Rollback()
				_, _ = s.Release(context.Background(), store.Release{Claim: op})

				return held, err
			}
		})},
		{"Rollback is not sure", oneCommit, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.rollback = func(tx store.Transaction) (bool, error) {
				held, err := tx.Rollback()

				return held, errors.Join(err, errors.New("who knows"))
			}
		})},
		{"Rollback is not sure how long the record was held", oneCommit, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.rollback = func(tx store.Transaction) (bool, error) {
				_, err := tx.Rollback()

				return false, err
			}
		})},
		{"the claim is seen before the commit", oneCommit, func(s *brokenTransactions) {
			s.begin = func(ctx context.Context, s *txstore.Store, op store.Claim, _ time.Duration) (store.Result, store.Transaction, error) {
				res, err := s.Claim(ctx, op)
				if err != nil || !res.Applied {
					return res, nil, err
				}

				return res, visible{s, op}, nil
			}
		}},
		{"Complete says that it has committed, and has not", oneCommit, replacing(func(_ *txstore.Store, op store.Claim, tx *brokenTx) {
			tx.complete = func(_ context.Context, tx store.Transaction, _ store.Completion, _ bool) (store.Result, error) {
				_, _ = tx.Rollback()

				rec := op.Apply(store.Record{}, time.Now()).Record
				rec.State = store.Completed

				return store.Result{Applied: true, Record: rec, Now: time.Now()}, nil
			}
		})},
		{"Complete that undoes the handler's writes undoes the outcome, too", oneCommit, replacing(
			func(_ *txstore.Store, op store.Claim, tx *brokenTx) {
				tx.complete = func(ctx context.Context, tx store.Transaction, done store.Completion, undo bool) (store.Result, error) {
					if !undo {
						return tx.Complete(ctx, done, undo)
					}

					_, _ = tx.Rollback()

					return store.Result{Applied: true, Record: op.Apply(store.Record{}, time.Now()).Record, Now: time.Now()}, nil
				}
			})},
		{"Complete forgets the outcome", oneCommit, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.complete = func(ctx context.Context, tx store.Transaction, op store.Completion, undo bool) (store.Result, error) {
				op.Outcome = nil

				return tx.Complete(ctx, op, undo)
			}
		})},
		{"a record of a transaction has another retention", contents, beginning(
			func(_ context.Context, _ *txstore.Store, op *store.Claim, _ *time.Duration) {
				op.Retention = 1000 * long
			})},
		{"a transaction is always used", use, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.used = func(store.Transaction) bool { return true }
		})},
		{"a transaction is never used", use, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.used = func(store.Transaction) bool { return false }
		})},
		{"whatever the handler returns is a conflict", oneCommit, replacing(func(_ *txstore.Store, _ store.Claim, tx *brokenTx) {
			tx.conflicted = true
		})},
		{"a joined completion is written at once", joins, func(s *brokenTransactions) {
			s.join = func(ctx context.Context, tx *txstore.Tx, response any) error {
				return errors.Join(tx.Join(ctx, response, nil), tx.Commit(ctx))
			}
		}},
		{"a joined completion is not fenced", joins, func(s *brokenTransactions) {
			s.run = func(run store.Joinable) store.Joinable { return unfenced{run, s.Store} }
		}},
		{"a run that may not join joins", joins, func(s *brokenTransactions) {
			s.run = func(run store.Joinable) store.Joinable { return permitted{run} }
		}},
		{"a run with a note cannot join", joins, func(s *brokenTransactions) {
			s.run = func(run store.Joinable) store.Joinable { return bare{run, s.Store} }
		}},
		{"Begin does not tell the note", notes, beginning(
			func(_ context.Context, _ *txstore.Store, op *store.Claim, _ *time.Duration) { op.Note = nil })},
		{"a run is not told that it was overtaken", joins, func(s *brokenTransactions) {
			s.run = func(run store.Joinable) store.Joinable { return untold{run} }
		}},
	} {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()

			failed := transactionFailures(t, func() store.Store {
				s := &brokenTransactions{Store: txstore.New()}
				b.breaks(s)

				return s
			})

			for _, messages := range failed {
				for _, m := range messages {
					if strings.Contains(m, b.rule.String()+": ") {
						return
					}
				}
			}

			t.Errorf("the suite does not say that the store breaks %v; it says %q", b.rule, failed)
		})
	}
}

// visible is a transaction whose claim is leased.
type visible struct {
	store *txstore.Store
	op    store.Claim
}

func (v visible) Context(ctx context.Context) context.Context { return ctx }

func (v visible) Complete(ctx context.Context, op store.Completion, _ bool) (store.Result, error) {
	return v.store.Complete(ctx, op)
}

func (v visible) Rollback() (bool, error) {
	_, err := v.store.Release(context.Background(), store.Release{Claim: v.op})

	return true, err
}

func (v visible) Conflicted(error) bool { return false }

func (v visible) Used() bool { return true }

// unfenced is a run that brings the token of whoever owns the record.
type unfenced struct {
	store.Joinable

	store *txstore.Store
}

func (u unfenced) Outcome(response any, err error) (op store.Completion, definite, keep bool, problem error) {
	op, definite, keep, problem = u.Joinable.Outcome(response, err)
	op.Token = look(context.Background(), u.store, op.Key).Token

	return op, definite, keep, problem
}

// bare is a run that owns no record with a note.
type bare struct {
	store.Joinable

	store *txstore.Store
}

func (b bare) Outcome(response any, err error) (op store.Completion, definite, keep bool, problem error) {
	op, definite, keep, problem = b.Joinable.Outcome(response, err)
	if len(look(context.Background(), b.store, op.Key).Outcome) > 0 {
		op.Token = store.Token{}
	}

	return op, definite, keep, problem
}

// permitted is a run whose refusal nobody asks for.
type permitted struct{ store.Joinable }

func (permitted) Refusal(context.Context) error { return nil }

// untold is a run that does not listen.
type untold struct{ store.Joinable }

func (untold) Written(bool) {}
