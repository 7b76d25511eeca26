package onlyonce

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
)

// What only authors of transports need is in this file: see "Transports" in the package documentation.

// SchemeBytes is the fingerprint scheme of Call.Request: SHA-256 of the bytes as they are.
const SchemeBytes uint16 = 128

// Class is what the outcome of a run means for its key.
type Class uint8

// The classes of outcomes.
const (
	// ClassAmbiguous means that nobody knows whether the effect happened. It is the zero value, because an outcome that nobody has
	// classified is ambiguous.
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

// MarkedClass returns the class that NotExecuted or Final has given to err, or to an error that it wraps. The second result reports
// whether there is a mark.
//   - If errors are joined, all of them need the same mark: a mark on one does not cover the others.
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

// KeepsWrites reports whether KeepWrites has marked err, or an error that it wraps. Marks inside the error of another call do not
// count.
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
	// Marked reports that the handler itself chose the class, with [Final] or [NotExecuted]. An error that the handler did not
	// mark is ambiguous while the outcome of a derived call of the run is unknown, whatever Class is.
	Marked bool
	// Body is what a duplicate needs to get the same answer. The engine does not look into it.
	Body []byte
	// Room is how many of the first bytes of Body are not part of it. If they are as many as [BodyRoom] returns, the engine overwrites them
	// and keeps Body itself, so nobody else may use it, and it should have no capacity to spare. Otherwise, and with 0, the engine makes a
	// copy.
	Room int
	// Code names the outcome for people, such as OK or NOT_FOUND, in at most 255 bytes. Only the code is kept of an outcome that is
	// unknown or too large to store.
	Code string
	// Err is the error that the handler returned. If the run is released, the duplicates in this process that waited for it get Err.
	Err error
	// Retention is how long a definite outcome is kept. Zero means the policy's ErrorRetention if Err is set, otherwise its Retention.
	//   - A longer time than the policy's Retention is shortened to it.
	//   - For a call with a time-ordered key it is at least KeyLife.
	//   - An outcome that is Marked or has KeepWrites, or follows a run whose outcome is unknown, is kept for the policy's Retention.
	Retention time.Duration
	// KeepWrites commits the writes of the handler in a single transaction together with a definite outcome that has an Err. Without it,
	// such writes are rolled back.
	KeepWrites bool
}

// BodyRoom returns the Room of an [Outcome] with a code whose Body the engine need not copy.
func BodyRoom(code string) int { return outcome.Room(code) }

// Reply is what became of a call that was not rejected.
type Reply struct {
	// Status decides which of the other fields count.
	Status Status
	// Recorded reports that the answer is in Body and Code. The handler has committed it in a transaction of its own, and its return
	// value does not count. It is only set if Status is StatusExecuted.
	Recorded bool
	// Body and Code are the recorded outcome if Status is StatusReplayed or Recorded is set. Nobody modifies Body.
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
	Err     error
}

// Execute runs a call once, or answers it without running. Transports are built on it. Programs without a transport use [Engine.Do],
// which is simpler. A transport reports the calls that it refuses by itself with [Engine.Refused].
//
// If this call has won the key, Execute calls handler on the caller's goroutine, once. Under SingleTransaction it calls handler again, a
// few times at most, if the transaction conflicted with another one and was rolled back. The handler's context carries the values of ctx.
// It is not cancelled with ctx, unless the policy's Detachment is Attached or too many runs are detached. If the engine cancels it,
// context.Cause is ErrMaxRun, ErrLeaseLost, ErrTooManyDetached or ErrDraining. A panic of handler is recorded as ambiguous and goes on.
//
// If handler was called, the reply's Status is what became of its outcome. The answer is the handler's own, unless Status is
// StatusReplayed or one of Recorded, Shared and Refused is set.
//
// The error is one of these:
//   - A *Rejection. An error that merely wraps a *Rejection is not this call's rejection.
//   - An error that wraps the error of ReplayCheck.
//   - An error that matches ctx's, if the caller has gone before anything ran.
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

// Refused reports to the observer a call that its transport has refused by itself, before [Engine.Execute] or instead of the replay that
// Execute returned. The observer gets the EventCall of a rejected call:
//   - Reason is set if err is a *Rejection.
//   - The event has the method. It has the key if that is a valid key and keys are not hidden.
//   - Fields of id that are not known may be empty.
//
// If err has a method Misconfigured(), the method can serve no call until the program changes. The default observer writes such errors to
// the log. The same holds for the Cause of a *Rejection with ReasonNotSupported.
func (e *Engine) Refused(ctx context.Context, id Identity, err error) {
	event := Event{Kind: EventCall, Method: id.Method}

	if (KeyRules{}).Check(id.Key) == nil {
		event.Key = id.Key
	}

	event.refuse(err)
	e.observe(ctx, event)
}

// CanResolve reports whether the store can settle records by hand, which is whether it has a store.Inspector. Recovery functions and
// Resolve need it.
func (e *Engine) CanResolve() bool { return e.can.Inspector != nil }

// Policy returns a policy with every unset field taken from the engine's.
func (e *Engine) Policy(p Policy) Policy { return p.Over(e.policy).whole() }

// Prepare completes a policy as Policy does and validates it as Validate does, once for all calls that have the result in Call.Prepared.
func (e *Engine) Prepare(p Policy) (*PreparedPolicy, error) { return e.prepare(&p) }

// DerivedCall is a call of a run to another service, under a key that is derived from the run's.
type DerivedCall struct {
	run    *run
	digest [32]byte
	state  *stepState
}

// DeriveCall begins a call of a run to another service. The client interceptor of package interceptor calls it for every protected call
// that has no other key.
//
// A run may use a method once, or once for each name that [WithStep] has given. A call that has failed may be repeated: the repeat is the
// same call and has the same key. The caller of DeriveCall makes one call, with as many attempts as it likes, and then calls End.
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

// BeginCall notes a call of a run to another service under a key that is not derived, as DeriveCall does for one that is: while its
// outcome is unknown, the effect of the run is not known either. The function that it returns records how the call ended. Outside of a
// run nothing is noted.
func BeginCall(ctx context.Context, fullMethod, key string) (end func(err error)) {
	r, ok := runOf(ctx)
	if !ok {
		return func(error) {}
	}

	state := r.steps.note(step{method: fullMethod, key: key})

	return func(err error) { r.steps.end(state, err) }
}

// Key returns the key: 55 characters of a-z, 2-7, 1 and the hyphen, which [StrictKeys] accept.
func (c *DerivedCall) Key() string { return derivedKey(callPrefix, &c.digest) }

// UUID returns the key for a method whose keys are UUIDs: one of version 4.
func (c *DerivedCall) UUID() string { return derivedUUID(&c.digest) }

// TimeOrdered returns the key for a method whose keys are time-ordered: a UUID of version 7 with the time of the run's own key. The
// second result is false if that key is not time-ordered.
func (c *DerivedCall) TimeOrdered() (string, bool) {
	return derivedTimeOrdered(&c.digest, c.run.call.Key)
}

// End records how the call ended. After an error the run may repeat the call, with the same key. While [VerdictOf] the error is
// VerdictUnknown, the effect of the run is not known either: see Outcome.Marked.
func (c *DerivedCall) End(err error) { c.run.steps.end(c.state, err) }
