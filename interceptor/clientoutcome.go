package interceptor

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

func (c *clientCall) status() onlyonce.Status {
	if values := c.trailer.Get(StatusTrailer); len(values) > 0 {
		return onlyonce.Status(values[len(values)-1]) // the interceptor adds the last value
	}

	return ""
}

// judge derives the verdict of the last attempt.
func (c *clientCall) judge(err error) {
	c.verdict = c.outcome(err)

	if c.verdict == onlyonce.VerdictUnknown || c.delivery.sentTwice() {
		c.ambiguous = true
	}

	if _, rejected := rejectionReason(err); err != nil && !rejected && c.status() == onlyonce.StatusUnknown {
		c.handlers = err
	}
}

// outcome returns the verdict of one answer. Earlier attempts do not count.
func (c *clientCall) outcome(err error) onlyonce.Verdict {
	if err == nil || c.recorded(err) {
		return onlyonce.VerdictFinal
	}

	if c.delivery.nothingSent(err, c.answered()) {
		return onlyonce.VerdictNotExecuted
	}

	switch c.status() {
	case onlyonce.StatusReleased:
		return onlyonce.VerdictNotExecuted
	case onlyonce.StatusRejected:
		if reason, ok := rejectionReason(err); ok {
			return (&onlyonce.Rejection{Reason: reason}).Verdict()
		}

		// This attempt ran nothing. The reason is not the engine's, such as a refused replay, so another attempt has run.
		return onlyonce.VerdictUnknown
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
		return onlyonce.VerdictUnknown
	default:
		return onlyonce.VerdictUnknown
	}
}

// recorded reports whether the error of the last attempt is the recorded answer. Then it is also the answer to all earlier attempts, and to
// every later one.
//
// The status alone does not show this. A recorded response may fail on its way, for example because it is too large for the client.
// The caller must not take that for a failed call. The header of a replay shows whether a response is replayed. For a first answer only the
// code shows whether something between server and client can have made the error. If gRPC has not returned the error, an interceptor behind
// this one has made it.
func (c *clientCall) recorded(err error) bool {
	if !c.delivery.returned(err) {
		return false
	}

	switch c.status() {
	case onlyonce.StatusReplayed:
		return err != nil && !mayBeWithResponse(c.header)
	case onlyonce.StatusExecuted:
		return err != nil && !madeOnTheWay(statusOf(err).Code())
	case onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected:
		return false
	default:
		return false
	}
}

// failed returns the error of the logical call.
func (c *clientCall) failed(err error) error {
	if c.attempts == 0 {
		// The context had ended, or the retry policy is invalid, or the call is too old.
		outcome := onlyonce.VerdictNotExecuted
		if c.resumed { // an earlier process may have sent it
			outcome = onlyonce.VerdictUnknown
		}

		return &callError{err: err, status: unsentStatus(c.ctx, err), outcome: outcome, key: c.key}
	}

	outcome := c.verdict
	st := statusOf(err)

	// NotExecuted describes only the last attempt. An earlier attempt may have run, or may still run.
	if c.ambiguous && !c.recorded(err) {
		outcome = onlyonce.VerdictUnknown
	}

	if cut, ok := errors.AsType[*retry.InterruptedError](err); ok {
		if outcome == onlyonce.VerdictFinal { // the verdict of another answer than the returned one
			outcome = onlyonce.VerdictUnknown
		}

		return &callError{err: err, status: statusOf(cut.Err), outcome: outcome, key: c.key}
	}

	failed := &callError{err: err, status: st, outcome: outcome, key: c.key, note: c.unretried()}

	// The handler's error has more details about an unknown outcome than the answer to a retry.
	if c.handlers != nil && outcome == onlyonce.VerdictUnknown {
		failed.err = errors.Join(err, c.handlers)

		if _, rejected := rejectionReason(err); rejected {
			failed.earlier = c.handlers
		}
	}

	return failed
}

// unretried returns the reason why the call was not retried, if it is not obvious.
func (c *clientCall) unretried() string {
	if c.stopped && c.blind() {
		return "; onlyonce: not retried, because an interceptor behind the client interceptor hides the answers of servers: let it pass on " +
			"its call options and wait for its invoker, or install it in front"
	}

	return c.note(c.method)
}

// callError is the error of a logical call: a gRPC status, and what it means for the key.
type callError struct {
	err     error
	status  *status.Status
	outcome onlyonce.Verdict
	key     string // empty: the call has none
	earlier error  // the answer to an earlier attempt, if it has more details than the last answer; nil: none
	note    string // the reason why the call was not retried, if that is not obvious; empty: none
}

// KeyOf returns the idempotency key of a failed call, whether or not anything was sent, and also if the interceptor made the key. Pass the
// key to WithKey to make the call again. KeyOf returns "" in these cases:
//   - The error is nil, or is not from the client interceptor.
//   - The call was given several different keys.
//   - The call got no key: none could be derived (see onlyonce.ErrStepUsed), a retry interceptor in front made the call again, or
//     UnaryClientKeyInterceptor is missing.
func KeyOf(err error) string {
	if call, ok := errors.AsType[*callError](err); ok {
		return call.key
	}

	return ""
}

// callIsOpen reports whether err contains the error of a keyed call whose effect may have happened. A handler that passes such an error on
// has not ended for good, whatever the code is: the same call may have another answer later. One such error among several joined errors is
// enough.
func callIsOpen(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it unwraps errors itself, and stops at the errors of calls
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

// localError returns the error of a call that cannot be sent, with the key that it has, or "".
func localError(err error, key string) error {
	return &callError{err: err, status: statusOf(err), outcome: onlyonce.VerdictFinal, key: key}
}

// keyed adds the key to the error of a call, unless an inner interceptor has done so. The answer was not examined, so its verdict is
// unknown.
func keyed(err error, key string) error {
	if err == nil || key == "" {
		return err
	}

	if call, ok := err.(*callError); ok && call.key == key { //nolint:errorlint // a wrapped error may belong to another call
		return err
	}

	return &callError{err: err, status: statusOf(err), outcome: onlyonce.VerdictUnknown, key: key}
}

func (e *callError) Error() string {
	text := e.status.Err().Error() + e.note
	if e.earlier == nil {
		return text
	}

	return fmt.Sprintf("%s; an earlier attempt of the call was answered: %v", text, e.earlier)
}

func (e *callError) Unwrap() error              { return e.err }
func (e *callError) GRPCStatus() *status.Status { return e.status }
func (e *callError) Verdict() onlyonce.Verdict  { return e.outcome }

// Is reports whether the server that was called has rejected the call for the onlyonce.Reason target.
func (e *callError) Is(target error) bool {
	wanted, ok := target.(onlyonce.Reason)
	reason, rejected := rejectionReason(e.err)

	return ok && rejected && reason == wanted
}
