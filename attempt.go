package onlyonce

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/backlog"
	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// attempt is one call in the engine: its identity, its claim, its wait, and its answer. A claim that wins makes a run. Calls of one key in
// this process share a flight: its leader claims, and its followers wait for the leader. See docs/architecture.md.
type attempt struct {
	engine  *Engine
	caller  context.Context //nolint:containedctx // the call lives as long as this context
	call    *Call
	handler func(context.Context) Outcome
	policy  *Policy // read-only: calls share it
	began   time.Time

	claim  store.Claim
	window *keytime.Window // nil if the key is not time-ordered
	// result is the store's last answer to the claim or to the end of the run. It does not change once the flight has
	// landed, so that followers can read it.
	result store.Result
	// answered means that the store has answered a claim of this call, unanswered that it has not answered another claim of this call.
	answered, unanswered bool
	landed               bool
	// allowed means that ReplayCheck has allowed this call to see the outcome of another call.
	allowed bool
	// details is nil while there are none: see detail.
	details *eventDetails

	flight flight.Flight[landing]
	// run is the last run of this call, or nil.
	run *run
}

// landing is the result of a flight for its followers.
type landing struct {
	kind landingKind
	// record is the settled record of a landedRecord.
	record *store.Record
	// reply is the answer of a landedReply.
	reply *Reply
	// rejection is that of a landedRejection. Each follower gets a delay of its own.
	rejection *Rejection
}

type landingKind uint8

const (
	landedAgain     landingKind = iota // the leader left without an answer for its followers: they start over
	landedRecord                       // the outcome is recorded
	landedReply                        // the run ended without a record: its followers share its answer
	landedRejection                    // its followers are rejected like the leader
)

func (a *attempt) execute() (Reply, error) {
	if err := a.identify(); err != nil {
		return Reply{}, err
	}

	if err := a.checkNesting(); err != nil {
		return Reply{}, err
	}

	if refused := a.engine.admit(a.claim.Scope, a.policy.StoreDown); refused != nil {
		return Reply{}, refused
	}
	defer a.engine.leave()

	for now := a.began; ; now = time.Now() {
		other := a.engine.flights.Board(&a.claim.Key, &a.flight)
		if other == &a.flight {
			return a.lead(now)
		}

		reply, again, err := a.follow(other)
		if !again {
			return reply, err
		}
	}
}

// identify checks the call, and copies from it everything that must not change while the handler runs.
func (a *attempt) identify() error {
	call, e := a.call, a.engine

	if call.Key == "" {
		return reject(ReasonKeyMissing, noKey, nil)
	}

	if err := (KeyRules{}).Check(call.Key); err != nil {
		return reject(ReasonKeyInvalid, err.Error(), nil)
	}

	var err error
	if a.policy, err = e.policyOf(call); err != nil {
		return err
	}

	fingerprint := call.Fingerprint
	if fingerprint.Scheme == 0 {
		fingerprint = store.Fingerprint{Scheme: SchemeBytes, Sum: sha256.Sum256(call.Request)}
	}

	a.claim = store.Claim{
		Key:         storageKey(call.Scope, call.Method, call.Key),
		Token:       newToken(a.began),
		Fingerprint: fingerprint,
		Guarantee:   a.policy.Guarantee,
		Lease:       a.policy.Lease,
		MaxRun:      a.policy.MaxRun,
		MaxAttempts: uint32(min(a.policy.MaxAttempts, 1<<30)), //nolint:gosec // bounded, and validated to be positive
		Retention:   a.policy.Retention,
		Scope:       scopeNumber(call.Scope),
		Method:      call.Method,
	}

	if !e.hideKeys {
		a.claim.ReadableKey = call.Key
	}

	if call.TimeOrdered {
		if err := a.policy.validateTimeOrdered(); err != nil {
			return &misconfiguredError{fmt.Errorf("%s: %w", call.Method, err)}
		}

		window, refused := keyWindowOf(call.Key, a.policy.whole().KeyLife, time.Now())
		if refused != nil {
			return refused
		}

		a.window = &window

		if window.LookFirst() {
			a.claim.Fence = lookupOnly
		}
	}

	return nil
}

// lookupOnly reports that the claim makes no record, and needs no withdrawal.
func (a *attempt) lookupOnly() bool { return a.claim.Fence == lookupOnly }

// scopeNumber returns the number of a scope, by which records and quotas are counted. 0 is the empty scope.
func scopeNumber(scope string) uint64 {
	if scope == "" {
		return 0
	}

	// FNV-1a. It must not change: stores count the records of a scope under this number.
	const basis, prime = 14695981039346656037, 1099511628211

	hash := uint64(basis)
	for i := range len(scope) {
		hash = (hash ^ uint64(scope[i])) * prime
	}

	return max(hash, 1)
}

// checkNesting refuses a call that would wait for a run that it is part of. Only runs that are still under way count: a goroutine may
// outlive the run whose context it has inherited.
func (a *attempt) checkNesting() error {
	if store.InTransaction(a.caller, a.engine.home) {
		return fmt.Errorf("%w: %s is called inside a transaction of the caller's", ErrInTransaction, a.call.Method)
	}

	for r, ok := runOf(a.caller); ok; r, ok = runOf(r.caller) {
		if r.over.Load() || !r.engine.sharesRecords(a.engine) {
			continue
		}

		if r.claim.Key == a.claim.Key {
			return fmt.Errorf("%w: %s", ErrOwnKey, a.call.Method)
		}

		if r.shape == single {
			return fmt.Errorf("%w: %s is called by the handler of %s", ErrInTransaction, a.call.Method, r.call.Method)
		}
	}

	return nil
}

// permit returns an error unless this call may see a record. A nil record stands for a record that the call waits for. A call may always
// see the record of its own run. ReplayCheck decides about the records of other runs, once for each call.
func (a *attempt) permit(rec *store.Record) error {
	if rec != nil && rec.State != store.Absent && rec.Token == a.claim.Token {
		return nil
	}

	if a.allowed || a.call.ReplayCheck == nil {
		return nil
	}

	if err := a.call.ReplayCheck(a.caller); err != nil {
		return &forbiddenError{err: err}
	}

	a.allowed = true

	return nil
}

// answerFrom answers the call from a record of its key that has come to an end.
func (a *attempt) answerFrom(rec *store.Record) (Reply, error) {
	if a.claim.Fingerprint.Differs(rec.Fingerprint) {
		return Reply{}, rejectReused(firstOf(rec, false)) // a record whose lease is alive has not come to an end
	}

	a.noteScheme(rec)

	if err := a.permit(rec); err != nil {
		return Reply{}, err
	}

	if rec.State != store.Completed {
		return Reply{}, a.outcomeUnknown(rec)
	}

	out, err := outcome.Decode(&a.claim.Key, rec.Outcome)
	if err != nil {
		return Reply{}, rejectStoreError(err)
	}

	if a.details != nil || out.Trace != "" || out.Kind != outcome.KindAnswer { // otherwise the reply has the code
		a.detail().code, a.details.trace = out.Code, out.Trace
	}

	switch out.Kind {
	case outcome.KindAnswer:
		return Reply{Status: StatusReplayed, Body: out.Body, Code: out.Code, ExecutedAt: rec.EndedAt, Retention: rec.Retention}, nil
	case outcome.KindNotStored:
		return Reply{}, rejectNotStored(out.Code, rec.Retention)
	case outcome.KindNote, outcome.KindClaim, outcome.KindResolution, outcome.KindShadow:
		return Reply{}, rejectStoreError(fmt.Errorf("onlyonce: reading record %v: it is completed and has no answer: %w",
			a.claim.Key, store.ErrUnreadable))
	default:
		return Reply{}, rejectStoreError(store.ErrUnreadable)
	}
}

// outcomeUnknown rejects a call whose record has an unknown outcome: held, running under a lease that has ended, or released in doubt and
// too late to repeat.
func (a *attempt) outcomeUnknown(rec *store.Record) error {
	switch rec.State {
	case store.Running:
		return rejectUnknown("", rec.LeaseUntil)
	case store.Released:
		return rejectUnknown("", rec.EndedAt)
	case store.Absent, store.Unknown, store.Completed:
	}

	out, err := outcome.Decode(&a.claim.Key, rec.Outcome)
	if err != nil {
		return rejectStoreError(err)
	}

	a.detail().code = out.Code

	return rejectUnknown(out.Code, rec.EndedAt)
}

// land ends the flight. Its followers get the landing.
func (a *attempt) land(how landing) {
	a.landed = true
	a.engine.flights.Land(&a.claim.Key, &a.flight, how)
}

func (a *attempt) noteScheme(rec *store.Record) {
	if rec.Fingerprint.Scheme != a.claim.Fingerprint.Scheme {
		a.observe(EventSchemeDiffers, nil)
	}
}

// event is an event of this call.
func (a *attempt) event(kind EventKind, err error) Event {
	event := Event{Kind: kind, ID: a.claim.Key, Method: a.call.Method, Key: a.claim.ReadableKey, Err: err}
	if a.run != nil {
		event.Fence = a.run.fence.Load()
	}

	return event
}

// observe reports an event of this call.
func (a *attempt) observe(kind EventKind, err error) { a.engine.observe(a.caller, a.event(kind, err)) }

// observeEnd reports the end of the call.
func (a *attempt) observeEnd(reply *Reply, err error) {
	if !a.engine.watched(reply.Status, err) {
		return
	}

	event := a.event(EventCall, reply.Err)
	event.Status, event.Code, event.Total = reply.Status, reply.Code, time.Since(a.began)

	if s := a.details; s != nil {
		event.Code, event.Waited = cmp.Or(s.code, reply.Code), s.waited

		if reply.Status == StatusReplayed {
			event.Trace = s.trace
		}
	}

	if r := a.run; r != nil {
		event.Run = r.took

		if event.Err == nil {
			event.Err = r.failure
		}
	}

	if err != nil {
		event.refuse(err)
	}

	a.engine.observe(a.caller, event)
}

// callerGone is the error of a call whose context has ended. It matches the context's error and its cause.
func callerGone(ctx context.Context, when string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return fmt.Errorf("onlyonce: the caller has gone %s: %w", when, err)
	}

	return fmt.Errorf("onlyonce: the caller has gone %s: %w: %w", when, err, cause)
}

// forbiddenError wraps the error of a ReplayCheck. Its verdict is unknown, because this call may have run before.
type forbiddenError struct{ err error }

func (e *forbiddenError) Error() string    { return e.err.Error() }
func (e *forbiddenError) Unwrap() error    { return e.err }
func (e *forbiddenError) Verdict() Verdict { return VerdictUnknown }

// taskSize is the memory of a task of the backlog without its outcome, its method and its key, in bytes.
const taskSize = 1 << 10

// writeLater calls write in the background until the store has acknowledged it. Size is the size of the outcome, in bytes. The task keeps
// nothing else of the call, which may be large.
func (a *attempt) writeLater(size int, write func(context.Context) error) {
	e, settled := a.engine, a.event(EventPendingSettled, nil)

	e.backlog.Add(backlog.Task{
		Part: e.part(a.claim.Key),
		Size: taskSize + size + len(settled.Method) + len(settled.Key),
		Write: func(ctx context.Context) error {
			bounded, done := e.storeContext(ctx)
			defer done()

			return write(bounded)
		},
		Done: func(err error) {
			settled.Err = err
			e.observe(context.Background(), settled) // the caller's context keeps the request
		},
	})
}
