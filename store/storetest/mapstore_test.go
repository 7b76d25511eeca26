package storetest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// mapStore is the least store that keeps the contract, and does so unless one of its parts is replaced.
type mapStore struct {
	mu      sync.Mutex
	records map[store.Key]store.Record
	watches map[store.Key][]chan struct{}

	// decide is the transition of a record by *store.Claim, *store.Renewal and so on, or nil for Lookup.
	decide func(op any, rec store.Record, now time.Time) store.Transition
	// gives is the receipt of a run that has its lease, or nil.
	gives func(rec *store.Record) any
	// can is what the store reports that it can do.
	can func(s *mapStore) store.Capabilities
	// keep says how long an unsettled record stays that is written now.
	keep func(rec *store.Record, life time.Duration, now time.Time)
	// unknown and running decide which records are listed.
	unknown, running func(rec *store.Record, now time.Time) bool
	// pause comes between the reading of a record and the writing of it. With it the store is not atomic.
	pause func()
	// wakes says which records wake those who watch.
	wakes func(rec *store.Record) bool
	// unwatch ends one watch.
	unwatch func(s *mapStore, key store.Key, ch chan struct{})
	// cancelled is what an operation does whose context has ended, and is told of the key.
	cancelled func(s *mapStore, key store.Key, err error) error
}

func newMapStore() *mapStore {
	return &mapStore{
		records: make(map[store.Key]store.Record),
		watches: make(map[store.Key][]chan struct{}),
		decide:  decide,
		keep:    (*store.Record).KeepUnsettled,
		gives:   func(*store.Record) any { return nil },
		can: func(s *mapStore) store.Capabilities {
			return store.Capabilities{Inspector: s, Lister: s, Forgetter: s, Notifier: s, Immediate: true}
		},
		unknown: isUnknown,
		running: (*store.Record).LeaseAlive,
		wakes:   func(rec *store.Record) bool { return rec.State != store.Running },
		unwatch: func(s *mapStore, key store.Key, ch chan struct{}) {
			s.watches[key] = slices.DeleteFunc(s.watches[key], func(c chan struct{}) bool { return c == ch })
		},
		cancelled: func(_ *mapStore, _ store.Key, err error) error { return err },
	}
}

// decide is the transition table.
func decide(op any, rec store.Record, now time.Time) store.Transition {
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
	default:
		if rec.Expired(now) {
			rec = store.Record{}
		}

		return store.Transition{Record: rec}
	}
}

func (s *mapStore) do(ctx context.Context, key store.Key, op any) (store.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if ctx.Err() != nil {
		return store.Result{}, s.cancelled(s, key, ctx.Err())
	}

	now, rec := time.Now(), s.records[key]

	if s.pause != nil {
		s.mu.Unlock()
		s.pause()
		s.mu.Lock()
	}

	decided := s.decide(op, rec, now)
	if life := s.can(s).UnknownRetention; life > 0 && decided.Changed && decided.Applied {
		s.keep(&decided.Record, life, now)
	}

	if decided.Changed {
		s.records[key] = decided.Record

		if s.wakes(&decided.Record) {
			for _, ch := range s.watches[key] {
				close(ch)
			}

			delete(s.watches, key)
		}
	}

	res := store.Result{Applied: decided.Applied, Record: decided.Record, Now: now}

	if res.Applied && res.Record.State == store.Running {
		res.Receipt = s.gives(&res.Record)
	}

	return res, nil
}

func (s *mapStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *mapStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *mapStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *mapStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return s.do(ctx, op.Claim.Key, &op)
}

func (s *mapStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *mapStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.do(ctx, key, nil)
}

func (s *mapStore) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func (s *mapStore) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return s.do(ctx, op.Key, &op)
}

func isUnknown(rec *store.Record, now time.Time) bool {
	res := store.Result{Record: *rec, Now: now}

	return res.Unknown()
}

func (s *mapStore) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.unknown)
}

func (s *mapStore) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.running)
}

func (s *mapStore) list(ctx context.Context, wanted func(rec *store.Record, now time.Time) bool) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(store.Listed{}, err)

			return
		}

		s.mu.Lock()
		all := maps.Clone(s.records)
		s.mu.Unlock()

		now := time.Now()

		for key := range all {
			rec := all[key]
			if wanted(&rec, now) && !rec.Expired(now) && !yield(store.Listed{Key: key, Result: store.Result{Record: rec, Now: now}}, nil) {
				return
			}
		}
	}
}

func (s *mapStore) Capabilities() store.Capabilities { return s.can(s) }

func (s *mapStore) Watch(key store.Key) (changed <-chan struct{}, stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()

	ch := make(chan struct{})
	s.watches[key] = append(s.watches[key], ch)

	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.unwatch(s, key, ch)
	}
}
