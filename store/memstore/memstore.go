// Package memstore keeps onlyonce records in the memory of one process: the embedded default, and the reference
// implementation of the store contract.
//
// It is for one process. A restart forgets every record, and two replicas of a service do not see each other's; use a
// shared store there. Within the process it is complete: records are never lost before their retention is over, and
// when a bound is reached new keys are refused with [store.ErrFull] instead of old ones being dropped.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// DefaultMaxRecords is the bound on records where none is given.
	DefaultMaxRecords = 1_000_000
	// DefaultMaxBytes is the bound on estimated memory, in bytes, where none is given: 1 GiB.
	DefaultMaxBytes = 1 << 30

	shardCount = 64 // a power of two
)

// Store is an in-memory store. It starts no goroutine and needs no closing: expired records are removed, a few at a
// time, by the operations that follow. Its clock is the wall clock at construction plus the monotonic time since, so a
// step of the machine's clock moves no lease and no retention.
type Store struct {
	start  time.Time
	limits limits
	used   usage
	shards [shardCount]shard
}

type limits struct{ records, bytes int64 }

type usage struct{ records, bytes atomic.Int64 }

// Option changes a Store under construction.
type Option func(*limits)

// WithMaxRecords bounds the number of records, live and not yet removed; the default is DefaultMaxRecords. It panics
// if n is below 1.
func WithMaxRecords(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("memstore: WithMaxRecords(%d): give at least 1", n))
	}

	return func(l *limits) { l.records = int64(n) }
}

// WithMaxBytes bounds the memory of all records, as estimated by their outcomes, their readable keys and a fixed overhead
// each; the default is DefaultMaxBytes. Method names are shared and not counted. The bound is applied to new keys. An
// outcome is always kept once its handler has run, so the outcomes of calls that are running when the bound is reached may
// exceed it. It panics if n is below 1.
func WithMaxBytes(n int64) Option {
	if n < 1 {
		panic(fmt.Sprintf("memstore: WithMaxBytes(%d): give at least 1", n))
	}

	return func(l *limits) { l.bytes = n }
}

// New returns an empty store.
func New(opts ...Option) *Store {
	s := &Store{start: time.Now(), limits: limits{records: DefaultMaxRecords, bytes: DefaultMaxBytes}}
	for _, opt := range opts {
		opt(&s.limits)
	}

	for i := range s.shards {
		s.shards[i].entries = make(map[store.Key]*entry)
	}

	return s
}

// Claim implements [store.Store]. Its error matches store.ErrFull when a bound is reached.
func (s *Store) Claim(ctx context.Context, op store.Claim) (res store.Result, err error) {
	err = s.insert(ctx, &op.Key, &op, &res)

	return res, err
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (res store.Result, err error) {
	err = s.update(ctx, &op.Key, &op, &res)

	return res, err
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, op store.Completion) (res store.Result, err error) {
	err = s.update(ctx, &op.Key, &op, &res)

	return res, err
}

// Release implements [store.Store]. Its error matches store.ErrFull when a bound is reached and the release would have
// to leave a record where there is none.
func (s *Store) Release(ctx context.Context, op store.Release) (res store.Result, err error) {
	err = s.insert(ctx, &op.Claim.Key, &op, &res)

	return res, err
}

// Hold implements [store.Store].
func (s *Store) Hold(ctx context.Context, op store.Hold) (res store.Result, err error) {
	err = s.update(ctx, &op.Key, &op, &res)

	return res, err
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (res store.Result, err error) {
	err = s.update(ctx, &key, lookup{}, &res)

	return res, err
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (res store.Result, err error) {
	err = s.update(ctx, &op.Key, &op, &res)

	return res, err
}

// Watch implements [store.Notifier].
func (s *Store) Watch(key store.Key) (changed <-chan struct{}, stop func()) {
	return s.shard(&key).watch(key)
}

// Immediate implements [store.Immediate].
func (s *Store) Immediate() {}

// Len returns the number of records, those included whose retention is over and which have not been removed yet.
func (s *Store) Len() int { return int(s.used.records.Load()) }

// Bytes returns the estimated memory of all records, in bytes.
func (s *Store) Bytes() int64 { return s.used.bytes.Load() }

// lookup is the operation that changes nothing.
type lookup struct{}

// apply performs an operation on a record. The operations are told apart here instead of being methods of an interface, so
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
	default:
		if rec.Expired(now) {
			*rec = store.Record{}
		}

		return false, false
	}
}

func (s *Store) now() time.Time { return s.start.Add(time.Since(s.start)) }

func (s *Store) shard(key *store.Key) *shard { return &s.shards[key[0]%shardCount] }

// update runs an operation that creates no record. Operations and results are large, so they stay where they are.
func (s *Store) update(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}

	return s.shard(key).do(s, key, op, res)
}

// insert runs an operation that may create a record. A full store first gives up what has expired anywhere.
func (s *Store) insert(ctx context.Context, key *store.Key, op any, res *store.Result) error {
	err := s.update(ctx, key, op, res)
	if !errors.Is(err, store.ErrFull) {
		return err
	}

	for i := range s.shards {
		s.shards[i].expireAll(s)
	}

	return s.update(ctx, key, op, res)
}

// reserve counts a new record of the given size, or reports that a bound is reached.
func (s *Store) reserve(size int64) error {
	if s.used.records.Add(1) > s.limits.records {
		s.used.records.Add(-1)

		return fmt.Errorf("memstore: %d records are kept, the bound of WithMaxRecords: %w", s.limits.records, store.ErrFull)
	}

	if s.used.bytes.Add(size) > s.limits.bytes {
		s.used.records.Add(-1)
		s.used.bytes.Add(-size)

		return fmt.Errorf("memstore: %d bytes are kept, the bound of WithMaxBytes: %w", s.limits.bytes, store.ErrFull)
	}

	return nil
}
