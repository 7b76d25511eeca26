package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// TransactionMode says how a run under ExactlyOnce shares a database transaction with its record.
type TransactionMode uint8

// The transaction modes.
const (
	// SingleTransaction gives the handler the transaction in which the key is claimed and the outcome recorded. It is the
	// default, for handlers that do nothing but write to this database. A crash leaves nothing behind, so that the retry runs at
	// once. There is no lease and no fence.
	SingleTransaction TransactionMode = iota + 1
	// JoinedTransaction leases the key, as other guarantees do, and lets the handler write the completion in a transaction that it
	// opens by itself. It is for handlers that also call other services, or run for long: they hold no transaction meanwhile.
	JoinedTransaction
)

// String returns the name of the way.
func (t TransactionMode) String() string {
	switch t {
	case SingleTransaction:
		return "single transaction"
	case JoinedTransaction:
		return "joined transaction"
	default:
		return fmt.Sprintf("TransactionMode(%d)", uint8(t))
	}
}

const (
	// maxConflicts is how often a handler is run again because its transaction conflicted with another.
	maxConflicts = 3
	// conflictDelay is the delay before it first is, doubled each time, and jittered.
	conflictDelay = 4 * time.Millisecond
)

// single reports whether the call runs in the transaction of its claim.
func (x *execution) single() bool {
	return x.policy.Guarantee == ExactlyOnce && x.policy.TransactionMode == SingleTransaction
}

// begin makes the claim in a transaction. The caller's cancellation ends the wait for room; what the database has been asked goes on,
// since ending that would cost the connection. The caller's deadline bounds the wait.
func (x *execution) begin() (err error) {
	if err := x.caller.Err(); err != nil {
		return err // wrapped by claimFailed
	}

	// Nobody can see yet for which request another transaction holds the record.
	x.engine.flights.enter(flightBlocked, &x.key, &x.flight, store.Fingerprint{}, nil)

	wait := max(time.Until(x.patience()), 0)

	until := time.Now().Add(wait + x.engine.limits.StoreTimeout)

	ctx, done := x.engine.storeDeadline(&ownDeadline{Context: x.caller, at: until}, until)
	defer done()

	x.result, x.tx, err = x.engine.transactional.Begin(ctx, x.claim, wait)

	return err // classified by claimFailed
}

// ownDeadline is a context that is cancelled with the one around it, but whose deadline is its own, which may be later: that of the
// caller bounds the wait, and not what the database has been asked.
type ownDeadline struct {
	context.Context //nolint:containedctx // it is one

	at time.Time
}

// Deadline returns its own deadline.
func (c *ownDeadline) Deadline() (time.Time, bool) { return c.at, true }

// ownTransaction runs the handler in the transaction of its claim. It asks to begin again where that conflicted with another.
func (x *execution) ownTransaction() (reply Reply, again bool, err error) {
	defer func() {
		if x.tx != nil { // somebody panics on the way
			x.rollback()
		}
	}()

	rec := &x.result.Record
	x.guarantee = x.policy.Guarantee // also where that of the record is stricter: see ExactlyOnce
	x.attempt = rec.Attempts
	x.doubtful = rec.Doubtful
	x.noteScheme(rec)
	x.base = context.WithoutCancel(x.caller)

	if x.caller.Err() != nil {
		x.rollback()

		return Reply{}, false, callerGone(x.caller, "before the handler ran")
	}

	// There is no lease that could have ended, so what the wait for the store has taken is not the handler's loss.
	if x.conflicts == 0 {
		x.firstBegun = time.Now()
	} else if !time.Now().Before(x.runEnd) {
		x.rollback()

		reply, err = x.conflictedTooOften(ErrMaxRun)

		return reply, false, err
	}

	x.enter(x.firstBegun, rec.Fingerprint)
	defer x.exit()

	x.heartbeat.restart()
	x.startHeartbeat(x.firstBegun)

	reply, err = x.run()

	if !x.again {
		return reply, false, err
	}

	x.again = false

	if !sleep(x.caller, jittered(conflictDelay<<x.conflicts)) {
		return Reply{}, false, callerGone(x.caller, "after its transaction was rolled back")
	}

	return Reply{}, true, nil
}

// restart makes a heartbeat that beats for the end of the run alone, since there is no lease.
func (h *heartbeat) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.mute, h.over, h.settling = true, false, false
}

// rollback ends the transaction and leaves nothing behind.
func (x *execution) rollback() {
	x.tx.Rollback()
	x.tx = nil
}

// settleTransaction commits the outcome together with what the handler has written, or rolls both back.
func (x *execution) settleTransaction(out *Outcome) (Reply, error) {
	if x.tx.Conflicted(out.Err) {
		x.rollback()

		return x.conflicted(out.Err)
	}

	if out.Class == ClassDefinite {
		return x.commit(out)
	}

	x.rollback()

	status := StatusUnknown // the handler may have done something elsewhere
	if out.Class == ClassNotExecuted && !x.doubtful {
		status = StatusReleased
	}

	x.land(x.sharedEnd(out, status))

	return Reply{Status: status}, nil
}

func (x *execution) commit(out *Outcome) (Reply, error) {
	op := store.Completion{
		Key: x.key, Token: x.claim.Token, Outcome: x.answerOf(out.Code, out.Body), Retention: x.policy.Retention,
	}

	tx := x.tx
	x.tx = nil

	ctx, done := x.engine.storeDeadline(x.base, time.Now().Add(x.engine.limits.SettleTimeout))
	defer done()

	res, err := tx.Complete(ctx, op, out.Err != nil && !out.KeepWrites)

	switch {
	case errors.Is(err, store.ErrConflict):
		return x.conflicted(err)
	case errors.Is(err, store.ErrRolledBack):
		return x.uncommitted(reject(ReasonStoreUnavailable,
			"the transaction of this call could not be committed and was rolled back; retry with the same key", err))
	case err != nil:
		return x.uncommitted(rejectUncertain(err))
	}

	x.result = res
	x.land(landing{kind: landedRecord, record: &x.result.Record})

	if res.Applied {
		return Reply{Status: StatusExecuted}, nil
	}

	if res.Record.State != store.Completed && res.Record.State != store.Unknown {
		return Reply{}, rejectLeaseLost()
	}

	x.permitted = true // it is the run's own caller

	return x.answerFrom(&x.result.Record)
}

// conflicted asks for another run of the handler, unless there have been too many.
func (x *execution) conflicted(err error) (Reply, error) {
	x.observe(EventConflict, err)

	if x.conflicts < maxConflicts && time.Now().Before(x.runEnd) && !x.engine.draining.Load() {
		x.conflicts++
		x.again = true

		return Reply{}, nil
	}

	return x.conflictedTooOften(err)
}

func (x *execution) conflictedTooOften(err error) (Reply, error) {
	rejection := reject(ReasonStoreUnavailable,
		"the transaction of this call conflicted with others and was rolled back; retry with the same key", err)
	x.land(landing{kind: landedRejection, rejection: rejection})

	return Reply{}, rejection
}

// uncommitted ends a run whose transaction is not known to have committed. Its answer must not be given.
func (x *execution) uncommitted(rejection *Rejection) (Reply, error) {
	x.observe(EventSettleFailed, rejection.Cause)
	x.land(landing{kind: landedRejection, rejection: rejection})

	return Reply{}, rejection
}
