package consume

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// rules are what a decision depends on besides the ending.
type rules struct {
	final         Action // of a message with a Final error
	guarantee     onlyonce.Guarantee
	single        bool // ExactlyOnce in a single transaction
	maxAttempts   int
	maxDeliveries int // 0: any number
	backoff       func(attempt int) time.Duration
}

// ending is how a delivery has ended.
type ending struct {
	// reply and err are those of the engine. Err may also be errTooOften or a *PanicError.
	reply onlyonce.Reply
	err   error
	// ran means that this delivery has called the handler, and failure is the handler's error.
	ran     bool
	failure error
	// overran means that the handler took longer than MaxRun.
	overran bool
	// runs is how many runs of the message have begun, and deliveries how often it was delivered. 0 means that nobody knows.
	runs, deliveries int
	// counted is how many of the deliveries count as attempts, this one included, as far as this process knows. 0 means that nobody knows.
	counted int
	// ranHere is how often this process has run the handler for the message without an outcome, this time included.
	ranHere int
	// key is the key of the message, if it has a valid one.
	key string
}

// unset is the bound of WithMaxDeliveries before the option is given.
const unset = -1 << 31

// mostDeliveries is the default of WithMaxDeliveries.
func (r *rules) mostDeliveries(canLookUp bool) int {
	if r.single && canLookUp {
		return DefaultMaxDeliveries
	}

	return 0
}

// decide decides what to do with a message. It depends on nothing but the rules and the ending.
func (r *rules) decide(e *ending) Decision {
	if e.err != nil {
		return r.withoutReply(e)
	}

	reply := &e.reply

	switch {
	case reply.Status == onlyonce.StatusReplayed, reply.Recorded:
		return r.recorded(reply.Code, string(reply.Body), reply.Status == onlyonce.StatusReplayed)
	case reply.Shared: // the other delivery is the one that counts
		return r.redeliver(CauseFailed, reply.Err, r.wait(max(e.deliveries, 1), 0))
	case reply.Refused:
		return r.failed(e, reply.Err)
	case !e.ran: // no such reply is known; nothing may be lost by a new one
		return r.redeliver(CauseProgram, nil, r.wait(max(e.deliveries, 1), 0))
	case e.failure == nil:
		return Decision{Action: Ack, Cause: CauseDone}
	case definite(e.failure, reply.Status):
		return Decision{Action: r.final, Cause: CauseFinal, Err: onlyonce.Unmarked(e.failure)}
	default:
		return r.failed(e, onlyonce.Unmarked(e.failure))
	}
}

// definite reports whether the error of a run is the answer to its message. The engine takes a definite error of the handler for an
// ambiguous one in some cases, and the status says so.
func definite(failure error, status onlyonce.Status) bool {
	switch status {
	case onlyonce.StatusExecuted:
		return true
	case onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
		out := outcomeOf(failure)

		return out.Class == onlyonce.ClassDefinite
	case onlyonce.StatusReplayed, onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusRejected:
		return false
	default:
		return false
	}
}

// recorded decides about a message whose outcome is in its record.
func (r *rules) recorded(code, text string, replayed bool) Decision {
	if code == codeDone {
		return Decision{Action: Ack, Cause: CauseDone, Replayed: replayed}
	}

	return Decision{Action: r.final, Cause: CauseFinal, Replayed: replayed, Err: &onlyonce.RecordedError{Message: text}}
}

// failed decides about a message whose handler has run and has not ended it.
func (r *rules) failed(e *ending, err error) Decision {
	attempts := e.attempts()
	if attempts >= r.maxAttempts {
		return Decision{Action: DeadLetter, Cause: CausePoison, Err: err}
	}

	return r.redeliver(CauseFailed, err, r.wait(max(attempts, 1), 0))
}

// attempts is how often the handler has run at most. Runs and counted may be too high: neither a delivery nor a claim need run the
// handler. They may also be too low: a count that a message has brought from another queue stands still. So the runs of this process are
// the least.
func (e *ending) attempts() int {
	if e.runs == 0 || e.counted == 0 {
		return max(e.runs, e.counted, e.ranHere)
	}

	return max(min(e.runs, e.counted), e.ranHere)
}

// withoutReply decides about a delivery without a reply of the engine.
func (r *rules) withoutReply(e *ending) Decision {
	if errors.Is(e.err, errTooOften) {
		return Decision{Action: DeadLetter, Cause: CausePoison, Err: e.err}
	}

	switch err := e.err.(type) { //nolint:errorlint // an error that wraps a rejection is not this delivery's
	case *PanicError:
		return r.failed(e, err)
	case *onlyonce.Rejection:
		return r.rejected(e, err)
	}

	if errors.Is(e.err, context.Canceled) || errors.Is(e.err, context.DeadlineExceeded) {
		return r.redeliver(CauseStopping, e.err, 0)
	}

	return r.redeliver(CauseProgram, e.err, r.wait(max(e.deliveries, 1), 0))
}

// rejected decides about a delivery that the engine has rejected.
func (r *rules) rejected(e *ending, err *onlyonce.Rejection) Decision {
	wait := r.wait(max(e.deliveries, 1), err.RetryAfter)

	if r.leftNothing(e, err) {
		return r.failed(e, fmt.Errorf("%w: %w", onlyonce.ErrMaxRun, err))
	}

	switch err.Reason {
	case onlyonce.ReasonKeyMissing, onlyonce.ReasonKeyInvalid:
		return Decision{Action: DeadLetter, Cause: CauseKey, Err: err}
	case onlyonce.ReasonKeyReused:
		return Decision{Action: DeadLetter, Cause: CauseReused, Err: err}
	case onlyonce.ReasonKeyExpired:
		return Decision{Action: DeadLetter, Cause: CauseExpired, Err: err}
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost:
		return r.redeliver(CauseInProgress, err, wait)
	case onlyonce.ReasonStoreUnavailable, onlyonce.ReasonStoreFull, onlyonce.ReasonRecordNewer:
		return r.redeliver(CauseStore, err, wait)
	case onlyonce.ReasonOutcomeUnknown:
		return r.unsettled(e, CauseUnknown, err, wait)
	case onlyonce.ReasonRecordUnreadable:
		return r.unsettled(e, CauseUnreadable, err, wait)
	case onlyonce.ReasonOutcomeNotStored:
		return r.recorded(err.Metadata["original_code"], err.Message, true)
	case onlyonce.ReasonNotSupported, onlyonce.ReasonScopeMissing:
	}

	return r.redeliver(CauseProgram, err, wait)
}

// leftNothing reports whether the run of this delivery took longer than MaxRun and then lost its single transaction, or may have lost it.
// The record shows no trace of such a run. It counts as a failure of the handler, because the next run is likely to end in the same way.
func (r *rules) leftNothing(e *ending, err *onlyonce.Rejection) bool {
	return r.single && e.overran && (err.Reason == onlyonce.ReasonStoreUnavailable || err.Reason == onlyonce.ReasonLeaseLost)
}

// mayHaveCommitted reports whether it is not known if the run of this delivery has committed.
func (r *rules) mayHaveCommitted(e *ending) bool {
	err, ok := e.err.(*onlyonce.Rejection) //nolint:errorlint // an error that wraps a rejection is not this delivery's

	return ok && err.Reason == onlyonce.ReasonLeaseLost && r.leftNothing(e, err)
}

// unsettled decides about a message that somebody has to settle. It is delivered again for some time, because its late owner, a recovery
// function or an operator may do so.
func (r *rules) unsettled(e *ending, cause Cause, err error, wait time.Duration) Decision {
	// Under these guarantees, an unknown outcome means that the message has had its attempts.
	uncounted := e.counted == 0 && r.guarantee != onlyonce.AtMostOnce

	if uncounted || e.counted >= r.maxAttempts {
		return Decision{Action: DeadLetter, Cause: cause, Err: err}
	}

	return r.redeliver(cause, err, wait)
}

func (r *rules) redeliver(cause Cause, err error, delay time.Duration) Decision {
	return Decision{Action: Redeliver, Cause: cause, Err: err, Delay: delay}
}

// wait is how long the next delivery waits, at least as long as the engine has said.
func (r *rules) wait(attempt int, least time.Duration) time.Duration {
	return max(r.backoff(attempt), least, 0)
}

// The default backoff.
const (
	firstDelay   = time.Second
	longestDelay = time.Minute
	doublings    = 6 // after which the delay is the longest
)

func backoff(attempt int) time.Duration {
	d := min(firstDelay<<min(attempt-1, doublings), longestDelay)

	return d/2 + rand.N(d) //nolint:gosec // not a secret
}
