package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// transacted is a check of a store that implements store.Transactional.
type transacted struct {
	*env

	transactional store.Transactional
}

// grace is how long Begin may exceed its wait. Some databases count the wait in whole seconds.
const grace = 5 * time.Second

// WithTake sets how a handler takes the single transaction from its context. Without the option, Transaction.Used is not checked after a
// use.
func WithTake(take func(ctx context.Context) error) Option {
	return func(c *config) { c.take = take }
}

func transactionalChecks() []check {
	all := []struct {
		name string
		run  func(x *transacted)
	}{
		{"Begin of another request under the same key loses in every state", beginBinding},
		{"Begin keeps its transaction when its context ends", beginOutlivesContext},
		{"Rollback leaves a record as it was", rollbackLeaves},
		{"Complete is seen by everybody afterwards", completeSeen},
		{"Complete may bring a retention of its own", completeKept},
		{"Complete that undoes the handler's writes is seen by everybody afterwards", completeUndone},
		{"Complete replaces the note of its claim, and Rollback leaves none", completeNoted},
		{"Complete counts the runs and keeps the first request", completeFields},
		{"a transaction by itself has not conflicted", neverConflicted},
		{"a transaction is used once the handler has taken it, and not before", usedOnceTaken},
		{"a second Begin waits and finds what the first has completed", secondFindsCompleted},
		{"a second Begin waits and wins once the first was rolled back", secondWins},
		{"a second Begin is busy when its wait is over, and nothing changes", secondBusy},
		{"a Begin that has lost holds nothing", loserHoldsNothing},
		{"of many that begin at once one completes, and the others find its outcome", manyBegin},
		{"a leased claim does not see what is not committed, and loses to what is", leasedClaimWaits},
		{"a leased claim wins once the transaction was rolled back", leasedClaimWins},
		{"a leased operation on a record that was released does not see what is not committed", leasedReleaseWaits},
		{"Lookup sees what is committed and nothing else", lookupCommitted},
	}
	checks := make([]check, 0, len(all))

	add := func(name string, run func(x *transacted)) {
		checks = append(checks, check{name, func(x *env) {
			if x.can.Transactional == nil {
				x.Logf("%T has no store.Transactional", x.raw)

				return
			}

			(&transacted{x, x.can.Transactional}).within(run)
		}})
	}

	for _, c := range all {
		add(c.name, c.run)
	}

	for _, c := range cells() {
		if c.op != claims || c.by != stranger {
			continue // a claim is not sent twice: without a commit it ends with its connection
		}

		for _, fence := range c.fences() {
			for _, g := range c.guarantees() {
				one := c
				one.fence, one.under = fence, under(g)
				add("Begin: "+one.name(), func(x *transacted) { beginCell(x, one) })
			}
		}
	}

	return checks
}

// within runs a check with a time limit.
func (x *transacted) within(run func(x *transacted)) {
	ctx, done := context.WithTimeout(x.ctx, 6*x.patient())
	defer done()

	defer func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			x.brokenf(turns, "an operation has waited for a transaction that nobody has any more")
		}
	}()

	x.ctx = ctx
	run(x)
}

// begun is the result of Begin.
type begun struct {
	res  store.Result
	tx   store.Transaction
	err  error
	took time.Duration
}

// tryBegin calls Begin as the engine does: the deadline of the context is a little after the end of the wait.
func (x *transacted) tryBegin(op store.Claim, wait time.Duration) begun {
	return x.tryBeginWithin(op, wait, grace/2)
}

// tryBeginWithin is tryBegin with the time from the end of the wait to the deadline.
func (x *transacted) tryBeginWithin(op store.Claim, wait, more time.Duration) begun {
	ctx, done := context.WithTimeout(x.ctx, wait+more)
	defer done()

	since := time.Now()
	res, tx, err := x.transactional.Begin(ctx, op, wait)

	return begun{res, tx, err, time.Since(since)}
}

// patient returns a wait that ends only after a failure.
func (x *transacted) patient() time.Duration { return max(time.Minute, 20*x.unit) }

// begin calls Begin when there is nothing to wait for.
func (x *transacted) begin(op store.Claim) begun {
	x.Helper()

	got := x.tryBegin(op, x.patient())
	if got.err != nil {
		x.Fatalf("Begin returned an error: %v", got.err)
	}

	if got.res.Applied != (got.tx != nil) {
		x.Fatalf("%v: Begin returned Applied %t and a transaction: %t", oneCommit, got.res.Applied, got.tx != nil)
	}

	return got
}

// open calls Begin, which must win.
func (x *transacted) open(op store.Claim) begun {
	x.Helper()

	got := x.begin(op)
	if got.tx == nil || got.res.Record.State != store.Running || got.res.Record.Token != op.Token {
		x.Fatalf("%v: a Begin that must win did not: applied=%t, the record is %v with fence %d, the claim expected %d",
			expectedFence, got.res.Applied, got.res.Record.State, got.res.Record.Fence, op.Fence)
	}

	return got
}

// later calls Begin in a goroutine, because it may have to wait.
func (x *transacted) later(op store.Claim, wait time.Duration) <-chan begun {
	answered := make(chan begun, 1)

	go func() { answered <- x.tryBegin(op, wait) }()

	x.meanwhile()

	return answered
}

// meanwhile waits a moment in which others could do what they should not. The store's clock cannot be used: it may come from a locked
// record.
func (x *transacted) meanwhile() { time.Sleep(x.unit) }

// commit completes a transaction, which must commit.
func (x *transacted) commit(tx store.Transaction, op store.Claim, undo bool) store.Result {
	x.Helper()

	res, err := tx.Complete(x.ctx, completion(op, theOutcome), undo)
	x.must("Complete of a transaction", res, err)

	if !res.Applied || res.Record.State != store.Completed {
		x.brokenf(oneCommit, "Complete of an open transaction: Applied is %t, the record is %v", res.Applied, res.Record.State)
	}

	return res
}

// rollBack ends a transaction whose handler did nothing that could have ended it.
func (x *transacted) rollBack(tx store.Transaction) {
	x.Helper()

	switch held, err := tx.Rollback(); {
	case err != nil:
		x.brokenf(oneCommit, "Rollback is not sure that nothing is left, although no handler has written anything: %v", err)
	case !held && !tx.Used():
		x.brokenf(oneCommit, "Rollback is not sure that the record was the transaction's until then, although no handler has used it")
	}
}

func beginCell(x *transacted, c cell) {
	_, before := x.arrange(c.found, store.Guarantee(c.under))

	op := x.newClaim()
	op.Guarantee = store.Guarantee(c.under)
	op.Fence = before.Fence

	if c.fence == otherFence {
		op.Fence = before.Fence + 1
	}

	got := x.begin(op)
	if got.res.Applied != c.applied {
		x.brokenf(c.rule, "Begin on %s, %s: Applied is %t, must be %t", c.found, c.fence, got.res.Applied, c.applied)
	}

	want := c.want(op, &before)
	if d := meaning(&got.res.Record, &want); d != "" {
		x.brokenf(c.rule, "Begin on %s, %s: %s", c.found, c.fence, d)
	}

	if got.tx != nil {
		x.rollBack(got.tx)
	}

	x.unchanged("Begin and Rollback", &before)
}

// unchanged compares the record with the earlier one.
func (x *transacted) unchanged(after string, before *store.Record) {
	x.Helper()

	if d := everything(new(x.read().Record), before); d != "" {
		x.brokenf(oneCommit, "%s left something behind: %s", after, d)
	}
}

func beginBinding(x *transacted) {
	for _, found := range []condition{alive, ended, held, released, completed} {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		op := x.newClaim()
		op.Fingerprint.Sum[0]++
		op.Fence = before.Fence

		got := x.begin(op)
		if got.tx != nil {
			x.brokenf(binding, "Begin of another request on %s has won", found)
			x.rollBack(got.tx)
		}

		x.unchanged("Begin of another request", &before)
	}
}

func beginOutlivesContext(x *transacted) {
	ctx, cancel := context.WithTimeout(x.ctx, x.patient())
	op := x.newClaim()

	res, tx, err := x.transactional.Begin(ctx, op, x.patient())
	x.must("Begin", res, err)
	cancel()

	if tx == nil {
		x.Fatalf("%v: a Begin on an absent record has lost", atomicity)
	}

	x.meanwhile()

	if res, err := tx.Complete(x.ctx, completion(op, theOutcome), false); err != nil || !res.Applied {
		x.brokenf(oneCommit, "the transaction ended with the context of Begin: Complete returned %t, %v", res.Applied, err)
	}
}

// ways returns the conditions in which a claim may win.
func ways() []condition { return []condition{absent, released, ended} }

func rollbackLeaves(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		op := x.newClaim()
		op.Fence = before.Fence

		for range copies {
			op.Token = newToken()
			x.rollBack(x.open(op).tx)
			x.unchanged(fmt.Sprintf("Rollback on %s", found), &before)
		}
	}
}

func completeSeen(x *transacted) {
	for _, found := range ways() {
		x.seenByAll(found, false)
	}
}

func completeKept(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		op := x.newClaim()
		op.Fence, op.Retention = before.Fence, oneRetention

		res, err := x.open(op).tx.Complete(x.ctx, keeping(op), false)
		got := x.must("Complete", res, err)
		x.keptFor("a completion in a transaction", got, otherRetention)

		if d := everything(new(x.read().Record), &got.Record); d != "" {
			x.brokenf(kept, "a completion in a transaction returned another record than it left behind: %s", d)
		}
	}
}

func completeUndone(x *transacted) {
	for _, found := range ways() {
		x.seenByAll(found, true)
	}
}

// seenByAll completes a transaction and reads the record in every way.
func (x *transacted) seenByAll(found condition, undo bool) {
	x.Helper()
	x.newKey()
	_, before := x.arrange(found, store.ExactlyOnce)

	op := x.newClaim()
	op.Fence = before.Fence
	got := x.commit(x.open(op).tx, op, undo)
	all := want{false, store.Completed, op.Token, before.Fence + 1, theOutcome}

	for name, look := range map[string]func() store.Result{
		"a renewal":     x.read,
		"a claim":       func() store.Result { return x.claim(x.newClaim()) },
		"another Begin": func() store.Result { return x.begin(x.newClaim()).res },
		"a completion":  func() store.Result { return x.complete(x.newClaim(), otherOutcome) },
		"a release":     func() store.Result { return x.release(x.newClaim()) },
		"a hold":        func() store.Result { return x.hold(x.newClaim(), theNote) },
	} {
		seen := look()
		x.expect(oneCommit, fmt.Sprintf("%s after a transaction was completed on %s", name, found), seen, all)

		if d := everything(&seen.Record, &got.Record); d != "" {
			x.brokenf(atomicity, "Complete returned another record than %s finds: %s", name, d)
		}
	}
}

func completeFields(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.AtLeastOnce)

		op := x.newClaim()
		op.Fence, op.Guarantee, op.Method = before.Fence, store.ExactlyOnce, "/onlyonce.storetest.v1.Suite/Transaction"
		op.Fingerprint.Scheme++ // counts as the same request

		open := x.open(op)
		got := x.commit(open.tx, op, false)
		rec := x.read().Record

		want := open.res.Record
		want.State, want.Outcome, want.EndedAt, want.ExpiresAt = store.Completed, []byte(theOutcome), got.Now, got.Now.Add(long)
		want.FirstStart, want.LastStart = rec.FirstStart, rec.LastStart // the clock may be read before or after Begin

		if d := everything(&rec, &want); d != "" {
			x.brokenf(contents, "the record of a completed transaction on %s: %s", found, d)
		}

		runs := uint32(1)
		if found == ended {
			runs = before.Attempts + 1
		}

		if rec.Attempts != runs {
			x.brokenf(attempts, "a completed transaction on %s counts %d runs, must be %d", found, rec.Attempts, runs)
		}

		if rec.Guarantee != store.ExactlyOnce {
			x.brokenf(guarantee, "a completed transaction on %s is %v", found, rec.Guarantee)
		}

		if first := before.Fingerprint; found != absent && rec.Fingerprint != first {
			x.brokenf(binding, "a completed transaction on %s has replaced the fingerprint", found)
		}

		if rec.LastStart.Before(rec.FirstStart) || rec.EndedAt.Before(rec.LastStart.Add(-rounding)) {
			x.brokenf(contents, "a completed transaction on %s started at %v, again at %v, and ended at %v",
				found, rec.FirstStart, rec.LastStart, rec.EndedAt)
		}
	}
}

func usedOnceTaken(x *transacted) {
	tx := x.open(x.newClaim()).tx
	defer x.rollBack(tx)

	ctx := tx.Context(x.ctx)

	if tx.Used() {
		x.brokenf(use, "a transaction that no handler has taken is used")
	}

	if x.take == nil {
		x.Logf("WithTake is not given")

		return
	}

	if err := x.take(ctx); err != nil {
		x.Fatalf("a handler could not take its transaction: %v", err)
	}

	if !tx.Used() {
		x.brokenf(use, "a transaction that the handler has taken is not used")
	}
}

func neverConflicted(x *transacted) {
	tx := x.open(x.newClaim()).tx
	defer x.rollBack(tx)

	for _, err := range []error{nil, errors.New("the handler's own"), context.Canceled} {
		if tx.Conflicted(err) {
			x.brokenf(oneCommit, "a transaction that met no other has conflicted, where the handler returned %v", err)
		}
	}
}
