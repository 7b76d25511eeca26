package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Observer sees what a store does, for metrics. It is called on the path of operations, so it must return quickly. It must be safe for
// concurrent use. If it panics, [Report] logs that with [slog.Default], and the operation goes on.
type Observer interface {
	ObserveStore(ctx context.Context, event Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, event Event)

// ObserveStore calls f.
func (f ObserverFunc) ObserveStore(ctx context.Context, event Event) { f(ctx, event) }

// Event is something that a store has done. Kind, Operation and Status have few values, so each can be the label of a metric. An event
// names no key, no record and no caller; Err is for logs, and must never become a label.
type Event struct {
	Kind EventKind
	// Operation is what the event is about. It is empty for an EventBatch, which carries operations of several kinds, for an EventIndex, and
	// for an EventWait, unless the wait was for room for a single transaction.
	Operation Operation
	// Status is how the operation has ended. It is empty for an EventBatch and an EventWait.
	Status Status
	// Duration is how long it took. It is zero for an EventResend, an EventRefused, an EventRepair, an EventListen, and an EventSweep of
	// memstore.
	Duration time.Duration
	// Count is how many operations a batch had, how many records a sweep deleted, or how many entries of an index were written or repaired.
	Count int
	// Err is the error behind the event, or nil.
	Err error
}

// EventKind is the kind of an event.
type EventKind uint8

// The kinds of events.
const (
	// EventOperation is the end of an operation that the engine or an operator has called, or of one page of a sweep that looks for records.
	// Duration includes waits and resends.
	EventOperation EventKind = iota + 1
	// EventResend means that a store sends an operation once more, because a connection was lost, because the server has undone the
	// operation, or because a quicker way had no answer. Err is nil in the last case. A store does not see what its driver sends again by
	// itself.
	EventResend
	// EventBatch is the end of a round trip. Count is how many operations shared it.
	EventBatch
	// EventWait means that an operation has waited for room: for a batch under way, for the end of another transaction, or for a server
	// that did not answer. Operations that find room at once are not reported.
	EventWait
	// EventSweep is the end of a sweep, by Run or by itself; in memstore, the removal of expired records by an operation. Count is how many
	// records were deleted. It is 0 in Redis, where a sweep looks for records that the index lacks, and reports these as an EventRepair.
	EventSweep
	// EventRefused means that the server refused to write, because it is full, or read-only, or for want of replicas. A store may answer
	// the operation all the same, so its EventOperation need not be an error.
	EventRefused
	// EventRepair means that entries of an index did not fit their records. Count is how many were added or removed.
	EventRepair
	// EventIndex is the end of a write to an index that is not atomic with the records. Count is how many entries were to be written or
	// removed. No operation fails with it: the entries are written later, and until then a list may lack records.
	EventIndex
	// EventListen means that a store receives notifications from now on. If Err is not nil, it has lost the connection for them, or has
	// found none.
	EventListen
)

// String returns the name of the kind.
func (k EventKind) String() string {
	names := [...]string{
		EventOperation: "operation",
		EventResend:    "resend",
		EventBatch:     "batch",
		EventWait:      "wait",
		EventSweep:     "sweep",
		EventRefused:   "refused",
		EventRepair:    "repair",
		EventIndex:     "index",
		EventListen:    "listen",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}

	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Operation is the name of something that a store does.
type Operation string

// The operations of [Store], [Inspector], [Lister] and [Forgetter], those of [Transactional], and what Run does.
const (
	OperationClaim    Operation = "claim"
	OperationRenew    Operation = "renew"
	OperationComplete Operation = "complete"
	OperationRelease  Operation = "release"
	OperationHold     Operation = "hold"
	OperationLookup   Operation = "lookup"
	OperationResolve  Operation = "resolve"
	OperationForget   Operation = "forget"
	// OperationList is one page of a list.
	OperationList Operation = "list"
	// OperationBegin is the claim in a single transaction, and OperationCommit its completion.
	OperationBegin  Operation = "begin"
	OperationCommit Operation = "commit"
	// OperationSweep deletes records whose time is over, or looks for records that an index does not have.
	OperationSweep Operation = "sweep"
	// OperationListen receives the notifications of a [Notifier].
	OperationListen Operation = "listen"
)

// Status is how an operation has ended.
type Status string

// The ways in which operations end.
const (
	// StatusApplied means that the operation has its effect, or that a read has its answer.
	StatusApplied Status = "applied"
	// StatusDeclined means that the record does not allow the operation: a claim on a key that is completed or running, or a write of a run
	// that has lost its lease.
	StatusDeclined Status = "declined"
	// StatusFull, StatusBusy and StatusUnreadable stand for [ErrFull], [ErrBusy], and [ErrUnreadable] or [ErrNewer].
	StatusFull       Status = "full"
	StatusBusy       Status = "busy"
	StatusUnreadable Status = "unreadable"
	// StatusTimeout means that the time of the operation was over, and StatusCanceled that its caller has gone.
	StatusTimeout  Status = "timeout"
	StatusCanceled Status = "canceled"
	// StatusFailed stands for all other errors.
	StatusFailed Status = "failed"
)

// StatusOf returns the status of an operation from its result and its error. A read without an error counts as applied.
func StatusOf(applied bool, err error) Status {
	switch {
	case err == nil && applied:
		return StatusApplied
	case err == nil:
		return StatusDeclined
	case errors.Is(err, ErrFull):
		return StatusFull
	case errors.Is(err, ErrBusy):
		return StatusBusy
	case errors.Is(err, ErrUnreadable), errors.Is(err, ErrNewer):
		return StatusUnreadable
	case errors.Is(err, context.DeadlineExceeded):
		return StatusTimeout
	case errors.Is(err, context.Canceled):
		return StatusCanceled
	default:
		return StatusFailed
	}
}

// Report calls an observer with an event. It does nothing if the observer is nil. It recovers a panic of the observer and logs it, because
// nothing that happens to a record may depend on who looks on.
func Report(ctx context.Context, observer Observer, event Event) {
	if observer == nil {
		return
	}

	defer func() {
		if problem := recover(); problem != nil {
			slog.ErrorContext(ctx, "onlyonce: the observer of a store has panicked",
				"event", event.Kind.String(), "panic", problem, "stack", string(debug.Stack()))
		}
	}()

	observer.ObserveStore(ctx, event)
}
