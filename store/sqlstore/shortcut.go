package sqlstore

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The short ways: what nearly always succeeds takes one statement, where the dialect has one. Whatever such a statement
// does not find as it expects goes the long way, by change.

// claimFirst is a claim that expects no record.
func (s *Store) claimFirst(ctx context.Context, at access, op *store.Claim) (store.Result, error) {
	var made integer

	old, _, err := s.shortcut(ctx, at, s.sql.claim, append(freshArgs(op), noteArg(op.Note)), &made)

	switch {
	case err != nil:
		return store.Result{}, err
	case made != 0:
		return claimed(op, made), nil
	case old.exists():
		return s.change(ctx, at, &op.Key, op, &old)
	default:
		// Somebody's record has appeared since the statement began.
		return s.change(ctx, at, &op.Key, op, nil)
	}
}

// freshArgs are the arguments of the statements that make the record of a first claim.
func freshArgs(op *store.Claim) []any {
	// The record as it would be if it were made in 1970, for all that does not depend on the time.
	var rec store.Record

	op.ApplyTo(&rec, time.UnixMilli(0))
	round(&rec)

	fresh := rowOf(&op.Key, &rec, 1)
	fresh.firstStart, fresh.lastStart, fresh.leaseUntil, fresh.ownerUntil = 0, 0, 0, 0

	return append(make([]any, 0, argsOfClaim),
		op.Key[:], fresh.token, int64(fresh.guarantee), int64(fresh.scheme), fresh.fingerprint,
		string(fresh.method), string(fresh.readableKey), int64(fresh.seal), int64(fresh.outcomeSeal), int64(fresh.sum()),
		span(op.Lease), span(op.MaxRun, op.Lease), int64(fresh.retention),
	)
}

// argsOfClaim is how many arguments the statements of a first claim take at most.
const argsOfClaim = 15

// claimed is the answer to a first claim that has made its record at a time.
func claimed(op *store.Claim, made integer) store.Result {
	res := store.Result{Applied: true, Now: timeOf(made)}
	op.ApplyTo(&res.Record, res.Now)
	round(&res.Record)

	return res
}

// completeRunning is a completion by the owner of a running record.
func (s *Store) completeRunning(ctx context.Context, at access, op *store.Completion) (store.Result, error) {
	r, found, err := s.shortcut(ctx, at, s.sql.complete, completionArgs(op))
	if err != nil {
		return store.Result{}, err
	}

	if !found {
		return s.change(ctx, at, &op.Key, op, nil)
	}

	r.outcome = op.Outcome

	return r.result(&op.Key)
}

// completionArgs are the arguments of the statements that complete a running record.
func completionArgs(op *store.Completion) []any {
	token, outcome := op.Token, op.Outcome
	if outcome == nil {
		outcome = []byte{} // nil would be NULL
	}

	seal, note := outcomeSeal(&op.Key, store.Completed, &token, outcome), noteOf(op)

	return []any{op.Key[:], token[:], outcome, int64(seal), int64(note.seal), span(max(op.Retention, 0)), int64(note.size)}
}

// renewAlive is a renewal of a lease that has not ended.
func (s *Store) renewAlive(ctx context.Context, at access, op *store.Renewal) (store.Result, error) {
	r, found, err := s.shortcut(ctx, at, s.sql.renew, []any{op.Key[:], op.Token[:], span(op.Lease)})
	if err != nil {
		return store.Result{}, err
	}

	if !found {
		return s.change(ctx, at, &op.Key, op, nil)
	}

	return r.result(&op.Key)
}

// shortcut sends a statement that changes a record and answers with a row, before which it may say more, and reports
// whether it has answered.
func (s *Store) shortcut(ctx context.Context, at access, query string, args []any, more ...any) (r row, found bool, err error) {
	done, err := at.writing(ctx)
	if err != nil {
		return r, false, err
	}
	defer done()

	found, err = at.query(ctx, query, args, append(more, r.answer(s.dialect)...)...)
	at.gate.wrote(err)

	return r, found, err
}

// result is the answer to an operation that has left this row.
func (r *row) result(key *store.Key) (store.Result, error) {
	rec, err := r.record(key)
	if err != nil {
		return store.Result{}, err
	}

	return store.Result{Applied: true, Record: rec, Now: r.time()}, nil
}
