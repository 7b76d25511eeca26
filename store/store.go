// Package store defines the contract of onlyonce stores: one record per idempotency key, changed only by atomic, fenced operations that may
// arrive twice and late.
//
// A store implements [Store]: five operations, and Capabilities for everything else. This package defines what each operation does to a
// record: [Claim.Apply] and its siblings are the transition table as pure functions. Their ApplyTo methods do the same in place. An
// embedded store calls them, and a remote store implements them in its own language. Package storetest tests a store against them.
// Package store depends only on the standard library.
//
// # Rules
//
// Storetest and the model check these rules under these numbers.
//
//  1. Every operation is one atomic step, decided on the store's clock. A claim names the fence that it expects: 0 for no record, otherwise
//     the fence of the Released or lease-ended record that its caller read. It wins only if the record still has this fence.
//  2. Every write after the claim is fenced by the owner's token. Only the retention and an operator's [Forgetting] end Completed.
//  3. Every operation can arrive twice and late. The repeat of an operation that took effect is applied. An operation that revives an ended
//     lease raises the fence.
//  4. An abandoned claim is released, even before it arrives. The release leaves a Released record, or raises the fence that the claim
//     expects.
//  5. A key is bound to its first request until the record expires. The fingerprint is compared in every state.
//  6. The fence never decreases within a record's life.
//  7. An unsettled record never expires with its lease, nor while its owner may be alive. It lives for the store's unknown retention: see
//     [Capabilities].
//  8. A run is not taken over once its first start is older than the retention of the claim or of the record.
//  9. Request bytes are taken before the handler runs. This is a rule of the engine.
//  10. The owner's own result settles an Unknown record, unless somebody resolved it first.
//  11. A finding that nothing happened is refused while the owner may be alive. A record whose run may have taken effect stays doubtful
//     until somebody removes the doubt.
//  12. A record keeps the retention of its owner's claim, and every settlement uses it. Only the owner's own completion may replace it.
//  13. A [Forgetting] removes only the record that has its token and fence. It is refused while the owner may be alive, unless it is
//     forced.
//
// # Wrappers
//
// Capabilities is a method of [Store], so a wrapper without it does not compile. No wrapper loses capabilities unnoticed.
//
//   - A wrapper that embeds a Store has the capabilities of the inner store. Their operations bypass the wrapper.
//   - A wrapper that changes the content of records must wrap each capability too, or leave it out.
package store

import (
	"context"
	"errors"
	"time"
)

// Store keeps one record per key. Every operation is one atomic step, decided on the store's clock, never on the caller's.
//
//   - Clients resend after a lost reply, so operations arrive more than once and late. An implementation recognises the repeat of an
//     operation that took effect, and reports it as applied. The Apply functions do.
//   - After an error the caller does not know whether the operation took effect. An error that matches [ErrFull] is the exception: nothing
//     changed.
//   - The error about a record that cannot be read matches [ErrUnreadable] or [ErrNewer]. Such a record is never reported as absent,
//     because the handler would run again.
//   - An implementation that can block bounds every operation by itself. It returns when ctx ends.
//   - Implementations are safe for concurrent use. Byte slices are shared between caller and store, and neither modifies them.
type Store interface {
	// Claim requests the right to run. Applied means that the caller's token owns the Running record.
	Claim(ctx context.Context, op Claim) (Result, error)
	// Renew extends the lease of the caller's own run.
	Renew(ctx context.Context, op Renewal) (Result, error)
	// Complete records the outcome of the caller's own run.
	Complete(ctx context.Context, op Completion) (Result, error)
	// Release frees the key, or withdraws a claim that may still arrive.
	Release(ctx context.Context, op Release) (Result, error)
	// Hold marks the outcome of the caller's own run as unknown.
	Hold(ctx context.Context, op Hold) (Result, error)
	// Capabilities returns the optional abilities of the store. It is cheap, and its result never changes.
	Capabilities() Capabilities
}

// Capabilities are the optional abilities of a store. A nil or false field means that the store lacks the ability.
type Capabilities struct {
	// Inspector reads records and settles those whose outcome is unknown.
	Inspector Inspector
	// Lister finds the records that are not settled.
	Lister Lister
	// Forgetter removes records by decision of an operator.
	Forgetter Forgetter
	// Diagnoser examines the servers and settings of the store.
	Diagnoser Diagnoser
	// Notifier notifies the engine of changed records.
	Notifier Notifier
	// Direct decides claims and completions in place. It is the store itself, or nil. If a wrapper passes on the Direct of its inner store,
	// the engine ignores it and calls the wrapper.
	Direct Direct
	// Transactional writes records in the handler's transactions.
	Transactional Transactional
	// Immediate means that no operation waits for anything outside the process. The engine then sets no timeout.
	Immediate bool
	// Bounded means that every operation ends at the deadline of its context, even if the Done channel of the context is not closed. The
	// engine then sets the deadline without a timer of its own.
	Bounded bool
	// UnknownRetention is how long an unsettled record is kept after the last claim, renewal or hold. Zero means for ever. The record is never
	// removed while its owner may be alive. Afterwards the record is absent, and the next call with the key runs. So UnknownRetention must
	// exceed the time for which clients retry. Record.KeepUnsettled computes the expiry.
	UnknownRetention time.Duration
	// Part returns the name of the part of the store that keeps a key, such as a server of a cluster. Nil means that the store has one part.
	//   - Parts fail independently. Operations that wait for one part do not delay those of another.
	//   - A key may move to another part.
	//   - Part returns quickly, never waits, and is safe for concurrent use.
	Part func(key Key) string
	// Home identifies the place of the records. It must be comparable. Two stores of one process share their records if their Homes are equal
	// and not nil. Nil means that no other store shares them.
	Home any
}

// Result is the result of an operation.
type Result struct {
	// Applied means that the record holds the effect of this operation. It took effect now, or when an earlier copy arrived.
	Applied bool
	// Record is the record after the operation. Its State is Absent if there is no record.
	Record Record
	// Now is the time of the decision on the store's clock. It may be zero if a Claim finds a Completed record, because then nothing depends
	// on the time.
	Now time.Time
	// Receipt is the store's own note about the run. It may be in the result of an applied Claim or Renew, otherwise it is nil. The owner
	// passes the last one to its later operations without reading it, and keeps it until the run has ended. So it should be small. See
	// Completion.Receipt.
	Receipt any
}

// Unknown reports whether the outcome is unknown: the record is Unknown, or Running under a lease that has ended at Now.
func (r *Result) Unknown() bool {
	return r.Record.State == Unknown || r.Record.State == Running && !r.Record.LeaseAlive(r.Now)
}

// Direct has the operations of every call in place. They do what the methods of Store do. Claims, completions and results are large: as
// arguments they would enlarge the stack of every call.
//
// The store never changes op, and keeps only what Store keeps of it. It overwrites res. After an error, res is zero.
type Direct interface {
	// ClaimTo is Claim with its result in res.
	ClaimTo(ctx context.Context, op *Claim, res *Result) error
	// CompleteTo is Complete with its result in res.
	CompleteTo(ctx context.Context, op *Completion, res *Result) error
}

// Forgetter removes records by decision of an operator. See [Capabilities].
type Forgetter interface {
	// Forget removes a record. Applied means that the record is gone, or that there was none.
	//   - It refuses a record with another token or fence. Without Force, it refuses a record whose owner may be alive. A refusal has no
	//     error: Applied is false, and Record is the record as it is.
	//   - Only Force removes a record that cannot be read. Without Force, Forget returns the error of a Lookup.
	Forget(ctx context.Context, op Forgetting) (Result, error)
}

// Inspector reads and settles records for operators. See [Capabilities].
type Inspector interface {
	// Lookup reads a record and changes nothing. Applied is always false. If there is no record, State is Absent and the error is nil.
	Lookup(ctx context.Context, key Key) (Result, error)
	// Resolve settles a record whose outcome is unknown. It refuses another token or fence, a record whose outcome is known, and State
	// Released while the owner may be alive. A refusal has no error: Applied is false, and Record is the record as it is.
	Resolve(ctx context.Context, op Resolution) (Result, error)
}

// Notifier notifies the engine of changed records, so that it polls less often. A lost notification costs time, never an answer, because
// the engine still polls.
type Notifier interface {
	// Watch returns a channel and a function that ends the watch. The store closes the channel when the record may have stopped running after
	// Watch returned. Stop does not close the channel. The caller must call stop exactly once, even after the channel was closed.
	Watch(key Key) (changed <-chan struct{}, stop func())
}

var (
	// ErrFull is matched by errors of a store that reached a bound. The operation changed nothing.
	ErrFull = errors.New("store: full")
	// ErrUnreadable is matched by errors about a damaged record.
	ErrUnreadable = errors.New("store: record unreadable")
	// ErrNewer is matched by errors about a record whose format is newer than this build.
	ErrNewer = errors.New("store: record written by a newer build")
)
