// Package memstore keeps onlyonce records in the memory of one process. It is the embedded default, and the reference implementation of the
// store contract.
//
// A restart loses every record, and replicas of a service do not share their records. Use a shared store for more than one process.
//
// Within its process the store keeps the whole contract: no record is lost before its retention ends. A store that reaches a bound refuses
// new keys with [store.ErrFull], and never drops old records. One scope cannot use all the room: see [WithScopeShare].
package memstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/quota"
	"github.com/onlyonce-go/onlyonce/internal/report"
	"github.com/onlyonce-go/onlyonce/store"
)

const shardCount = 64 // a power of two

// Store keeps records in memory. It is safe for concurrent use. It starts no goroutine and needs no Close: each operation removes a few
// expired records. An operation whose ctx has ended returns an error and changes nothing. The store's clock is the wall clock at New plus
// the monotonic time since then. So a step of the machine's clock changes no lease and no retention.
type Store struct {
	start            time.Time
	seed             maphash.Seed
	unknownRetention time.Duration
	records, bytes   *quota.Quota
	observed         report.To
	shards           [shardCount]shard
}

// New returns an empty store. Options panic on invalid values.
func New(opts ...Option) *Store {
	c := config{records: DefaultMaxRecords, bytes: DefaultMaxBytes, share: DefaultScopeShare}
	for _, opt := range opts {
		opt(&c)
	}

	return &Store{
		start: time.Now(), seed: maphash.MakeSeed(), unknownRetention: c.unknownRetention,
		records:  quota.New(c.records, portion(c.records, c.share, 1)),
		bytes:    quota.New(c.bytes, portion(c.bytes, c.share, minBytes)),
		observed: report.To{Observer: c.observer, Refuses: isFull},
	}
}

// Claim implements [store.Store]. The error matches [store.ErrFull] if the store has reached a bound.
func (s *Store) Claim(ctx context.Context, op store.Claim) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// ClaimTo implements [store.Direct].
func (s *Store) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) error {
	*res = store.Result{}

	return s.run(ctx, &op.Key, op, res)
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, op store.Completion) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// CompleteTo implements [store.Direct].
func (s *Store) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) error {
	*res = store.Result{}

	return s.run(ctx, &op.Key, op, res)
}

// Release implements [store.Store]. If there is no record, Release leaves one. The error matches [store.ErrFull] if there is no room for
// it.
func (s *Store) Release(ctx context.Context, op store.Release) (res store.Result, err error) {
	err = s.run(ctx, &op.Claim.Key, &op, &res)

	return res, err
}

// Hold implements [store.Store].
func (s *Store) Hold(ctx context.Context, op store.Hold) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (res store.Result, err error) {
	err = s.run(ctx, &key, lookup{}, &res)

	return res, err
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// Forget implements [store.Forgetter].
func (s *Store) Forget(ctx context.Context, op store.Forgetting) (res store.Result, err error) {
	err = s.run(ctx, &op.Key, &op, &res)

	return res, err
}

// Watch implements [store.Notifier].
func (s *Store) Watch(key store.Key) (changed <-chan struct{}, stop func()) {
	return s.shard(&key).watch(key)
}

// Capabilities implements [store.Store]. It has no Diagnoser and no Transactional. Home is the store itself.
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{
		Inspector: s, Lister: s, Forgetter: s, Notifier: s, Direct: s, Immediate: true, UnknownRetention: s.unknownRetention, Home: s,
	}
}

// Len returns the number of records. Expired records count until they are removed.
func (s *Store) Len() int { return int(s.records.Used()) }

// Bytes returns the estimated memory of all records, in bytes. See [WithMaxBytes].
func (s *Store) Bytes() int64 { return s.bytes.Used() }

// lookup is the operation that changes nothing.
type lookup struct{}

// apply applies an operation to a record. A type switch, in place of an interface, lets the compiler keep the operation and the record on
// the stack.
func apply(op any, rec *store.Record, now time.Time) (applied, changed bool) {
	switch op := op.(type) {
	case *store.Claim:
		return op.ApplyTo(rec, now)
	case *store.Renewal:
		return op.ApplyTo(rec, now)
	case *store.Completion:
		return op.ApplyTo(rec, now)
	case *store.Release:
		return op.ApplyTo(rec, now)
	case *store.Hold:
		return op.ApplyTo(rec, now)
	case *store.Resolution:
		return op.ApplyTo(rec, now)
	case *store.Forgetting:
		return op.ApplyTo(rec, now)
	default:
		if rec.Expired(now) {
			*rec = store.Record{}
		}

		return false, false
	}
}

// scopeOf returns the scope of an operation that may create a record.
func scopeOf(op any) uint64 {
	switch op := op.(type) {
	case *store.Claim:
		return op.Scope
	case *store.Release:
		return op.Claim.Scope
	default:
		return 0
	}
}

func (s *Store) now() time.Time { return s.start.Add(time.Since(s.start)) }

// hash returns the hash of a key within its shard. The seed is secret to the process, so nobody can construct keys that share a hash.
func (s *Store) hash(key *store.Key) uint32 {
	return uint32(maphash.Bytes(s.seed, key[:])) //nolint:gosec // a part of the hash is enough
}

func (s *Store) shard(key *store.Key) *shard { return &s.shards[key[0]%shardCount] }

// run performs an operation and reports it to the observer. Operations and results are large, so run takes pointers.
func (s *Store) run(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	if s.observed.Observer == nil {
		return s.perform(ctx, key, op, res)
	}

	began := s.observed.Clock()
	err := s.perform(ctx, key, op, res)
	s.ended(ctx, operationOf(op), began, res, err)

	return err
}

// perform performs an operation. If the store is full, perform removes expired records and tries again.
func (s *Store) perform(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %s: %w", operationOf(op), err)
	}

	expired, err := s.shard(key).do(s, key, op, res)

	for isFull(err) {
		removed := s.makeRoom()
		if removed == 0 {
			break
		}

		expired += removed
		removed, err = s.shard(key).do(s, key, op, res)
		expired += removed
	}

	s.swept(ctx, expired)

	return err
}

// makeRoom removes a few expired records of each shard, because removing all could take long. It returns 0 if none has expired.
func (s *Store) makeRoom() (removed int) {
	for i := range s.shards {
		removed += s.shards[i].sweep(s, expirePerOperation)
	}

	return removed
}

// reserve counts a new record of this size for a scope. The error names the bound that was reached.
func (s *Store) reserve(scope uint64, size int64) error {
	if !s.records.Take(scope, 1) {
		return full(s.records, scope, 1, "records", "WithMaxRecords")
	}

	if !s.bytes.Take(scope, size) {
		s.records.Give(scope, 1)

		return full(s.bytes, scope, size, "bytes", "WithMaxBytes")
	}

	return nil
}

// resize counts the growth of a record, which may be negative. Bounds do not apply: the outcome of a run is always kept.
func (s *Store) resize(scope uint64, by int64) {
	if by >= 0 {
		s.bytes.Force(scope, by)
	} else {
		s.bytes.Give(scope, -by)
	}
}

// release returns what a record of this size has reserved.
func (s *Store) release(scope uint64, size int64) {
	s.records.Give(scope, 1)
	s.bytes.Give(scope, size)
}

// full returns the error for a bound that was reached.
func full(bound *quota.Quota, scope uint64, n int64, what, option string) error {
	if bound.OverShare(scope, n) {
		return fmt.Errorf("memstore: adding a record: the caller's scope would exceed its share, %d of the %d %s of %s: wait until "+
			"its records expire, settle those whose outcome is unknown, or raise WithScopeShare or %s: %w",
			bound.Share(), bound.Limit(), what, option, option, store.ErrFull)
	}

	return fmt.Errorf("memstore: adding a record: the store would exceed the %d %s of %s: wait until records expire, settle those whose "+
		"outcome is unknown, or raise the bound: %w", bound.Limit(), what, option, store.ErrFull)
}
