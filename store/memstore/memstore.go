// Package memstore keeps onlyonce records in the memory of one process: the embedded default, and the reference
// implementation of the store contract.
//
// It is for one process. A restart forgets every record, and two replicas of a service do not see each other's; use a
// shared store there. Within the process it is complete: records are never lost before their retention is over, and
// when a bound is reached new keys are refused with [store.ErrFull] instead of old ones being dropped. One scope cannot use up
// the whole: see [WithScopeShare].
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

// Store is an in-memory store. It starts no goroutine and needs no closing: expired records are removed, a few at a
// time, by the operations that follow. Its clock is the wall clock at construction plus the monotonic time since, so a
// step of the machine's clock moves no lease and no retention.
type Store struct {
	start            time.Time
	seed             maphash.Seed
	unknownRetention time.Duration
	records, bytes   *quota.Quota
	observed         report.To
	shards           [shardCount]shard
}

// New returns an empty store.
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

// Claim implements [store.Store]. Its error matches store.ErrFull when a bound is reached.
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

// Release implements [store.Store]. Its error matches store.ErrFull when a bound is reached and the release would have
// to leave a record where there is none.
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

// Capabilities implements [store.Store].
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{
		Inspector: s, Lister: s, Forgetter: s, Notifier: s, Direct: s, Immediate: true, UnknownRetention: s.unknownRetention, Home: s,
	}
}

// Len returns the number of records, those included whose retention is over and which have not been removed yet.
func (s *Store) Len() int { return int(s.records.Used()) }

// Bytes returns the estimated memory of all records, in bytes.
func (s *Store) Bytes() int64 { return s.bytes.Used() }

// lookup is the operation that changes nothing.
type lookup struct{}

// apply performs an operation on a record. A type switch distinguishes the operations, and not an interface, so
// that the compiler sees that neither they nor the record outlive the call.
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

// scopeOf is the scope of an operation that may create a record.
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

// hash is the hash of a key in its shard. Nobody outside the process knows the seed, so nobody can look for keys that share a hash.
func (s *Store) hash(key *store.Key) uint32 {
	return uint32(maphash.Bytes(s.seed, key[:])) //nolint:gosec // a part of the hash is enough
}

func (s *Store) shard(key *store.Key) *shard { return &s.shards[key[0]%shardCount] }

// run runs an operation, and reports it if there is an observer. Operations and results are large, so they stay where they are.
func (s *Store) run(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	if s.observed.Observer == nil {
		return s.perform(ctx, key, op, res)
	}

	began := s.observed.Clock()
	err := s.perform(ctx, key, op, res)
	s.ended(ctx, operationOf(op), began, res, err)

	return err
}

// perform runs an operation. If there is no room for its record, it makes room.
func (s *Store) perform(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
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

// makeRoom removes a few expired records of each shard, because all of them may be millions. It returns 0 if none has expired.
func (s *Store) makeRoom() (removed int) {
	for i := range s.shards {
		removed += s.shards[i].sweep(s, expirePerOperation)
	}

	return removed
}

// reserve counts a new record of the given size for a scope, or reports which bound is reached.
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

// resize counts what a record has grown or shrunk by. An outcome is kept once its handler has run, whatever the bounds.
func (s *Store) resize(scope uint64, by int64) {
	if by >= 0 {
		s.bytes.Force(scope, by)
	} else {
		s.bytes.Give(scope, -by)
	}
}

// release gives back what a record of the given size has taken.
func (s *Store) release(scope uint64, size int64) {
	s.records.Give(scope, 1)
	s.bytes.Give(scope, size)
}

// full says which bound is reached, and what to do.
func full(bound *quota.Quota, scope uint64, n int64, what, option string) error {
	if bound.OverShare(scope, n) {
		return fmt.Errorf("memstore: no room for a new record: the caller's scope may keep %d %s, its share of the %d of %s: wait until "+
			"its records expire, settle those whose outcome is unknown, or raise WithScopeShare or %s: %w",
			bound.Share(), what, bound.Limit(), option, option, store.ErrFull)
	}

	return fmt.Errorf("memstore: no room for a new record: %d %s may be kept, the bound of %s: wait until records expire, settle those "+
		"whose outcome is unknown, or raise the bound: %w", bound.Limit(), what, option, store.ErrFull)
}
