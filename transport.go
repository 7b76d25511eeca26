package onlyonce

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
)

// This file is for authors of transports: see "Transports" in the package documentation.

// SchemeBytes is the fingerprint scheme of Call.Request: SHA-256 of the bytes as they are.
const SchemeBytes uint16 = 128

// Class is what the outcome of a run means for its key.
type Class uint8

// The classes of outcomes.
const (
	// ClassAmbiguous means that it is not known whether the effect happened. It is the zero value, so an outcome without a class is ambiguous.
	ClassAmbiguous Class = iota
	// ClassDefinite means that the outcome is the answer to the request: it is recorded and replayed.
	ClassDefinite
	// ClassNotExecuted means that the effect did not happen and cannot happen any more: the key is released.
	ClassNotExecuted
)

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case ClassAmbiguous:
		return "ambiguous"
	case ClassDefinite:
		return "definite"
	case ClassNotExecuted:
		return "not executed"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// MarkedClass returns the class that [NotExecuted] or [Final] has given to err, or to an error that it wraps. The second result reports
// whether there is a mark. Without a mark the class is ClassAmbiguous.
//   - If errors are joined, each needs a mark. Different marks make the class ambiguous.
//   - A mark inside the error of another call, as [Engine.Do] returns it, does not count. It belongs to that call.
func MarkedClass(err error) (Class, bool) {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and stops at the errors of other calls
	case *marked:
		return e.class, true
	case verdicter:
		return ClassAmbiguous, false
	case interface{ Unwrap() error }:
		return MarkedClass(e.Unwrap())
	case interface{ Unwrap() []error }:
		return agreedClass(e.Unwrap())
	default:
		return ClassAmbiguous, false
	}
}

// agreedClass is the class that all errors are marked with. Marks that contradict each other make the class ambiguous.
func agreedClass(errs []error) (class Class, ok bool) {
	for i, err := range errs {
		own, marked := MarkedClass(err)
		if !marked {
			return ClassAmbiguous, false
		}

		if i > 0 && own != class {
			return ClassAmbiguous, true
		}

		class, ok = own, true
	}

	return class, ok
}

// Unmarked returns err without the marks of NotExecuted, Final and KeepWrites, if they are the outermost.
func Unmarked(err error) error {
	for {
		switch m := err.(type) { //nolint:errorlint // only the outermost marks are taken off; what wraps a mark stays
		case *marked:
			err = m.err
		case *keeping:
			err = m.err
		default:
			return err
		}
	}
}

// KeepsWrites reports whether [KeepWrites] has marked err, or an error that it wraps. One mark among joined errors is enough. Marks inside
// the error of another call do not count.
func KeepsWrites(err error) bool {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and stops at the errors of other calls
	case *keeping:
		return true
	case verdicter:
		return false
	case interface{ Unwrap() error }:
		return KeepsWrites(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), KeepsWrites)
	default:
		return false
	}
}

// Outcome is how a run ended, as its transport sees it.
type Outcome struct {
	// Class is what the outcome means for the key.
	Class Class
	// Marked reports that the handler itself chose the class, with [Final] or [NotExecuted]. An error that the handler did not mark is
	// ambiguous while the outcome of a protected call of the run is unknown, whatever Class is: see [DeriveCall] and [BeginCall].
	Marked bool
	// Body is the recorded answer, in the transport's form. The engine does not look into it. It may be nil.
	Body []byte
	// Room is how many bytes at the beginning of Body are not part of the answer.
	//   - If Room is the result of [BodyRoom] for Code, the engine writes its own data into these bytes, and keeps Body without a copy. Do not
	//     use Body afterwards, and give it no spare capacity.
	//   - Otherwise the engine copies the answer. 0, the default, is no room.
	Room int
	// Code names the outcome for people, such as OK or NOT_FOUND, in at most 255 bytes. It is all that is kept of an outcome that is
	// unknown or too large to store.
	Code string
	// Err is the error that the handler returned, or nil. If the key is released, the duplicates in this process that waited for the run get
	// Err.
	Err error
	// Retention is how long a definite outcome is kept. Zero means the policy's ErrorRetention if Err is set, otherwise its Retention.
	//   - A longer time than the policy's Retention is shortened to it.
	//   - For a call with a time-ordered key it is at least KeyLife.
	//   - An outcome that is Marked or has KeepWrites, or follows a run whose outcome is unknown, is kept for the policy's Retention.
	Retention time.Duration
	// KeepWrites commits the writes of a handler that shares a transaction with its record, although the definite outcome has an Err. If it
	// is false, such writes are rolled back.
	KeepWrites bool
}

// BodyRoom returns the value for Outcome.Room, in bytes, with which the engine keeps the Body of an outcome with this code without a copy.
func BodyRoom(code string) int { return outcome.Room(code) }

// Reply is what became of a call for which [Engine.Execute] has returned no error.
type Reply struct {
	// Status decides which of the other fields count.
	Status Status
	// Recorded reports that the answer is in Body and Code. The handler has committed it in a transaction of its own, and its return
	// value does not count. It is only set if Status is StatusExecuted.
	Recorded bool
	// Body and Code are the recorded outcome if Status is StatusReplayed or Recorded is set. Do not modify Body.
	Body []byte
	Code string
	// ExecutedAt is when the recorded run ended, on the store's clock, if Status is StatusReplayed. It is zero if the store does not know.
	ExecutedAt time.Time
	// Retention is how long the recorded outcome is kept, counted from the end of its run, if Status is StatusExecuted or StatusReplayed.
	Retention time.Duration
	// Shared reports that the answer is Err: the error of another call's run in this process, which left no record.
	Shared bool
	// Refused reports that the answer is Err. The database refused to commit the transaction of the run with this error, and the return
	// value of the handler does not count.
	Refused bool
	// Err is the answer if Shared or Refused is set, and otherwise nil.
	Err error
}

// Execute runs a call once, or answers it without running. Transports are built on it. Programs without a transport use [Engine.Do],
// which is simpler. A transport reports the calls that it refuses by itself with [Engine.Refused].
//
// If this call has won the key, Execute calls handler on the caller's goroutine, once. Under SingleTransaction it calls handler again, at
// most three times, if the transaction conflicted with another one and was rolled back. A panic of handler is recorded as ambiguous and
// goes on. In shadow mode Execute always calls handler, with ctx, and the status is StatusUnprotected: see [ShadowOn].
//
// The handler's context has the values of ctx. It is not cancelled with ctx, unless the policy's Detachment is Attached or too many runs
// are detached. Its deadline is the end of MaxRun. For an Attached run it is ctx's deadline, if that is earlier. If the engine cancels it,
// context.Cause is ErrMaxRun, ErrLeaseLost, ErrTooManyDetached or ErrDraining.
//
// The reply decides where the answer is:
//   - If Status is StatusReplayed or Recorded is set, Body and Code are the answer.
//   - If Shared or Refused is set, Err is the answer.
//   - Otherwise handler was called, and its own result is the answer. Status is what became of its outcome.
//
// The error is one of these:
//   - A *Rejection. An error that only wraps a *Rejection is not this call's rejection.
//   - An error that wraps the error of ReplayCheck.
//   - An error that matches ctx's, if ctx ends before the handler runs, before it runs again, or while the call waits.
//   - A programming error: an invalid policy, ErrOwnKey or ErrInTransaction.
func (e *Engine) Execute(ctx context.Context, call *Call, handler func(context.Context) Outcome) (Reply, error) {
	if e.inShadow(call) {
		return e.executeShadow(ctx, call, handler), nil
	}

	a := &attempt{engine: e, caller: ctx, call: call, handler: handler, began: time.Now()}

	reply, err := a.execute() //nolint:contextcheck // what is settled in the background outlives the call
	a.observeEnd(&reply, err)

	return reply, err
}

// Refused gives the observer the EventCall of a call that its transport has refused by itself. Err is why. The transport has refused the
// call before [Engine.Execute], or instead of the replay that Execute returned.
//   - The event has the method of id. It has the key if that is a valid key and keys are not hidden. Fields of id may be empty.
//   - The event has the Reason if err is a *Rejection.
//   - Err, or the Cause of a *Rejection with ReasonNotSupported, may have a method Misconfigured() without results. It means that the
//     method can serve no call until the program changes. The default observer then writes the error to the log.
func (e *Engine) Refused(ctx context.Context, id Identity, err error) {
	event := Event{Kind: EventCall, Method: id.Method}

	if (KeyRules{}).Check(id.Key) == nil {
		event.Key = id.Key
	}

	event.refuse(err)
	e.observe(ctx, event)
}

// CanResolve reports whether the store has a store.Inspector. Lookup, Resolve, Recover and recovery functions need it.
func (e *Engine) CanResolve() bool { return e.can.Inspector != nil }

// Policy returns p with every unset field taken from the engine's policy. No field of the result is unset. It validates nothing.
func (e *Engine) Policy(p Policy) Policy { return p.Over(e.policy).whole() }

// Prepare completes and validates a policy once, for all calls that have the result in Call.Prepared. The error is that of Validate.
func (e *Engine) Prepare(p Policy) (*PreparedPolicy, error) { return e.prepare(&p) }

// DerivedCall is a call of a run to another service, under a key that is derived from the run's key. See [DeriveCall].
type DerivedCall struct {
	run    *run
	digest [32]byte
	state  *stepState
}

// DeriveCall begins a call of a run to another service. The client interceptor of package interceptor calls it for every protected call
// that has no other key.
//
// Ctx is the context of the run, and fullMethod the method of the other service. DeriveCall is followed by one call, with any number of
// attempts, and then by End. A run may call a method once, or once for each name that [WithStep] has given. A call that has failed may be
// repeated: the repeat is the same call and has the same key.
//
// The error matches [ErrNoRun] outside of a run. It matches [ErrStepUsed] if a call of the method is under way or has succeeded.
func DeriveCall(ctx context.Context, fullMethod string) (*DerivedCall, error) {
	r, ok := runOf(ctx)
	if !ok {
		return nil, ErrNoRun
	}

	made := r.derive(ctx, derivedForCall, fullMethod)

	state, err := r.steps.enter(step{method: fullMethod, name: made.step})
	if err != nil {
		return nil, err
	}

	return &DerivedCall{run: r, digest: made.digest(), state: state}, nil
}

// BeginCall notes a call of a run to another service under a key that is not derived. While the outcome of the call is unknown, the effect
// of the run is not known either: see Outcome.Marked. Call end once, with the error of the call or nil. Outside of a run nothing is noted.
func BeginCall(ctx context.Context, fullMethod, key string) (end func(err error)) {
	r, ok := runOf(ctx)
	if !ok {
		return func(error) {}
	}

	state := r.steps.note(step{method: fullMethod, key: key})

	return func(err error) { r.steps.end(state, err) }
}

// Key returns the derived key: 55 characters of a-z, 2-7, 1 and the hyphen, which [StrictKeys] accepts.
func (c *DerivedCall) Key() string { return derivedKey(callPrefix, &c.digest) }

// UUID returns the derived key for a method whose keys are UUIDs, as a UUID of version 4.
func (c *DerivedCall) UUID() string { return derivedUUID(&c.digest) }

// TimeOrdered returns the derived key for a method whose keys are time-ordered, as a UUID of version 7 with the time of the run's own key.
// The second result is false if the run's key is not a UUID of version 7.
func (c *DerivedCall) TimeOrdered() (string, bool) {
	return derivedTimeOrdered(&c.digest, c.run.call.Key)
}

// End records how the call ended: with err, or with success if err is nil. Call it once. After an error the run may repeat the call, with
// the same key. If [VerdictOf] err is VerdictUnknown, the effect of the run is not known either: see Outcome.Marked.
func (c *DerivedCall) End(err error) { c.run.steps.end(c.state, err) }
