package sqlstore

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Shortcuts do the most frequent form of an operation in one statement, if the dialect has one. If the statement does not find the record
// as expected, change does the operation.

// claimFirst makes a claim that expects no record.
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
		// A record has appeared since the statement began.
		return s.change(ctx, at, &op.Key, op, nil)
	}
}

// freshArgs returns the arguments of the statements that insert the record of a first claim.
func freshArgs(op *store.Claim) []any {
	// The record as if made in 1970, for everything that does not depend on the time.
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

// argsOfClaim is the greatest number of arguments of a first claim.
const argsOfClaim = 15

// claimed returns the result of a first claim that made its record at a time.
func claimed(op *store.Claim, made integer) store.Result {
	res := store.Result{Applied: true, Now: timeOf(made)}
	op.ApplyTo(&res.Record, res.Now)
	round(&res.Record)

	return res
}

// completeRunning completes a running record for its owner.
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

// completionArgs returns the arguments of the statements that complete a running record.
func completionArgs(op *store.Completion) []any {
	token, outcome := op.Token, op.Outcome
	if outcome == nil {
		outcome = []byte{} // nil would be NULL
	}

	seal, note := outcomeSeal(&op.Key, store.Completed, &token, outcome), noteOf(op)

	return []any{op.Key[:], token[:], outcome, int64(seal), int64(note.seal), span(max(op.Retention, 0)), int64(note.size)}
}

// renewAlive renews a lease that has not ended.
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

// shortcut sends a statement that changes a record and returns a row. Found is false if it returned none. The columns in more come before
// the row.
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

// result returns the result of an operation that left this row.
func (r *row) result(key *store.Key) (store.Result, error) {
	rec, err := r.record(key)
	if err != nil {
		return store.Result{}, err
	}

	return store.Result{Applied: true, Record: rec, Now: r.time()}, nil
}
