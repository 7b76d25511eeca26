package interceptor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

func (c *clientCall) status() onlyonce.Status {
	if values := c.trailer.Get(StatusTrailer); len(values) > 0 {
		return onlyonce.Status(values[len(values)-1]) // the interceptor speaks last
	}

	return ""
}

// judge says what the attempt means for the key.
func (c *clientCall) judge(err error) {
	c.verdict = c.outcome(err)

	if c.verdict == onlyonce.VerdictUnknown {
		c.ambiguous = true
	}

	if _, rejected := rejectionReason(err); err != nil && !rejected && c.status() == onlyonce.StatusUnknown {
		c.handlers = err
	}
}

// outcome is what one answer means, looked at alone.
func (c *clientCall) outcome(err error) onlyonce.Verdict {
	if err == nil || c.recorded(err) {
		return onlyonce.VerdictFinal
	}

	switch c.status() {
	case onlyonce.StatusReleased:
		return onlyonce.VerdictNotExecuted
	case onlyonce.StatusRejected:
		if reason, ok := rejectionReason(err); ok {
			return (&onlyonce.Rejection{Reason: reason}).Verdict()
		}

		// This attempt ran nothing, for a reason that is not the engine's, such as a refused replay: another one has run.
		return onlyonce.VerdictUnknown
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
		return onlyonce.VerdictUnknown
	default:
		return onlyonce.VerdictUnknown
	}
}

// recorded reports whether the error of the last attempt is the recorded answer. That settles what earlier attempts did, and
// another attempt would get the same. The status alone does not say it: a recorded response may fail on its way, as one does
// that is too large for the client, and the caller must not take that for a failed call. A replay tells by its header what it
// replays; of a first answer only the code tells whether somebody on its way can have made it.
func (c *clientCall) recorded(err error) bool {
	switch c.status() {
	case onlyonce.StatusReplayed:
		return err != nil && len(c.header.Get(ReplayedHeader)) == 0
	case onlyonce.StatusExecuted:
		return err != nil && !madeOnTheWay(statusOf(err).Code())
	case onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected:
		return false
	default:
		return false
	}
}

// failed is the error of the logical call.
func (c *clientCall) failed(err error) error {
	if c.attempts == 0 {
		return unsent(c.ctx, err)
	}

	outcome := c.verdict
	st := statusOf(err)

	// An answer that says "nothing ran" speaks of its own attempt alone. An earlier one may have run, or may still.
	if c.ambiguous && !c.recorded(err) {
		outcome = onlyonce.VerdictUnknown
	}

	if cut, ok := errors.AsType[*retry.InterruptedError](err); ok {
		return &callError{err: err, status: statusOf(cut.Err), outcome: onlyonce.VerdictUnknown, key: c.key}
	}

	failed := &callError{err: err, status: st, outcome: outcome, key: c.key}

	// The answer to a retry has less about an unknown outcome than the answer of its handler had.
	if c.handlers != nil && outcome == onlyonce.VerdictUnknown {
		failed.err = errors.Join(err, c.handlers)

		if _, rejected := rejectionReason(err); rejected {
			failed.earlier = c.handlers
		}
	}

	return failed
}

// unsent is the error of a call that made no attempt: its context had ended, or its policy cannot hold.
func unsent(ctx context.Context, err error) error {
	// Nothing was sent by this call. Another one may have sent the same key.
	return &callError{err: err, status: unsentStatus(ctx, err), outcome: onlyonce.VerdictUnknown}
}

// callError is the error of a logical call: a gRPC status, and what it means for the key.
type callError struct {
	err     error
	status  *status.Status
	outcome onlyonce.Verdict
	key     string // empty where nothing was sent
	earlier error  // the answer to an earlier attempt, where the last answer has less; nil: none
}

// KeyOf returns the idempotency key of a call that has failed, even if the interceptor made the key. Pass it to WithKey to make the call
// again. It is empty if nothing was sent, and for errors that the client interceptor has not returned.
func KeyOf(err error) string {
	if call, ok := errors.AsType[*callError](err); ok {
		return call.key
	}

	return ""
}

// callIsOpen reports an error of a keyed call whose effect may have happened. Whatever its code is, a handler that passes it on has
// not ended for good: the same call, made again, may have another answer.
//
// Of several calls, one is enough.
func callIsOpen(err error) bool {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and does not look into the errors of calls
	case *callError:
		return e.outcome == onlyonce.VerdictUnknown
	case interface{ Unwrap() error }:
		return callIsOpen(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), callIsOpen)
	default:
		return false
	}
}

// localError is an error of a call that was not sent.
func localError(err error) error {
	return &callError{err: err, status: statusOf(err), outcome: onlyonce.VerdictFinal}
}

func (e *callError) Error() string {
	if e.earlier == nil {
		return e.status.Err().Error()
	}

	return fmt.Sprintf("%v; an earlier attempt of the call was answered: %v", e.status.Err(), e.earlier)
}

func (e *callError) Unwrap() error              { return e.err }
func (e *callError) GRPCStatus() *status.Status { return e.status }
func (e *callError) Verdict() onlyonce.Verdict  { return e.outcome }

// Is reports whether target is the onlyonce.Reason for which the server that was called has rejected the call.
func (e *callError) Is(target error) bool {
	wanted, ok := target.(onlyonce.Reason)
	reason, rejected := rejectionReason(e.err)

	return ok && rejected && reason == wanted
}
