// Package store is the contract that every onlyonce store keeps: one record per idempotency key. Only atomic, fenced operations
// change it, and each may arrive twice and late.
//
// A store implements [Store]: five operations, and Capabilities for everything else that it can do. The effect of each operation on a
// record is defined here: [Claim.Apply] and its siblings are the transition table as pure functions, and their ApplyTo methods do the
// same in place. An embedded store calls them, a remote store mirrors them in its own language. Package storetest proves that it does.
//
// # Rules
//
// Storetest and the model check these rules under these numbers.
//
//  1. Every operation is one atomic step, decided on the store's clock. A claim names the fence that it expects: 0 for no record,
//     otherwise that of the Released or lease-ended record that its caller has read. It wins only if that is still the fence.
//  2. Every write after the claim is fenced by the owner's token. Nothing leaves Completed except the retention and an operator's
//     [Forgetting].
//  3. Every operation can arrive twice and late. The repeat of an operation that has taken effect is applied. An operation that
//     revives an ended lease raises the fence.
//  4. A claim that was abandoned is released, even before it has arrived. The release leaves a Released record behind, or raises the
//     fence that the claim expects.
//  5. A key is bound to its first request until the record expires: the fingerprint is compared in every state.
//  6. The fence never goes back within a record's life.
//  7. An unsettled record never expires with its lease, nor while its owner may be alive. It lives for the store's unknown
//     retention: see [Capabilities].
//  8. A run is not taken over once the first start is older than the retention, the claim's or the record's.
//  9. Request bytes are taken before the handler runs. This rule is the engine's.
//  10. The owner's own result settles an Unknown record, unless somebody resolved it first.
//  11. A finding that nothing happened is refused while the owner may still be alive. A record whose run may have had its effect
//     stays doubtful until somebody settles the doubt.
//  12. A record keeps the retention of the claim that made its owner. Whoever settles the record uses it. Only the owner's own
//     completion may bring another retention.
//  13. A [Forgetting] removes the record that it names by token and fence, and no later record. It is refused while the owner may be
//     alive, unless it is forced.
//
// # Wrappers
//
// Capabilities is a method of [Store], so that a wrapper cannot lose a capability unnoticed: without the method it does not compile.
//
//   - A wrapper that embeds a Store has the capabilities of the store inside. Their operations do not go through the wrapper.
//   - A wrapper that changes the content of records has to wrap each capability too, or to leave it out.
//
// Package store depends on the standard library alone.
package store

import (
	"context"
	"errors"
	"time"
)

// Store keeps one record per key. Every operation is one atomic step, decided on the store's clock and never on the caller's.
//
// Every operation may arrive more than once and late, because clients resend after a lost reply. An implementation must recognise the
// repeat of an operation that has already taken effect, and report it as applied. The Apply functions do.
//
// After an error the caller does not know whether the operation took effect, with two exceptions:
//   - An error that matches [ErrFull] promises that nothing changed.
//   - A record that cannot be read is [ErrUnreadable] or [ErrNewer], and never an absent record. An absent record would be claimed, and
//     the handler would run again.
//
// An implementation that can block bounds every operation by itself, and returns when ctx ends. Implementations are safe for concurrent
// use. Byte slices that are passed in and returned are shared, and nobody modifies them.
type Store interface {
	// Claim requests the right to run. Applied means that the caller's token owns the running record.
	Claim(ctx context.Context, op Claim) (Result, error)
	// Renew extends the lease of the caller's own run.
	Renew(ctx context.Context, op Renewal) (Result, error)
	// Complete records the outcome of the caller's own run.
	Complete(ctx context.Context, op Completion) (Result, error)
	// Release frees the key, or withdraws a claim that may still be on its way.
	Release(ctx context.Context, op Release) (Result, error)
	// Hold marks the outcome of the caller's own run as unknown.
	Hold(ctx context.Context, op Hold) (Result, error)
	// Capabilities returns what the store can do beyond these operations. It is cheap, and its result does not change.
	Capabilities() Capabilities
}

// Capabilities are the optional abilities of a store. A field that is nil or false is an ability that the store does not have.
type Capabilities struct {
	// Inspector reads and settles records by hand.
	Inspector Inspector
	// Lister finds the records whose outcome is unknown.
	Lister Lister
	// Forgetter removes records by hand.
	Forgetter Forgetter
	// Diagnoser examines the servers and settings of the store.
	Diagnoser Diagnoser
	// Notifier notifies the engine when a record has changed.
	Notifier Notifier
	// Direct decides claims and completions in place. It is the store itself, or nil. The engine uses it only if it is the very store that
	// the engine was made with: a store that is wrapped, and whose wrapper passes its capabilities on, is used through the wrapper.
	Direct Direct
	// Transactional writes records in the handler's transactions.
	Transactional Transactional
	// Immediate means that no operation ever waits for anything outside the process. The engine sets no timeout for them.
	Immediate bool
	// Bounded means that every operation ends by itself at the deadline of its context, even if the context's Done channel is not closed
	// then. The engine sets the deadline and needs no timer of its own.
	Bounded bool
	// UnknownRetention is how long an unsettled record stays after a claim, a renewal or a hold last wrote it. Zero means for ever. The
	// record stays in any case while its owner may be alive. After it the record is absent, and the next call with the key runs. So it
	// must be longer than clients go on retrying. Record.KeepUnsettled computes the time.
	UnknownRetention time.Duration
	// Part returns the name of the part of the store that keeps a key, such as a server of a cluster. Nil means that the store has one
	// part.
	//   - Parts fail independently, so operations that wait for one part do not hold up those of another.
	//   - The same key may move to another part.
	//   - Part is quick, waits for nothing, and is safe for concurrent use.
	Part func(key Key) string
	// Home identifies the place where the records are kept. It is comparable: two stores of one process share their records if their
	// Homes are equal and not nil. Nil means that no other store shares them.
	Home any
}

// Result is the answer to an operation.
type Result struct {
	// Applied reports that the record holds the effect of this very operation, whether it took effect now or when an
	// earlier copy of it arrived.
	Applied bool
	// Record is the record after the operation. Its State is Absent if there is none.
	Record Record
	// Now is the time on the store's clock at which the operation was decided. It may be zero if a Claim finds a Completed record,
	// because no decision about such a record depends on the time.
	Now time.Time
	// Receipt is the store's own note about the run, in the results of a Claim and a Renew that are Applied. It may be nil. The owner
	// passes the last one back in its later operations, and does not look into it. It is small, because it is kept until the store has
	// acknowledged the end of the run. See Completion.Receipt.
	Receipt any
}

// Unknown reports whether the outcome of the record is unknown: the record is Unknown, or Running under a lease that has ended.
func (r *Result) Unknown() bool {
	return r.Record.State == Unknown || r.Record.State == Running && !r.Record.LeaseAlive(r.Now)
}

// Direct is implemented by stores that decide the operations of every call in place. They do what the methods of Store do. Operations and
// results are large: as arguments they would make the stacks of all calls grow.
//
// The store does not change op, and keeps nothing of it but what Store keeps. It overwrites res. After an error, res is zero.
type Direct interface {
	// ClaimTo is Claim.
	ClaimTo(ctx context.Context, op *Claim, res *Result) error
	// CompleteTo is Complete.
	CompleteTo(ctx context.Context, op *Completion, res *Result) error
}

// Forgetter is implemented by stores from which an operator can remove a record.
type Forgetter interface {
	// Forget removes a record. Applied means that there is none any more, and the Result's Record is then absent.
	//   - It refuses another token or fence. It refuses a record whose owner may be alive, unless Force is set. A refusal is a Result
	//     with Applied false and the record as it is, and no error.
	//   - It removes a record that cannot be read only with Force. Otherwise it returns the error that a Lookup would return.
	Forget(ctx context.Context, op Forgetting) (Result, error)
}

// Inspector is implemented by stores whose records an operator can read and settle.
type Inspector interface {
	// Lookup reads a record and changes nothing. Applied is always false. If there is no record, the State is Absent and there is no
	// error.
	Lookup(ctx context.Context, key Key) (Result, error)
	// Resolve settles a record whose outcome is unknown. It refuses another token or fence, a record whose outcome is not unknown, and
	// State Released while the owner may be alive. A refusal is a Result with Applied false and the record as it is, and no error.
	Resolve(ctx context.Context, op Resolution) (Result, error)
}

// Notifier is implemented by stores that can notify the engine when a record has changed. It saves polling. The engine still polls, more
// slowly, so a lost notification costs time and never an answer.
type Notifier interface {
	// Watch returns a channel and a function. The channel is closed when the record of key may have stopped running after the call of
	// Watch returned. Stop ends the watch without closing the channel. The caller must call stop exactly once, even if the channel has
	// been closed.
	Watch(key Key) (changed <-chan struct{}, stop func())
}

var (
	// ErrFull is matched by errors of a store that has reached a bound. The operation changed nothing.
	ErrFull = errors.New("store: full")
	// ErrUnreadable is matched by errors about a record that is there but damaged.
	ErrUnreadable = errors.New("store: record unreadable")
	// ErrNewer is matched by errors about a record that was written in a newer format than this build knows.
	ErrNewer = errors.New("store: record written by a newer build")
)
