package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// The abilities of a sealed store. Each has its own type, so that the store has no abilities that the inner store lacks.

type sealedInspector struct {
	*sealedStore

	inspector Inspector
}

// Lookup implements [Inspector].
func (s sealedInspector) Lookup(ctx context.Context, key Key) (Result, error) {
	res, err := s.inspector.Lookup(ctx, key)

	return s.opened(ctx, &key, nil, res, err)
}

// Resolve implements [Inspector].
func (s sealedInspector) Resolve(ctx context.Context, op Resolution) (Result, error) {
	kind := foundOutcome
	if op.State != Completed {
		kind = noteOfRelease
	}

	own, err := s.seal(ctx, place{op.Key, op.Token, kind}, op.Outcome)
	if err != nil {
		return Result{}, err
	}

	plain := op.Outcome
	op.Outcome = own.sealed

	res, err := s.inspector.Resolve(ctx, op)
	if res, err = s.opened(ctx, &op.Key, &own, res, err); err != nil {
		return Result{}, err
	}

	// A repeat under another key: see isCompletionOf.
	rec := &res.Record
	res.Applied = res.Applied || rec.State == Completed && op.State == Completed && rec.Resolved && rec.Token == op.Token &&
		rec.Fence == op.Fence && bytes.Equal(rec.Outcome, plain)

	return res, nil
}

type sealedLister struct {
	*sealedStore

	lister Lister
}

// ListUnknown implements [Lister].
func (s sealedLister) ListUnknown(ctx context.Context) iter.Seq2[Listed, error] {
	return s.openList(ctx, s.lister.ListUnknown(ctx))
}

// ListRunning implements [Lister].
func (s sealedLister) ListRunning(ctx context.Context) iter.Seq2[Listed, error] {
	return s.openList(ctx, s.lister.ListRunning(ctx))
}

// openList opens the texts of a list. It ends with the error of a ring that cannot answer.
func (s *sealedStore) openList(ctx context.Context, list iter.Seq2[Listed, error]) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for listed, err := range list {
			if err == nil {
				err = s.openTo(ctx, &listed.Key, nil, &listed.Result)
			}

			if !yield(listed, err) || err != nil && !cannotBeRead(err) {
				return
			}
		}
	}
}

// cannotBeRead reports whether err is about one record.
func cannotBeRead(err error) bool { return errors.Is(err, ErrUnreadable) || errors.Is(err, ErrNewer) }

type sealedForgetter struct {
	*sealedStore

	forgetter Forgetter
}

// Forget implements [Forgetter]. Callers cannot learn the token and fence of a record whose text cannot be opened, and the inner store can.
// So Force takes both from the inner store.
func (s sealedForgetter) Forget(ctx context.Context, op Forgetting) (Result, error) {
	for {
		res, err := s.forgetter.Forget(ctx, op)
		if err != nil || res.Applied {
			return res, err
		}

		token, fence := res.Record.Token, res.Record.Fence
		isOther := token != op.Token || fence != op.Fence

		if err := s.openTo(ctx, &op.Key, nil, &res); err == nil || !cannotBeRead(err) || !op.Force || !isOther {
			return res, err
		}

		op.Token, op.Fence = token, fence
	}
}

type sealedDiagnoser struct {
	*sealedStore

	diagnoser Diagnoser
}

// Diagnose implements [Diagnoser]. It examines the key ring too.
func (s sealedDiagnoser) Diagnose(ctx context.Context) []Diagnosis {
	return append(slices.Clip(s.diagnoser.Diagnose(ctx)), s.diagnoseRing(ctx))
}

func (s *sealedStore) diagnoseRing(ctx context.Context) Diagnosis {
	const check = "key ring"

	newest, err := newestOf(ctx, s.ring)
	if err == nil {
		_, err = keyOf(ctx, s.ring, newest.id)
	}

	switch {
	case err != nil:
		return Diagnosis{
			Check: check, Severity: SeverityFail, Found: strings.TrimPrefix(err.Error(), "store: "),
			Remedy: "make the keys available to this process",
		}
	case s.writesUnsealed:
		return Diagnosis{Check: check, Severity: SeverityWarn, Found: "sealing is off", Remedy: "deploy without WithSealingOff"}
	case s.readsUnsealed:
		return Diagnosis{
			Check: check, Severity: SeverityWarn, Found: "unsealed records are accepted",
			Remedy: "deploy without WithUnsealedRecords when the older records have expired",
		}
	default:
		return Diagnosis{Check: check, Found: fmt.Sprintf("the newest key is %q", newest.id)}
	}
}

type sealedTransactional struct {
	sealedInspector

	transactional Transactional
}

// Begin implements [Transactional].
func (s sealedTransactional) Begin(ctx context.Context, op Claim, wait time.Duration) (Result, Transaction, error) {
	own, err := s.sealClaim(ctx, &op)
	if err != nil {
		return Result{}, nil, err
	}

	res, tx, err := s.transactional.Begin(ctx, op, wait)
	if res, err = s.opened(ctx, &op.Key, &own, res, err); err != nil {
		if tx != nil {
			_, err = rolledBack(tx, err)
		}

		return Result{}, nil, err
	}

	if tx != nil {
		tx = &sealedTransaction{Transaction: tx, store: s.sealedStore}
	}

	return res, tx, nil
}

// Join implements [Transactional].
func (s sealedTransactional) Join(ctx context.Context, run Joinable) context.Context {
	return s.transactional.Join(ctx, &sealedJoinable{Joinable: run, store: s.sealedStore, ctx: ctx})
}

// sealedTransaction is a transaction of the inner store.
type sealedTransaction struct {
	Transaction

	store *sealedStore
}

// Complete implements [Transaction].
func (t *sealedTransaction) Complete(ctx context.Context, op Completion, undo bool) (Result, error) {
	own, err := t.store.sealCompletion(ctx, &op)
	if err != nil {
		return rolledBack(t.Transaction, err)
	}

	res, err := t.Transaction.Complete(ctx, op, undo)

	return t.store.opened(ctx, &op.Key, &own, res, err)
}

// rolledBack rolls tx back, and returns the error for cause.
func rolledBack(tx Transaction, cause error) (Result, error) {
	if _, err := tx.Rollback(); err != nil {
		return Result{}, errors.Join(cause, err)
	}

	return Result{}, fmt.Errorf("%w: %w", ErrRolledBack, cause)
}

// sealedJoinable seals the outcome that a handler writes in its own transaction.
type sealedJoinable struct {
	Joinable

	store *sealedStore
	ctx   context.Context //nolint:containedctx // that of the run, which Outcome belongs to
}

// Outcome implements [Joinable]. A text that cannot be sealed is a problem.
func (j *sealedJoinable) Outcome(response any, err error) (op Completion, definite, keep bool, problem error) {
	op, definite, keep, problem = j.Joinable.Outcome(response, err)
	if problem != nil || !definite {
		return op, definite, keep, problem
	}

	if _, err := j.store.sealCompletion(j.ctx, &op); err != nil {
		return Completion{}, false, false, err
	}

	return op, true, keep, nil
}
