package consume

import (
	"fmt"
	"time"
)

// Action is what an adapter does with a message.
type Action uint8

// The actions.
const (
	// Redeliver lets the queue deliver the message again, after Decision.Delay. It is the zero value: it loses nothing.
	Redeliver Action = iota
	// Ack removes the message from the queue.
	Ack
	// DeadLetter puts the message where people look at it, and then removes it from the queue. It may happen twice for a message, if the
	// process dies between the two.
	DeadLetter
)

// String returns the name of the action.
func (a Action) String() string {
	switch a {
	case Redeliver:
		return "redeliver"
	case Ack:
		return "ack"
	case DeadLetter:
		return "dead letter"
	default:
		return fmt.Sprintf("Action(%d)", uint8(a))
	}
}

// Cause is why a message gets its action. Its values do not change: use them in metrics and in headers of dead letters.
type Cause string

// The causes.
const (
	// CauseDone means that the message was handled, now or in an earlier delivery.
	CauseDone Cause = "done"
	// CauseFinal means that the handler has ended with a Final error, now or in an earlier delivery.
	CauseFinal Cause = "final"
	// CauseFailed means that the handler failed and may run again.
	CauseFailed Cause = "failed"
	// CausePoison means that the handler has failed MaxAttempts times, or that the message was delivered more than WithMaxDeliveries allows.
	CausePoison Cause = "poison"
	// CauseUnknown means that an earlier run may have had its effect, and that the handler must not run again.
	CauseUnknown Cause = "unknown"
	// CauseInProgress means that the message is being handled elsewhere.
	CauseInProgress Cause = "in progress"
	// CauseStore means that the store cannot be reached or is full, or that the engine is shutting down.
	CauseStore Cause = "store"
	// CauseStopping means that the context ended before anything ran.
	CauseStopping Cause = "stopping"
	// CauseKey means that the message has no key or an invalid one.
	CauseKey Cause = "key"
	// CauseReused means that the key belongs to a message with other content.
	CauseReused Cause = "reused"
	// CauseExpired means that the key is time-ordered, too old, and has no record. The message may have been handled long ago.
	CauseExpired Cause = "expired"
	// CauseUnreadable means that the record of the message is damaged.
	CauseUnreadable Cause = "unreadable"
	// CauseProgram means that there is an error in the program: see Decision.Err.
	CauseProgram Cause = "program"
)

// Decision is what to do with a message, and why.
type Decision struct {
	// Action is what to do.
	Action Action
	// Delay is how long the queue should wait before it delivers the message again. It is 0 unless Action is Redeliver.
	Delay time.Duration
	// Cause is why.
	Cause Cause
	// Replayed reports that an earlier delivery has ended the message, and that this one ran nothing.
	Replayed bool
	// Err is the error of the handler, a *PanicError, an *onlyonce.RecordedError if Replayed, or an *onlyonce.Rejection. It is nil if
	// Cause is CauseDone. It also matches onlyonce.ErrMaxRun if a run took longer than MaxRun and lost its single transaction.
	Err error
}

// PanicError is the error of a handler that panicked or called runtime.Goexit.
type PanicError struct {
	// Value is what the handler panicked with. After runtime.Goexit it is a string that says so.
	Value any
	// Stack is the stack of the handler.
	Stack []byte
}

// Error returns the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("consume: the handler panicked: %v", e.Value) }

// The headers of dead letters, which the adapters set.
const (
	HeaderCause    = "Onlyonce-Cause"
	HeaderError    = "Onlyonce-Error"
	HeaderSource   = "Onlyonce-Source"
	HeaderPosition = "Onlyonce-Position"
)

// maxHeader bounds the text of an error in a header, in bytes.
const maxHeader = 1 << 10

// DeadLetterHeaders returns the headers that a dead letter has in addition to those of its message: the cause, the error, the source and
// the position. The text of the error is one line of at most 1,024 bytes.
func (d Decision) DeadLetterHeaders(m *Message) map[string]string {
	headers := map[string]string{HeaderCause: string(d.Cause), HeaderSource: m.Source}

	if d.Err != nil {
		headers[HeaderError] = oneLine(d.Err.Error(), maxHeader)
	}

	if m.Position != "" {
		headers[HeaderPosition] = m.Position
	}

	return headers
}
