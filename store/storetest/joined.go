package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// Joining is a transaction that a handler opens itself, with the store's way to join it.
type Joining interface {
	// Join writes the completion of the leased run of ctx. The response is what the handler will return without an error. Join returns an
	// error if the run no longer owns its record.
	Join(ctx context.Context, response any) error
	// Commit commits the transaction.
	Commit(ctx context.Context) error
	// Rollback rolls the transaction back. It does nothing after the end of the transaction.
	Rollback()
}

// WithJoin sets how a handler opens its own transaction, in which it writes the completion of its run. S is a store that newStore returned.
// Without the option, joined transactions are not checked.
func WithJoin(open func(ctx context.Context, s store.Store) (Joining, error)) Option {
	return func(c *config) { c.join = open }
}

// joinedRun is a leased run whose outcome is theOutcome.
type joinedRun struct {
	op      store.Completion
	refusal error

	mu      sync.Mutex
	written []bool
}

func (r *joinedRun) Outcome(any, error) (op store.Completion, definite, keep bool, problem error) {
	return r.op, true, false, nil
}

func (r *joinedRun) Written(applied bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.written = append(r.written, applied)
}

func (r *joinedRun) Refusal(context.Context) error { return r.refusal }

// told returns the last call of Written, and whether there was one.
func (r *joinedRun) told() (applied, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.written) == 0 {
		return false, false
	}

	return r.written[len(r.written)-1], true
}

func joinedChecks() []check {
	all := []struct {
		name string
		run  func(x *transacted)
	}{
		{"a joined completion is seen when its transaction has committed, and not before", joinedSeen},
		{"a joined completion may bring a retention of its own", joinedKept},
		{"a joined completion that is rolled back leaves the run as it was", joinedRolledBack},
		{"a joined completion is accepted when the lease has ended and nobody has taken over", joinedLate},
		{"a joined completion of a run that is not the owner any more is refused, and changes nothing", joinedRefused},
		{"a run that may not join is refused for its own reason, and nothing is written", joinedForbidden},
		{"a joined completion replaces the note of its run, with every receipt", joinedNoted},
		{"a takeover waits for a joined completion and finds its outcome", joinedTakeover},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		checks = append(checks, check{c.name, func(x *env) {
			if x.can.Transactional == nil || x.join == nil {
				x.Logf("%T has no store.Transactional, or WithJoin is not given", x.raw)

				return
			}

			(&transacted{x, x.can.Transactional}).within(c.run)
		}})
	}

	return checks
}

// handler returns the handler of a leased run, with its own transaction.
func (x *transacted) handler(claim store.Claim) (context.Context, *joinedRun, Joining) {
	x.Helper()

	tx, err := x.join(x.ctx, x.raw)
	if err != nil {
		x.Fatalf("a handler could not open a transaction: %v", err)
	}

	run := &joinedRun{op: completion(claim, theOutcome)}

	return x.transactional.Join(x.ctx, run), run, tx
}

// write writes a completion that must be accepted.
func (x *transacted) write(claim store.Claim) Joining {
	x.Helper()

	ctx, run, tx := x.handler(claim)
	if err := tx.Join(ctx, "a response"); err != nil {
		tx.Rollback()
		x.Fatalf("%v: the completion of a run that owns its record was refused: %v", joins, err)
	}

	if applied, ok := run.told(); !ok || !applied {
		x.brokenf(joins, "Written was not called after the completion was written")
	}

	return tx
}

// peek reads the record as others do during a transaction.
func (x *transacted) peek() store.Record {
	x.Helper()
	res, err := x.transactional.Lookup(x.ctx, x.key)

	return x.must("Lookup", res, err).Record
}

func joinedSeen(x *transacted) {
	claim := x.newClaim()
	before := x.start(claim).Record
	tx := x.write(claim)

	if d := everything(new(x.peek()), &before); d != "" {
		x.brokenf(joins, "a joined completion is seen before its transaction has committed: %s", d)
	}

	if err := tx.Commit(x.ctx); err != nil {
		x.Fatalf("Commit returned an error: %v", err)
	}

	want := before
	want.State, want.Outcome = store.Completed, []byte(theOutcome)

	got := x.read()
	if d := meaning(&got.Record, &want); d != "" {
		x.brokenf(joins, "the record of a joined completion: %s", d)
	}

	x.at("EndedAt of a joined completion", got.Record.EndedAt.Add(long), got.Record.ExpiresAt)

	if got.Record.EndedAt.Before(before.LastStart.Add(-rounding)) || got.Record.EndedAt.After(got.Now.Add(rounding)) {
		x.brokenf(contents, "a joined completion ended at %v: it started at %v, and now it is %v",
			got.Record.EndedAt, before.LastStart, got.Now)
	}

	x.expect(resends, "a copy of a joined completion", x.complete(claim, theOutcome),
		firstRun(true, claim.Token))
	x.expect(finality, "another completion after a joined one", x.complete(claim, otherOutcome),
		firstRun(false, claim.Token))
	x.expect(finality, "a claim after a joined completion", x.claim(x.newClaim()), firstRun(false, claim.Token))
}

// firstRun is the record after the first run of a key has completed it.
func firstRun(applied bool, token store.Token) want {
	return want{applied, store.Completed, token, 1, theOutcome}
}

func joinedKept(x *transacted) {
	claim := x.newClaim()
	claim.Retention = oneRetention
	x.start(claim)

	ctx, run, tx := x.handler(claim)
	run.op = keeping(claim)

	if err := tx.Join(ctx, "a response"); err != nil {
		tx.Rollback()
		x.Fatalf("%v: the completion of a run that owns its record was refused: %v", joins, err)
	}

	if err := tx.Commit(x.ctx); err != nil {
		x.Fatalf("Commit returned an error: %v", err)
	}

	x.keptFor("a joined completion", x.read(), otherRetention)
}

func joinedNoted(x *transacted) {
	for name, pick := range map[string]func(claimed, renewed any) any{
		"no receipt":                    func(any, any) any { return nil },
		"the receipt of its claim":      func(claimed, _ any) any { return claimed },
		"the receipt of its last lease": func(_, renewed any) any { return renewed },
	} {
		x.newKey()

		claim := x.notedClaim()
		begun := x.start(claim)
		renewed := x.renew(claim, 2*long)

		ctx, run, tx := x.handler(claim)
		run.op.Receipt = pick(begun.Receipt, renewed.Receipt)

		if err := tx.Join(ctx, "a response"); err != nil {
			tx.Rollback()
			x.brokenf(joins, "with %s, the completion of a run with a note was refused: %v", name, err)

			return
		}

		if err := tx.Commit(x.ctx); err != nil {
			x.Fatalf("Commit returned an error: %v", err)
		}

		x.noted("a joined completion with "+name, x.read(), []byte(theOutcome))
	}
}

func joinedRolledBack(x *transacted) {
	claim := x.newClaim()
	before := x.start(claim).Record

	for range copies {
		x.write(claim).Rollback()

		if d := everything(new(x.read().Record), &before); d != "" {
			x.brokenf(joins, "a joined completion that was rolled back left something behind: %s", d)
		}
	}

	x.expect(joins, "a completion after a joined one was rolled back", x.complete(claim, theOutcome),
		firstRun(true, claim.Token))
}

func joinedLate(x *transacted) {
	claim := x.shortClaim()
	x.startShort(claim)

	if err := x.write(claim).Commit(x.ctx); err != nil {
		x.Fatalf("Commit returned an error: %v", err)
	}

	x.expect(settlement, "a claim after a late joined completion", x.claim(x.newClaim()),
		firstRun(false, claim.Token))
}

func joinedRefused(x *transacted) {
	all := []struct {
		name string
		how  func(own store.Claim)
	}{
		{"another run has taken over", func(own store.Claim) {
			x.pass(x.read().Record.OwnerAliveUntil)

			other := x.newClaim()
			other.Fence, other.Guarantee = 1, own.Guarantee
			x.start(other)
		}},
		{"another run has taken over and completed", func(store.Claim) {
			x.pass(x.read().Record.OwnerAliveUntil)

			other := x.newClaim()
			other.Fence = 1
			x.start(other)
			x.complete(other, otherOutcome)
		}},
		{"the owner has released it", func(own store.Claim) { x.release(own) }},
		{"the owner has completed it otherwise", func(own store.Claim) { x.complete(own, otherOutcome) }},
		{"somebody has resolved it", func(own store.Claim) {
			x.pass(x.read().Record.OwnerAliveUntil)

			res, err := x.transactional.Resolve(x.ctx, store.Resolution{
				Key: x.key, Token: own.Token, Fence: 1, State: store.Completed, Outcome: []byte(otherOutcome),
			})
			x.must("Resolve", res, err)
		}},
	}

	for _, l := range all {
		x.newKey()

		own := x.shortClaim()
		x.start(own)
		l.how(own)

		before := x.read().Record
		ctx, run, tx := x.handler(own)

		if err := tx.Join(ctx, "a response"); err == nil {
			x.brokenf(joins, "a completion was written although %s", l.name)
		}

		if applied, ok := run.told(); !ok || applied {
			x.brokenf(joins, "Written was not called after the completion was refused, when %s", l.name)
		}

		tx.Rollback()

		if d := everything(new(x.read().Record), &before); d != "" {
			x.brokenf(joins, "a completion that was refused because %s changed the record: %s", l.name, d)
		}
	}
}

func joinedForbidden(x *transacted) {
	claim := x.newClaim()
	before := x.start(claim).Record

	tx, err := x.join(x.ctx, x.raw)
	if err != nil {
		x.Fatalf("a handler could not open a transaction: %v", err)
	}

	run := &joinedRun{op: completion(claim, theOutcome), refusal: errors.New("this run may not join")}

	if err := tx.Join(x.transactional.Join(x.ctx, run), "a response"); !errors.Is(err, run.refusal) {
		x.brokenf(joins, "a run that may not join got the error %v, must match its Refusal", err)
	}

	if _, ok := run.told(); ok {
		x.brokenf(joins, "Written was called for a run that may not join")
	}

	tx.Rollback()
	x.unchanged("a run that may not join", &before)
}

func joinedTakeover(x *transacted) {
	claim := x.shortClaim()
	before := x.startShort(claim).Record
	tx := x.write(claim)

	other := x.newClaim()
	other.Fence = 1

	waits := x.meanwhileClaim(other, &before)

	if err := tx.Commit(x.ctx); err != nil {
		x.Fatalf("Commit returned an error: %v", err)
	}

	if got := answered(x, "a takeover", waits); got.err == nil {
		x.expect(joins, fmt.Sprintf("a takeover that has waited for a joined completion, on %s", ended), got.res,
			firstRun(false, claim.Token))
	}
}
