package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Checks of what others see of an open transaction, and how long they wait for it.

// answered waits for the end of a call that may have to wait.
func answered[T any](x *transacted, what string, channel <-chan T) (got T) {
	x.Helper()

	timer := time.NewTimer(2 * x.patient())
	defer timer.Stop()

	select {
	case got = <-channel:
	case <-timer.C:
		x.Fatalf("%v: %s never returned", turns, what)
	}

	return got
}

// tooEarly reports a call that ended during the transaction without a refusal.
func (x *transacted) tooEarly(second <-chan begun) bool {
	x.Helper()

	var got begun

	select {
	case got = <-second:
	default:
		return false
	}

	rollback(x, got)

	x.brokenf(turns, "a second Begin did not wait: it returned Applied %t, %v and the error %v while the transaction was open",
		got.res.Applied, got.res.Record.State, got.err)

	return true
}

func secondFindsCompleted(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		first, second := x.newClaim(), x.newClaim()
		first.Fence, second.Fence = before.Fence, before.Fence

		tx := x.open(first).tx
		waits := x.later(second, x.patient())

		early := x.tooEarly(waits)
		x.commit(tx, first, false)

		if early {
			continue
		}

		got := answered(x, "a second Begin", waits)
		if got.err != nil || got.tx != nil {
			x.brokenf(turns, "a second Begin, when the first was completed: a transaction: %t, the error %v", got.tx != nil, got.err)
			rollback(x, got)

			continue
		}

		x.expect(finality, "a second Begin, when the first was completed", got.res,
			want{false, store.Completed, first.Token, before.Fence + 1, theOutcome})
	}
}

func rollback(x *transacted, got begun) {
	if got.tx != nil {
		x.rollBack(got.tx)
	}
}

func secondWins(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		first, second := x.newClaim(), x.newClaim()
		first.Fence, second.Fence = before.Fence, before.Fence

		tx := x.open(first).tx
		waits := x.later(second, x.patient())

		early := x.tooEarly(waits)
		x.rollBack(tx)

		if early {
			continue
		}

		got := answered(x, "a second Begin", waits)
		if got.err != nil || got.tx == nil {
			x.brokenf(turns, "a second Begin on %s, when the first was rolled back, has not won: the record is %v, the error %v",
				found, got.res.Record.State, got.err)

			continue
		}

		x.expect(expectedFence, "a second Begin, when the first was rolled back", got.res,
			want{true, store.Running, second.Token, before.Fence + 1, ""})
		x.commit(got.tx, second, false)
		x.expect(finality, "a claim after the second transaction", x.claim(x.newClaim()),
			want{false, store.Completed, second.Token, before.Fence + 1, theOutcome})
	}
}

func secondBusy(x *transacted) {
	for _, found := range []condition{absent, released} {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		first, second := x.newClaim(), x.newClaim()
		first.Fence, second.Fence = before.Fence, before.Fence

		tx := x.open(first).tx

		more := grace / 2
		got := x.tryBegin(second, x.unit)
		refused := func() bool { return errors.Is(got.err, store.ErrBusy) || errors.Is(got.err, store.ErrFull) }
		late := func() bool { return got.took > x.unit+2*more }

		// A slow machine may not see the end of the wait before the deadline. Then Begin has a later one.
		for !x.bubble && more < 4*grace && got.tx == nil && (!refused() || late()) {
			more *= 2
			got = x.tryBeginWithin(second, x.unit, more)
		}

		if !refused() {
			x.brokenf(turns, "a second Begin whose wait is over: the error is %v, must match ErrBusy or ErrFull", got.err)
			rollback(x, got)
		}

		if got.took < x.unit-rounding || late() {
			x.brokenf(turns, "a second Begin waited for %v, its wait was %v", got.took, x.unit)
		}

		x.rollBack(tx)
		x.unchanged("a Begin that was refused", &before)

		// A call that stopped waiting does not block others.
		x.commit(x.open(first).tx, first, false)
	}
}

func loserHoldsNothing(x *transacted) {
	for _, found := range []condition{alive, held, released, completed} {
		x.newKey()
		own, before := x.arrange(found, store.AtMostOnce)

		op := x.newClaim()
		op.Fence = before.Fence + 1

		for range copies {
			if got := x.begin(op); got.tx != nil {
				x.brokenf(expectedFence, "a Begin that expects another fence has won on %s", found)
				x.rollBack(got.tx)
			}
		}

		got := make(chan store.Result, 1)

		go func() {
			res, _ := x.store.Release(x.ctx, store.Release{Claim: own})
			got <- res
		}()

		if res := answered(x, "a release after a Begin that has lost", got); res.Applied != (found != completed) {
			x.brokenf(turns, "a release after a Begin that has lost on %s: Applied is %t", found, res.Applied)
		}
	}
}

func manyBegin(x *transacted) {
	for range max(1, x.rounds/25) {
		x.newKey()

		var wins atomic.Int64

		got := make([]begun, contenders)
		ops := make([]store.Claim, contenders)

		for i := range ops {
			ops[i] = x.newClaim()
		}

		together(contenders, func(i int) {
			got[i] = x.tryBegin(ops[i], x.patient())
			if got[i].tx == nil {
				return
			}

			wins.Add(1)

			got[i].res, got[i].err = got[i].tx.Complete(x.ctx, completion(ops[i], theOutcome), false)
		})

		if wins.Load() != 1 {
			x.brokenf(turns, "%d of %d transactions on one key have won, must be 1", wins.Load(), contenders)
		}

		for i := range got {
			if rec := &got[i].res.Record; got[i].err != nil || rec.State != store.Completed || string(rec.Outcome) != theOutcome {
				x.brokenf(turns, "one of many that began at once found %v, and the error %v", rec.State, got[i].err)
			}
		}
	}
}

// leased is the result of a leased operation.
type leased struct {
	res store.Result
	err error
}

// meanwhileClaim sends a leased claim during a transaction. It may be refused with an error. It must not see what is not committed.
func (x *transacted) meanwhileClaim(op store.Claim, before *store.Record) <-chan leased {
	x.Helper()

	answers := make(chan leased, 1)

	go func() {
		ctx, done := context.WithTimeout(x.ctx, x.patient())
		defer done()

		res, err := x.store.Claim(ctx, op)
		answers <- leased{res, err}
	}()

	x.meanwhile()

	select {
	case got := <-answers:
		if got.err == nil && got.res.Applied {
			x.brokenf(oneCommit, "a leased claim has won against a transaction that is open")
		}

		if d := meaning(&got.res.Record, before); got.err == nil && d != "" {
			x.brokenf(oneCommit, "a leased claim has seen what is not committed: %s", d)
		}

		answers <- leased{err: store.ErrBusy}
	default:
	}

	return answers
}

func leasedClaimWaits(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		first, second := x.newClaim(), x.newClaim()
		first.Fence, second.Fence = before.Fence, before.Fence

		tx := x.open(first).tx
		waits := x.meanwhileClaim(second, &before)
		x.commit(tx, first, false)

		if got := answered(x, "a leased claim", waits); got.err == nil {
			x.expect(finality, "a leased claim that has waited for a transaction, which was completed", got.res,
				want{false, store.Completed, first.Token, before.Fence + 1, theOutcome})
		}
	}
}

func leasedClaimWins(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		first, second := x.newClaim(), x.newClaim()
		first.Fence, second.Fence = before.Fence, before.Fence

		tx := x.open(first).tx
		waits := x.meanwhileClaim(second, &before)
		x.rollBack(tx)

		got := answered(x, "a leased claim", waits)
		if got.err != nil {
			got.res = x.claim(second) // refused, so sent again
		}

		x.expect(oneCommit, "a leased claim when a transaction was rolled back", got.res,
			want{true, store.Running, second.Token, before.Fence + 1, ""})
	}
}

// leasedReleaseWaits withdraws a claim whose key is held by a transaction.
func leasedReleaseWaits(x *transacted) {
	_, before := x.arrange(released, store.ExactlyOnce)

	first := x.newClaim()
	first.Fence = before.Fence
	tx := x.open(first).tx

	withdrawn := x.newClaim()
	withdrawn.Fence = before.Fence
	answers := make(chan leased, 1)

	go func() {
		ctx, done := context.WithTimeout(x.ctx, x.patient())
		defer done()

		res, err := x.store.Release(ctx, store.Release{Claim: withdrawn})
		answers <- leased{res, err}
	}()

	x.meanwhile()
	x.commit(tx, first, false)

	got := answered(x, "a release", answers)
	if got.err == nil {
		x.expect(finality, "a release of a claim whose key a transaction has completed", got.res,
			want{false, store.Completed, first.Token, before.Fence + 1, theOutcome})
	}

	x.expect(finality, "a claim after it", x.claim(x.newClaim()),
		want{false, store.Completed, first.Token, before.Fence + 1, theOutcome})
}

func lookupCommitted(x *transacted) {
	for _, found := range ways() {
		x.newKey()
		_, before := x.arrange(found, store.ExactlyOnce)

		op := x.newClaim()
		op.Fence = before.Fence
		tx := x.open(op).tx

		looked := make(chan leased, 1)

		go func() {
			res, err := x.transactional.Lookup(x.ctx, x.key)
			looked <- leased{res, err}
		}()

		got := answered(x, "Lookup while a transaction is open", looked)
		x.must("Lookup", got.res, got.err)

		if d := everything(&got.res.Record, &before); d != "" {
			x.brokenf(oneCommit, "Lookup has seen what is not committed: %s", d)
		}

		x.commit(tx, op, false)
	}
}
