package chaos_test

import (
	"context"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// tableStore is the transition table over a map, so that single rules of it can be broken.
type tableStore struct {
	mu      sync.Mutex
	records map[store.Key]store.Record
	// broken decides about an operation, which it may change, and reports whether it has. Otherwise the table decides.
	broken func(op any, rec *store.Record, now time.Time) (store.Transition, bool)
}

func newTableStore(broken func(any, *store.Record, time.Time) (store.Transition, bool)) *tableStore {
	return &tableStore{records: make(map[store.Key]store.Record), broken: broken}
}

// asTheTable breaks nothing.
func asTheTable(any, *store.Record, time.Time) (store.Transition, bool) {
	return store.Transition{}, false
}

func (s *tableStore) do(ctx context.Context, key store.Key, op any) (store.Result, error) {
	if ctx.Err() != nil {
		return store.Result{}, ctx.Err()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	now, rec := time.Now(), s.records[key]

	decided, ok := s.broken(op, &rec, now)
	if !ok {
		decided = byTheTable(op, rec, now)
	}

	if decided.Changed {
		s.records[key] = decided.Record
	}

	return store.Result{Applied: decided.Applied, Record: decided.Record, Now: now}, nil
}

func byTheTable(op any, rec store.Record, now time.Time) store.Transition {
	switch op := op.(type) {
	case *store.Claim:
		return op.Apply(rec, now)
	case *store.Renewal:
		return op.Apply(rec, now)
	case *store.Completion:
		return op.Apply(rec, now)
	case *store.Release:
		return op.Apply(rec, now)
	case *store.Hold:
		return op.Apply(rec, now)
	case *store.Resolution:
		return op.Apply(rec, now)
	case *store.Forgetting:
		return op.Apply(rec, now)
	default: // a lookup
		return store.Transition{Record: rec}
	}
}

func (s *tableStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return s.do(ctx, op.Claim.Key, &op)
}

func (s *tableStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.do(ctx, key, nil)
}

func (s *tableStore) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *tableStore) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Forgetter: s}
}
