package onlyonce

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Call is one attempt at a keyed call.
type Call struct {
	// Scope, Method and Key are the identity of the call. Scope separates callers who must not see each other's answers;
	// it is empty where all callers share. Key is 1 to 255 printable ASCII characters, Scope and Method are any bytes. Method
	// is kept in records and events, so it must not be made of what callers send.
	Scope, Method, Key string
	// TimeOrdered says that Key is a UUID of version 7, as NewKey makes them, and that its time counts: once it is older than
	// Policy.Retention less ten minutes (or less half of that, where it is shorter than twenty), a call without a record is rejected with
	// ReasonKeyExpired, because it may have run and been forgotten. A record is replayed as long as it is there. A key that is none, or
	// from more than ten minutes in the future (or more than half of a retention that is shorter than twenty), is rejected with
	// ReasonKeyInvalid.
	TimeOrdered bool
	// Fingerprint tells requests apart. Where it is zero it is made from Request.
	Fingerprint store.Fingerprint
	// Request is the request's bytes, in a form that does not change between attempts. It is used only where Fingerprint
	// is zero. Nil means that all calls with the key count as the same request.
	Request []byte
	// Policy overrides the engine's policy, field by field; nil overrides nothing.
	Policy *Policy
	// ReplayCheck is asked before this call is given the outcome of another, or waits for it; its error is the call's
	// answer. Nil allows all. The handler's own checks do not run for a replay, so what the handler would refuse has to be
	// refused here. It is called on the caller's goroutine, at most once.
	ReplayCheck func(ctx context.Context) error
	// Recover is asked before a record whose outcome is unknown is given up or its handler run again; nil asks nobody. It
	// needs a store that can settle records: see Engine.CanResolve. It is asked on another goroutine, and may still be at
	// work when this call has returned.
	Recover RecoverFunc
	// Outcome says what an answer of the handler means, before it is given: response and err are what the handler is about to return.
	// A run whose handler writes its completion in its own transaction needs it; see JoinedTransaction. It may be called from any
	// goroutine of the handler, but not by two at a time.
	Outcome func(response any, err error) Outcome
}

// Reply is what became of a call that was not rejected.
type Reply struct {
	// Status says which of the other fields count.
	Status Status
	// Recorded reports that the answer is the one in Body and Code, and not what run has returned: the run's handler has committed
	// it in a transaction of its own. It is only set where Status is StatusExecuted.
	Recorded bool
	// Body and Code are those of the recorded outcome where Status is StatusReplayed, or Recorded is set. Nobody modifies Body.
	Body []byte
	Code string
	// ExecutedAt is when the recorded run ended, on the store's clock, where Status is StatusReplayed.
	ExecutedAt time.Time
	// Shared reports that the answer is that of another call's run in this process, which left no record: Err is its
	// error.
	Shared bool
	Err    error
}

// SchemeBytes is the fingerprint scheme of Call.Request: SHA-256 of the bytes as they are.
const SchemeBytes uint16 = 128

// Execute runs a call once, or answers it without running. Transports are built on it, and tell with [Engine.Refused] what
// they refuse by themselves; programs without one will find [Engine.Do] simpler.
//
// It calls run, on the caller's goroutine and at most once, if this call has won the key; under SingleTransaction it calls it
// again where the transaction conflicted with another one and was rolled back, a few times at most. The run's context carries the
// values of ctx; it is not cancelled with ctx, unless the policy's Detachment is Attached. It ends by cancellation: context.Cause
// is ErrMaxRun, ErrLeaseLost or ErrDraining where the engine has ended it. Where run was called, the reply's Status tells
// what became of its outcome, and the answer is run's own unless Status is StatusReplayed or Recorded is set. A panic of run is recorded as
// ambiguous and goes on.
//
// The error is a *Rejection, one that wraps the error of ReplayCheck, one that matches ctx's where the caller has gone before
// anything ran, or one that says how the program is wrong: a policy that cannot hold, or ErrOwnKey. An error that merely
// wraps a *Rejection is not this call's rejection.
func (e *Engine) Execute(ctx context.Context, call *Call, run func(context.Context) Outcome) (Reply, error) {
	x := &execution{engine: e, caller: ctx, call: call, handler: run, began: time.Now()}

	reply, err := x.execute() //nolint:contextcheck // what is settled in the background outlives the call
	x.observeEnd(&reply, err)

	return reply, err
}

// execution is one call on its way through the engine.
type execution struct {
	engine  *Engine
	caller  context.Context //nolint:containedctx // the call lives as long as this context
	call    *Call
	handler func(context.Context) Outcome
	policy  Policy
	key     store.Key
	began   time.Time

	// The claim.
	claim     store.Claim
	keyEnds   time.Time // until when a time-ordered key may make a record
	uncertain bool      // a claim was sent and not answered
	permitted bool      // ReplayCheck has allowed this call to see the outcome of another
	answered  bool      // the store has answered a claim of this call
	hurried   bool      // half of the caller's time is less than the store's tries
	hasty     bool      // the claim was given up for the caller's deadline
	recovered bool      // the recovery function has been asked
	flight    flight
	landed    bool // the flight is over
	// result is the store's last answer to the claim or to the end of the run. It does not change once the flight has
	// landed, so that followers can read it.
	result store.Result

	// The transaction of the claim, while it is open; see transaction.go.
	tx         store.Transaction
	conflicts  int
	again      bool      // the transaction conflicted with another one, and is to be tried again
	firstBegun time.Time // when the first of them had begun
	join       joinState // guarded by the heartbeat's lock; see joined.go

	// The run, of which there is another one where the handler is executed again; see context.go.
	first     run
	current   *run
	cancel    context.CancelCauseFunc
	guarantee Guarantee // the stricter of the policy's and the record's; the policy's in a single transaction
	attempt   uint32
	doubtful  bool // an earlier run may have had its effect
	fence     atomic.Uint64
	started   time.Time
	runEnd    time.Time     // when the run must end
	ran       time.Duration // how long the handler took
	failure   error         // what the handler ended with, if it left no outcome
	// base is not cancelled with the caller: for what must be written whatever happens.
	base      context.Context //nolint:containedctx // as caller
	heartbeat heartbeat
}

func (x *execution) execute() (Reply, error) {
	if err := x.prepare(); err != nil {
		return Reply{}, err
	}

	if refused := x.engine.admit(x.policy.StoreDown); refused != nil {
		return Reply{}, refused
	}
	defer x.engine.leave()

	if x.inside() {
		return Reply{}, fmt.Errorf("%w: %s", ErrOwnKey, x.call.Method)
	}

	for {
		other := x.engine.flights.board(&x.key, &x.flight)
		if other == &x.flight {
			return x.lead()
		}

		reply, again, err := x.follow(other)
		if !again {
			return reply, err
		}
	}
}

// prepare checks the call and takes from it everything that must not change while the handler runs.
func (x *execution) prepare() error {
	call, e := x.call, x.engine

	if err := (KeyRules{}).Check(call.Key); err != nil {
		return reject(ReasonKeyInvalid, err.Error(), nil)
	}

	x.policy = e.policy
	if call.Policy != nil {
		x.policy = call.Policy.Over(e.policy)
		if err := x.policy.validate(e.transactional != nil); err != nil {
			return fmt.Errorf("onlyonce: %s: %w", call.Method, err)
		}
	}

	fingerprint := call.Fingerprint
	if fingerprint.Scheme == 0 {
		fingerprint = store.Fingerprint{Scheme: SchemeBytes, Sum: sha256.Sum256(call.Request)}
	}

	x.key = storageKey(call.Scope, call.Method, call.Key)
	x.claim = store.Claim{
		Key:         x.key,
		Token:       newToken(),
		Fingerprint: fingerprint,
		Guarantee:   x.policy.Guarantee,
		Lease:       x.policy.Lease,
		MaxRun:      x.policy.MaxRun,
		MaxAttempts: uint32(min(x.policy.MaxAttempts, 1<<30)), //nolint:gosec // bounded, and validated to be positive
		Retention:   x.policy.Retention,
		Method:      call.Method,
	}

	if !e.hideKeys {
		x.claim.ReadableKey = call.Key
	}

	if call.TimeOrdered {
		if refused := x.checkKeyTime(); refused != nil {
			return refused
		}
	}

	return nil
}

// inside reports whether the call is made by a run of its own key.
func (x *execution) inside() bool {
	outer, ok := runOf(x.caller)
	for ok {
		if outer.x.engine == x.engine && outer.x.key == x.key {
			return true
		}

		outer, ok = runOf(outer.x.caller)
	}

	return false
}
