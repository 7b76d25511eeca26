// Package store is the contract that every onlyonce store keeps: one record per idempotency key, changed only by
// atomic, fenced operations that may each arrive twice and late.
//
// A store implements [Store], five operations. What not every store can do is an optional interface that the engine
// looks for with a type assertion: [Inspector], [Lister], [Notifier], [Immediate], [Bounded],
// [Transactional]. What each operation does to a
// record is not for a store to invent: [Claim.Apply] and its siblings are the transition table as pure functions, their
// ApplyTo the same in place. An embedded store calls them, a remote store mirrors them in its own language. Package
// storetest proves that it does.
//
// Package store depends on the standard library alone.
package store

import (
	"context"
	"errors"
	"time"
)

// Store keeps one record per key. Every operation is one atomic step, decided on the store's clock and never on the
// caller's.
//
// Every operation may arrive more than once and late, because clients resend after a lost reply. An implementation
// must therefore recognise the repeat of an operation that has already taken effect and report it as applied; the Apply
// functions do.
//
// An error means that the caller does not know whether the operation took effect, except for errors that match
// [ErrFull], which promise that nothing changed. A record that cannot be read is [ErrUnreadable] or [ErrNewer], never
// an absent record: an absent record would be claimed, and the handler would run again.
//
// An implementation that can block bounds every operation by itself and gives up when ctx ends. Implementations are
// safe for concurrent use. Byte slices passed in and handed out are shared, and modified by nobody.
type Store interface {
	// Claim asks for the right to run. Applied means that the caller's token owns the running record.
	Claim(ctx context.Context, op Claim) (Result, error)
	// Renew extends the lease of the caller's own run.
	Renew(ctx context.Context, op Renewal) (Result, error)
	// Complete records the outcome of the caller's own run.
	Complete(ctx context.Context, op Completion) (Result, error)
	// Release gives the key back, or withdraws a claim that may still be on its way.
	Release(ctx context.Context, op Release) (Result, error)
	// Hold marks the outcome of the caller's own run as unknown.
	Hold(ctx context.Context, op Hold) (Result, error)
}

// Result is the answer to an operation.
type Result struct {
	// Applied reports that the record holds the effect of this very operation, whether it took effect now or when an
	// earlier copy of it arrived.
	Applied bool
	// Record is the record after the operation. Its State is Absent where there is none.
	Record Record
	// Now is the time on the store's clock at which the operation was decided.
	Now time.Time
}

// Inspector is implemented by stores whose records an operator can read and settle.
type Inspector interface {
	// Lookup reads a record and changes nothing. Applied is always false. Where there is no record the State is Absent, and
	// there is no error.
	Lookup(ctx context.Context, key Key) (Result, error)
	// Resolve settles a record whose outcome is unknown. It is refused, which is Applied false with the record as it is and
	// no error, where the fence is another, nothing is unknown, or the owner may be alive and is said to have done nothing.
	Resolve(ctx context.Context, op Resolution) (Result, error)
}

// Notifier is implemented by stores that can tell when a record has changed. It saves polling; the engine polls behind
// it all the same, so that a lost notification costs time and never an answer.
type Notifier interface {
	// Watch returns a channel that is closed when the record of key may have stopped running after the call of Watch
	// returned, and a function that ends the watch without closing it. The caller must call stop exactly once, also where
	// the channel has been closed.
	Watch(key Key) (changed <-chan struct{}, stop func())
}

// Immediate is implemented by stores whose operations never wait for anything outside the process. The engine spends
// no timeout on them.
type Immediate interface {
	// Immediate does nothing; it marks the implementation.
	Immediate()
}

// Bounded is implemented by stores whose operations end by themselves at the deadline of their context, whether or not its
// Done channel is closed then. The engine tells them the deadline and spends no timer of its own.
type Bounded interface {
	// Bounded does nothing; it marks the implementation.
	Bounded()
}

var (
	// ErrFull is matched by errors of a store that has reached a bound. The operation changed nothing.
	ErrFull = errors.New("store: full")
	// ErrUnreadable is matched by errors about a record that is there but damaged.
	ErrUnreadable = errors.New("store: record unreadable")
	// ErrNewer is matched by errors about a record that was written in a newer format than this build knows.
	ErrNewer = errors.New("store: record written by a newer build")
)
