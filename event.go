package onlyonce

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	// EventCall is the end of a keyed call: Status says what became of it, Reason why it was rejected. Calls that their
	// transport refuses, such as one without a scope, are told by Engine.Refused; a replay that cannot be decoded is told
	// twice, as replayed and then as refused.
	EventCall EventKind = iota + 1
	// EventRenewFailed means that the store did not answer a renewal. The run goes on.
	EventRenewFailed
	// EventLeaseLost means that the lease of a run has ended, or that its record belongs to somebody else or is gone.
	EventLeaseLost
	// EventTakeover means that a run begins on a key that it has taken over from a run that never ended.
	EventTakeover
	// EventSettleFailed means that the store did not take the end of a run. It is tried again in the background.
	EventSettleFailed
	// EventClaimWithdrawn means that nobody knows whether a claim has arrived, so that it is released in the background.
	EventClaimWithdrawn
	// EventPendingSettled means that the store has acknowledged what was tried in the background.
	EventPendingSettled
	// EventSchemeDiffers means that the record's fingerprint was made in another way and was not compared.
	EventSchemeDiffers
	// EventRecoverFailed means that a recovery function has failed, or that what it found could not be recorded: with
	// ErrOwnerMayBeAlive, because it said too early that nothing happened.
	EventRecoverFailed
	// EventResolved means that a recovery function, a person, or a program in their name settled a record.
	EventResolved
	// EventConflict means that the transaction of a run conflicted with another one and was rolled back. The handler is run again,
	// a few times at most.
	EventConflict
	// EventNotJoined means that the handler of a joined run has returned a response without having written the completion in its
	// transaction. The outcome is recorded by itself, so that ExactlyOnce does not hold for this run: see JoinedTransaction.
	EventNotJoined
)

// String returns the name of the kind.
func (k EventKind) String() string {
	names := [...]string{
		EventCall:           "call",
		EventRenewFailed:    "renewal failed",
		EventLeaseLost:      "lease lost",
		EventTakeover:       "takeover",
		EventSettleFailed:   "settlement failed",
		EventClaimWithdrawn: "claim withdrawn",
		EventPendingSettled: "pending settled",
		EventSchemeDiffers:  "fingerprint scheme differs",
		EventRecoverFailed:  "recovery failed",
		EventResolved:       "resolved",
		EventConflict:       "conflict",
		EventNotJoined:      "not joined",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}

	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Event is something that an operator may want to see.
type Event struct {
	Kind EventKind
	// Method and Key name the call. Key is for logs and must never become a metric label; it is empty where the engine
	// was told to hide keys.
	Method, Key string
	// Status is set on an EventCall, and is what the caller is told: StatusUnknown where Reason is ReasonOutcomeUnknown.
	Status Status
	// Reason is set on an EventCall that was rejected.
	Reason Reason
	// Fence is that of the run, 0 where there is none.
	Fence uint64
	// Total is the time that the call took in the engine; Run is the handler's part of it. They are set on an EventCall.
	Total, Run time.Duration
	// Err is the error behind the event, or nil.
	Err error
}

// Observer sees events. It is called on the path of the call, so it must return quickly, and must be safe for concurrent use. If it
// panics, that is logged with [slog.Default], and goes no further.
type Observer interface {
	Observe(ctx context.Context, event Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, event Event)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, event Event) { f(ctx, event) }

func (e *Engine) observe(ctx context.Context, event Event) {
	if e.observer == nil {
		return
	}

	// What happens to a key must not depend on who looks on.
	defer func() {
		if problem := recover(); problem != nil {
			slog.ErrorContext(ctx, "onlyonce: the observer has panicked",
				"event", event.Kind.String(), "panic", problem, "stack", string(debug.Stack()))
		}
	}()

	e.observer.Observe(ctx, event)
}
