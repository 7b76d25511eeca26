package onlyonce

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// EventKind is the kind of an event.
type EventKind uint8

// The kinds of events.
const (
	// EventCall is the end of a keyed call. Status is what became of it, Reason is why it was rejected. Engine.Refused reports calls that
	// their transport refuses, such as a call without a scope. A replay that the transport cannot decode is reported twice, first as replayed
	// and then as refused.
	EventCall EventKind = iota + 1
	// EventRenewFailed means that the store did not answer a renewal. The run goes on, and the engine tries again.
	EventRenewFailed
	// EventLeaseLost means that the lease of a run has ended, or that the run has lost its record: the record belongs to another run, was
	// settled by somebody else, or is gone.
	EventLeaseLost
	// EventTakeover means that a run begins on a key that it has taken over from a run that never ended.
	EventTakeover
	// EventSettleFailed means that the store did not acknowledge the end of a run. Or the store recorded it without its body, because the body
	// was too large for the store. Err is why. If the run has a lease, the engine tries again in the background.
	EventSettleFailed
	// EventClaimWithdrawn means that nobody knows whether a claim has arrived. The engine releases it in the background.
	EventClaimWithdrawn
	// EventPendingSettled means that a settlement in the background has ended. The store has acknowledged it if Err is nil. Otherwise the
	// store refused it for good, because the record cannot be read.
	EventPendingSettled
	// EventSchemeDiffers means that the record's fingerprint has another scheme, such as that of an older build. It was not compared, so the
	// request counts as the same.
	EventSchemeDiffers
	// EventRecoverFailed means that a recovery function has failed, or that its finding could not be recorded. Err is why. It matches
	// ErrOwnerMayBeAlive if the function returned DidNotHappen too early.
	EventRecoverFailed
	// EventResolved means that a recovery function, an operator, or a program in their name settled a record. Err names who did and why, if
	// the finding has it: see Finding.By. Code is empty if the effect did not happen.
	EventResolved
	// EventConflict means that the transaction of a run conflicted with another one and was rolled back. The handler runs again, three
	// times at most. Err is why.
	EventConflict
	// EventTransactionUnused means that the handler of a run under ExactlyOnce has returned a response and has not used a transaction:
	//   - In a single transaction, it has not taken the transaction from its context.
	//   - In a joined run, it has not written the completion in its own transaction.
	//
	// The outcome is recorded by itself, so ExactlyOnce does not hold for the writes of the handler.
	EventTransactionUnused
	// EventForgotten means that an operator has removed a record with Engine.Forget or Engine.ForceForget. Err is the reason.
	EventForgotten
	// EventAttention means that a record could not be settled for longer than a limit, so that people have to settle it. The text of Err has
	// the time since which it could not. Package reconcile reports it: see Engine.Attention.
	EventAttention
	// EventShadow is the end of a call in shadow mode. Shadow is set. Status, Reason and Err are what real mode would have answered with.
	EventShadow
	// EventShadowMode means that a method is in shadow mode, so that none of its calls is protected. See Engine.ReportShadowMode.
	EventShadowMode
)

// String returns the name of the kind.
func (k EventKind) String() string {
	names := [...]string{
		EventCall:              "call",
		EventRenewFailed:       "renewal failed",
		EventLeaseLost:         "lease lost",
		EventTakeover:          "takeover",
		EventSettleFailed:      "settlement failed",
		EventClaimWithdrawn:    "claim withdrawn",
		EventPendingSettled:    "pending settled",
		EventSchemeDiffers:     "fingerprint scheme differs",
		EventRecoverFailed:     "recovery failed",
		EventResolved:          "resolved",
		EventConflict:          "conflict",
		EventTransactionUnused: "transaction unused",
		EventForgotten:         "forgotten",
		EventAttention:         "attention",
		EventShadow:            "shadow",
		EventShadowMode:        "shadow mode",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}

	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Event is something that an operator may want to see.
type Event struct {
	// Kind is always set. It decides which of the other fields are.
	Kind EventKind
	// ID is the storage key of the call's record: see Engine.LookupID. It is zero if the call has no valid key, or its transport refused it.
	ID store.Key
	// Method and Key name the call. Key is for logs and must never become a metric label. It is empty under WithHiddenKeys.
	Method, Key string
	// Status is set on an EventCall and an EventShadow. It is the status that the caller gets: StatusUnknown if Reason is
	// ReasonOutcomeUnknown.
	Status Status
	// Reason is set on an EventCall that was rejected, and on an EventShadow of a call that would have been.
	Reason Reason
	// Code names the outcome that the handler ended with, or the recorded one that a duplicate found. It is empty if there is none.
	Code string
	// Trace is the traceparent of the run whose outcome a replay got, if the record has it: see WithTrace. It is empty on other events.
	Trace string
	// Fence is the fence of the run, 0 if there is none.
	Fence uint64
	// Total is the time that the call took in the engine. Run is the handler's part of it, and Waited is the time for which the call waited
	// for another call with its key. The rest of Total is the work of the engine and its store. They are set on an EventCall. An EventShadow
	// has Total and Run.
	Total, Run, Waited time.Duration
	// Shadow is set on an EventShadow.
	Shadow *Shadowed
	// Err is the error behind the event, or nil. If it is a *Rejection, its text does not have the cause: see Rejection.Cause.
	Err error
}

// Observer gets the events of an engine. The engine calls it before the call goes on, so it must return quickly. It must be safe for
// concurrent use. The engine writes its panics to [slog.Default] and goes on.
type Observer interface {
	Observe(ctx context.Context, event Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, event Event)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, event Event) { f(ctx, event) }

// refuse makes the event about a call that has no outcome, because of err.
func (e *Event) refuse(err error) {
	e.Status = StatusRejected
	e.Err = err

	if rejection, ok := err.(*Rejection); ok { //nolint:errorlint // a wrapped rejection belongs to another call
		e.Reason = rejection.Reason

		if e.Reason == ReasonOutcomeUnknown {
			e.Status = StatusUnknown
		}
	}
}

// watched reports whether the observer needs the end of a call. The default observer needs no ordinary ones.
func (e *Engine) watched(status Status, err error) bool {
	if e.quiet {
		return err != nil || status != StatusExecuted && status != StatusReplayed && status != StatusReleased
	}

	return e.observer != nil
}

func (e *Engine) observe(ctx context.Context, event Event) {
	if e.observer == nil {
		return
	}

	if e.hideKeys {
		event.Key = ""
	}

	// What happens to a key must not depend on the observer.
	defer func() {
		if problem := recover(); problem != nil {
			slog.ErrorContext(ctx, "onlyonce: the observer panicked, and the engine went on without it; mend the observer",
				"event", event.Kind.String(), "panic", problem, "stack", string(debug.Stack()))
		}
	}()

	e.observer.Observe(ctx, event)
}
