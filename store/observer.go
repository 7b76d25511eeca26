package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Observer receives the events of a store, for metrics. It is called during operations, so it must return quickly. It must be safe for
// concurrent use. [Report] recovers a panic of the observer and logs it with [slog.Default].
type Observer interface {
	ObserveStore(ctx context.Context, event Event)
}

// ObserverFunc is a function that implements Observer.
type ObserverFunc func(ctx context.Context, event Event)

// ObserveStore calls f.
func (f ObserverFunc) ObserveStore(ctx context.Context, event Event) { f(ctx, event) }

// Event is something that a store did. Kind, Operation and Status have few values, so each can be a label of a metric. An event names no
// key, record or caller. Err is for logs and must never become a label.
type Event struct {
	Kind EventKind
	// Operation is the subject of the event. It is empty for an EventBatch, an EventIndex, and most EventWaits. An EventWait for room for a
	// single transaction has OperationBegin.
	Operation Operation
	// Status is how the operation ended. It is empty for EventBatch, EventWait and EventResend.
	Status Status
	// Duration is how long it took. It is zero for EventResend, EventRefused, EventRepair and EventListen, and for the EventSweep of memstore.
	Duration time.Duration
	// Count is the number of operations in a batch, of records that a sweep deleted, or of index entries that were written or repaired.
	Count int
	// Err is the error behind the event. It is nil if there was none.
	Err error
}

// EventKind is the kind of an event.
type EventKind uint8

// The kinds of events.
const (
	// EventOperation is the end of an operation of the engine or an operator, or of one page of a sweep that searches for records. Duration
	// includes waits and resends.
	EventOperation EventKind = iota + 1
	// EventResend means that the store sent an operation again: after a lost connection, after the server undid the operation, or after a
	// faster way gave no answer. Err is nil in the last case. Resends by the driver are not reported.
	EventResend
	// EventBatch is the end of a round trip that Count operations shared.
	EventBatch
	// EventWait means that an operation waited: for a batch under way, for the end of another transaction, or for a server that did not
	// answer. Operations that need not wait are not reported.
	EventWait
	// EventSweep is the end of a sweep. In memstore, it is the removal of expired records by an operation. Count is the number of deleted
	// records. It is 0 in redisstore, whose sweep repairs the index and reports that as an EventRepair.
	EventSweep
	// EventRefused means that the server refused a write: it is full, read-only, or has too few replicas. The EventOperation may still have no
	// error, because the store may answer the operation in another way.
	EventRefused
	// EventRepair means that entries of an index did not match their records. Count is the number of entries that were added or removed.
	EventRepair
	// EventIndex is the end of a write to an index that is not atomic with the records. Count is the number of entries. Its failure fails no
	// operation: the entries are written later, and until then lists may lack records.
	EventIndex
	// EventListen means that the store begins to receive notifications. If Err is not nil, the connection for them was lost or could not be
	// opened.
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

// The operations of [Store], [Inspector], [Lister], [Forgetter] and [Transactional], and those of a store's Run.
const (
	OperationClaim    Operation = "claim"
	OperationRenew    Operation = "renew"
	OperationComplete Operation = "complete"
	OperationRelease  Operation = "release"
	OperationHold     Operation = "hold"
	OperationLookup   Operation = "lookup"
	OperationResolve  Operation = "resolve"
	OperationForget   Operation = "forget"
	// OperationList reads one page of a list.
	OperationList Operation = "list"
	// OperationBegin is the claim of a single transaction, and OperationCommit its completion.
	OperationBegin  Operation = "begin"
	OperationCommit Operation = "commit"
	// OperationSweep deletes expired records, or searches for records that an index lacks.
	OperationSweep Operation = "sweep"
	// OperationListen receives the notifications of a [Notifier].
	OperationListen Operation = "listen"
)

// Status is how an operation ended.
type Status string

// The statuses of operations.
const (
	// StatusApplied means that the operation took effect, or that a read succeeded.
	StatusApplied Status = "applied"
	// StatusDeclined means that the record does not allow the operation. Examples are a claim of a Completed or Running key, and a write by a
	// run that was overtaken.
	StatusDeclined Status = "declined"
	// StatusFull, StatusBusy and StatusUnreadable stand for [ErrFull], for [ErrBusy], and for [ErrUnreadable] or [ErrNewer].
	StatusFull       Status = "full"
	StatusBusy       Status = "busy"
	StatusUnreadable Status = "unreadable"
	// StatusTimeout means that the deadline of the operation passed. StatusCanceled means that its caller cancelled the context.
	StatusTimeout  Status = "timeout"
	StatusCanceled Status = "canceled"
	// StatusFailed stands for all other errors.
	StatusFailed Status = "failed"
)

// StatusOf returns the status of an operation. Callers pass true as applied for reads.
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

// Report passes an event to an observer. A nil observer is allowed. Report recovers a panic of the observer and logs it, so that an
// observer never affects a record.
func Report(ctx context.Context, observer Observer, event Event) {
	if observer == nil {
		return
	}

	defer func() {
		if problem := recover(); problem != nil {
			slog.ErrorContext(ctx, "onlyonce: the observer of a store panicked",
				"event", event.Kind.String(), "panic", problem, "stack", string(debug.Stack()))
		}
	}()

	observer.ObserveStore(ctx, event)
}
