package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// A definite error is recorded without the handler's writes. So the handler's transaction is rolled back, and a short transaction records
// the outcome. This saves every run a savepoint that few runs need. The key is free in between. Whoever takes it and records an outcome
// wins, and the first caller gets that outcome.

// completeApart rolls the transaction back and records the outcome in another transaction.
func (t *transaction) completeApart(ctx context.Context, op *store.Completion) (store.Result, error) {
	// An error that ended the transaction also rolled it back, as intended.
	if err := t.end(); errors.Is(err, errEnded) {
		_, _ = t.rollBack(ctx, false)

		return store.Result{}, t.unwritten(err)
	}

	doubted := t.doubted()

	if t.pipe != nil && !doubted && t.claim.Fence == 0 {
		if res, done, err := t.recordTogether(ctx, op); done || err != nil {
			return res, err
		}
	} else if _, err := t.rollBack(ctx, doubted); err != nil {
		return store.Result{}, fmt.Errorf("sqlstore: complete: %w", err)
	}

	return t.store.record(ctx, &t.claim, op, t.leave)
}

// record records the outcome of a run that was rolled back. Applied is false if another run has the record. The first try has the room of
// the run, which leave returns. Every other try waits for room.
func (s *Store) record(ctx context.Context, claim *store.Claim, op *store.Completion, leave func()) (store.Result, error) {
	lost := 0

	for try := 0; ; try++ {
		res, err := s.recordOnce(ctx, claim, op, leave)

		leave()

		switch {
		case err == nil:
			return res, nil
		case errors.Is(err, store.ErrConflict):
		case lost < resends && s.refresh(ctx, err):
			lost++
		default:
			return res, err
		}

		if !pause(ctx, try) {
			return res, err
		}

		var full error
		if leave, full = s.enter(ctx, ctx); full != nil {
			return res, err
		}

		s.resent(ctx, store.OperationCommit, err)
	}
}

// recordOnce is one try of record.
func (s *Store) recordOnce(ctx context.Context, claim *store.Claim, op *store.Completion, leave func()) (store.Result, error) {
	if s.sql.record != "" && claim.Fence == 0 {
		if res, done, err := s.recordAtOnce(ctx, claim, op, leave); done || err != nil {
			return res, err
		}
	}

	res, tx, err := s.beginWith(ctx, claim, time.Now().Add(lockPatience(ctx)), leave)

	switch {
	case err != nil:
		return store.Result{}, rolledBack(err, s.conflicts(err))
	case tx == nil:
		return res, nil
	default:
		return tx.settle(ctx, op, false)
	}
}

// recordAtOnce records in one statement. It returns false if there is a record already.
func (s *Store) recordAtOnce(
	ctx context.Context, claim *store.Claim, op *store.Completion, leave func(),
) (_ store.Result, done bool, _ error) {
	var made integer

	_, err := s.pool().query(ctx, s.sql.record, recordArgs(ctx, claim, op), &made)

	switch {
	case err == nil && made != 0:
		return recorded(claim, op, made), true, nil
	case err == nil:
		return store.Result{}, false, nil
	case s.conflicts(err), s.dialect.blocked(err), s.dialect.timedOut(err), s.dialect.readOnly(err), full(err):
		return store.Result{}, false, rolledBack(err, s.conflicts(err))
	default:
		leave() // the transaction that finds out needs the room

		res, err := s.decide(ctx, claim, err)

		return res, true, err
	}
}

// lockPatience returns how long a recording transaction waits for another transaction of the key. The rest of the time is for finding out
// what happened to it.
func lockPatience(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()

	return time.Until(deadline) / 4
}

// recordArgs returns the arguments of the statement that claims and completes at once.
func recordArgs(ctx context.Context, claim *store.Claim, op *store.Completion) []any {
	// The record as if made in 1970, for everything that does not depend on the time.
	rec := recorded(claim, op, 0).Record
	r := rowOf(&claim.Key, &rec, 1)
	r.firstStart, r.lastStart, r.endedAt, r.expiresAt, r.leaseUntil, r.ownerUntil = 0, 0, 0, 0, 0, 0

	return []any{
		claim.Key[:], r.token, int64(r.guarantee), int64(r.scheme), r.fingerprint,
		string(r.method), string(r.readableKey), int64(r.seal), int64(r.outcomeSeal), int64(r.sum()),
		span(claim.Lease), span(claim.MaxRun, claim.Lease), int64(r.retention), boundOf(lockPatience(ctx)), r.outcome,
	}
}

// recorded returns the result of a claim that was completed at the time made.
func recorded(claim *store.Claim, op *store.Completion, made integer) store.Result {
	res := store.Result{Applied: true, Now: time.UnixMilli(int64(made))}
	claim.ApplyTo(&res.Record, res.Now)
	op.ApplyTo(&res.Record, res.Now)
	round(&res.Record)

	return res
}
