package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Result is the answer of [Engine.Do].
type Result struct {
	// Body is what the function returned, in this call or in the earlier one that is replayed. If this call's function returned an error
	// with it, Do returns both. It is nil with every other error. Do not modify it.
	Body []byte
	// Status is what became of the call. It is StatusRejected for every error of Execute, also for ReasonOutcomeUnknown.
	Status Status
	// ExecutedAt is when the replayed run ended, on the store's clock. It is zero if Status is not StatusReplayed, and if the store does not
	// know.
	ExecutedAt time.Time
}

// RecordedError is the error of a call that is answered from a record. The recorded run has returned Final(err), or ErrStepUsed. errors.Is
// does not match the original error: only its text is recorded.
type RecordedError struct {
	// Message is the text of the original error.
	Message string
}

// Error returns the text of the recorded error.
func (e *RecordedError) Error() string { return e.Message }

// The codes of outcomes that Do records.
const (
	codeOK    = "OK"
	codeError = "ERROR"
)

// Do runs a function once per key, for programs without gRPC. An example is a consumer of a message queue with the message's id as key.
//
// The result of the function decides what its duplicates get:
//   - A result without error is recorded and returned to them.
//   - An error that the function marked with [Final] is recorded, and so is [ErrStepUsed]. They get its text as a [*RecordedError].
//   - An error marked with [NotExecuted] releases the key: the next call runs.
//   - Any other error is ambiguous. Under AtMostOnce they get [ReasonOutcomeUnknown]. Otherwise the next call runs again. A panic is
//     ambiguous as well, and goes on.
//
// The function gets the run's context, which is not cancelled with ctx: see [Engine.Execute]. A call that runs the function returns when
// the function has ended, even if ctx ends before. A call that waits for another call returns when ctx ends.
//
// The error is the function's own, a [*RecordedError], or one of Execute's. Do removes the outermost marks, such as that of Final, from the
// function's own error, and wraps the rest: match it with errors.Is. [VerdictOf] returns what an error means for the key.
//
// A function may write its completion in its own transaction, with sqlstore.Join or sqlstore.InTx. It gives them the bytes that it returns
// to Do, as []byte or string. See [JoinedTransaction].
func (e *Engine) Do(ctx context.Context, call Call, fn func(ctx context.Context) ([]byte, error)) (Result, error) {
	var (
		body []byte
		fail error
	)

	call.Outcome = classifyAny

	reply, err := e.Execute(ctx, &call, func(ctx context.Context) Outcome {
		body, fail = fn(ctx)

		return classify(body, fail)
	})
	if err != nil {
		return Result{Status: StatusRejected}, err
	}

	result := Result{Status: reply.Status, ExecutedAt: reply.ExecutedAt}

	switch {
	case answeredFromRecord(&reply) && reply.Code == codeError:
		fail = &RecordedError{Message: string(reply.Body)}
	case answeredFromRecord(&reply):
		result.Body, fail = reply.Body, nil
	case reply.Shared, reply.Refused:
		fail = reply.Err
	default:
		result.Body = body
	}

	if fail == nil {
		return result, nil
	}

	return result, &doError{err: Unmarked(fail), outcome: verdictOfStatus(reply.Status)}
}

func answeredFromRecord(reply *Reply) bool { return reply.Status == StatusReplayed || reply.Recorded }

// errNotBytes is about a response that a run under Do cannot record.
var errNotBytes = errors.New("onlyonce: recording the result of a run under Do: give the completion []byte or string")

// classifyAny classifies the results that a joined run is about to return.
func classifyAny(response any, err error) Outcome {
	if err != nil {
		return classify(nil, err)
	}

	switch response := response.(type) {
	case []byte:
		return classify(response, nil)
	case string:
		return classify([]byte(response), nil)
	default:
		return Outcome{Err: fmt.Errorf("%w, not %T", errNotBytes, response)}
	}
}

func classify(body []byte, err error) Outcome {
	if err == nil {
		return Outcome{Class: ClassDefinite, Code: codeOK, Body: body}
	}

	out := Outcome{Code: codeError, Err: err, KeepWrites: KeepsWrites(err)}
	out.Class, out.Marked = MarkedClass(err)

	if !out.Marked && errors.Is(err, ErrStepUsed) {
		out.Class = ClassDefinite // every run of this call fails like this
	}

	if out.Class == ClassDefinite {
		out.Body = []byte(err.Error())
	}

	return out
}

// verdictOfStatus returns what the error of a run means for its key.
func verdictOfStatus(status Status) Verdict {
	switch status {
	case StatusExecuted, StatusReplayed:
		return VerdictFinal
	case StatusReleased:
		return VerdictNotExecuted
	case StatusUnknown, StatusUnrecorded, StatusUnprotected, StatusRejected:
		return VerdictUnknown
	default:
		return VerdictUnknown
	}
}

// doError gives an error of Do its meaning for the key.
type doError struct {
	err     error
	outcome Verdict
}

func (e *doError) Error() string    { return e.err.Error() }
func (e *doError) Unwrap() error    { return e.err }
func (e *doError) Verdict() Verdict { return e.outcome }
