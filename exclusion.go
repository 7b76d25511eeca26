package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/housekeeping"
	"github.com/onlyonce-go/onlyonce/store"
)

// With Engine.Recover, only one process recovers a record at a time. It claims a second record, whose key is made from the first record's
// ID. The claim only saves load on the system that the recovery function queries: the fence guards the record itself. So if the claim
// cannot be made, because the store is full or the second record cannot be read, the record is recovered without it.

const (
	// recoverMethod is the method of these second records.
	recoverMethod = housekeeping.RecoverMethod
	// exclusionTries is how often the claim is made: once for every state in which its record can be found.
	exclusionTries = 4
	// exclusionRetention is how long a second record stays after its release, unless a recovery may take longer.
	exclusionRetention = time.Minute
)

// exclude claims the right to recover a record, for as long as a recovery may take. The function that it returns releases the claim.
func (e *Engine) exclude(ctx context.Context, id store.Key) (end func(context.Context), err error) {
	lease := e.limits.RecoverTimeout + 2*e.limits.StoreTimeout // there is one store operation before the recovery, and one after it
	claim := store.Claim{
		Key: storageKey("", recoverMethod, id.String()), Token: newToken(time.Now()), Guarantee: AtLeastOnce, Lease: lease, MaxRun: lease,
		Retention: max(exclusionRetention, lease), Method: recoverMethod,
	}

	for range exclusionTries {
		var res store.Result

		if res, err = e.claimExclusion(ctx, claim); cannotExclude(err) {
			return func(context.Context) {}, nil
		}

		if err != nil {
			e.endExclusion(context.WithoutCancel(ctx), store.Release{Claim: claim}) // it may have arrived

			return nil, fmt.Errorf("onlyonce: claiming the recovery of record %v: %w", id, err)
		}

		switch rec := &res.Record; {
		case res.Applied:
			return func(ctx context.Context) { e.endExclusion(ctx, store.Release{Claim: claim, Receipt: res.Receipt}) }, nil
		case rec.State == store.Absent:
			claim.Fence = 0
		case claim.MayStart(rec, res.Now):
			claim.Fence = rec.Fence
		case rec.LeaseAlive(res.Now):
			return nil, ErrRecoveryElsewhere
		default:
			if settled, err := e.resolveExclusion(ctx, claim.Key, &res); err != nil || !settled {
				return nil, ErrRecoveryElsewhere
			}
		}
	}

	return nil, ErrRecoveryElsewhere
}

// cannotExclude reports that the store has refused the claim and would refuse it again. A full store gets room only when records are
// settled.
func cannotExclude(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer)
}

func (e *Engine) claimExclusion(ctx context.Context, claim store.Claim) (store.Result, error) {
	bounded, done := e.storeContext(ctx)
	defer done()

	return e.store.Claim(bounded, claim) //nolint:wrapcheck // by the caller
}

// endExclusion releases the claim. If that fails, the claim ends with its lease.
func (e *Engine) endExclusion(ctx context.Context, op store.Release) {
	bounded, done := e.storeContext(ctx)
	defer done()

	_, _ = e.store.Release(bounded, op)
}

// resolveExclusion settles the second record of a process that died during a recovery, too long ago for a takeover.
func (e *Engine) resolveExclusion(ctx context.Context, key store.Key, res *store.Result) (bool, error) {
	bounded, done := e.storeContext(ctx)
	defer done()

	settled, err := e.can.Inspector.Resolve(bounded, store.Resolution{
		Key: key, Token: res.Record.Token, Fence: res.Record.Fence, State: store.Released, AsOf: res.Now,
	})

	return settled.Applied, err //nolint:wrapcheck // nobody reads it
}

// removeExclusion settles a second record for a reconciler. The store refuses it while the owner may be alive.
func (e *Engine) removeExclusion(ctx context.Context, rec *Record) error {
	if e.can.Inspector == nil {
		return nil
	}

	_, err := e.resolveExclusion(ctx, rec.ID, &store.Result{Record: rec.Record, Now: rec.LookedUpAt})

	return err
}
