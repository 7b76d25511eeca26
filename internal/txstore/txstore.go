package txstore

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Store is a memstore with transactions.
type Store struct {
	committed *memstore.Store

	mu     sync.Mutex
	locks  map[store.Key]chan struct{} // closed when the lock is released
	faults []Fault
	begun  int
}

// Fault is the fate of a commit.
type Fault uint8

// The faults.
const (
	// NoFault commits.
	NoFault Fault = iota
	// Conflict rolls back because of another transaction.
	Conflict
	// Refused rolls back.
	Refused
	// Violation rolls back, because the database does not accept the writes of the handler.
	Violation
	// ReplyLost commits, and the reply is lost.
	ReplyLost
	// RequestLost rolls back, and the reply is lost.
	RequestLost
)

// New returns an empty store.
func New() *Store {
	return &Store{committed: memstore.New(), locks: make(map[store.Key]chan struct{})}
}

// Fail sets the faults of the next commits, in order.
func (s *Store) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults = append(s.faults, faults...)
}

// Begun returns how many transactions were requested.
func (s *Store) Begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.begun
}

func (s *Store) nextFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()

	if len(s.faults) == 0 {
		return NoFault
	}

	fault := s.faults[0]
	s.faults = s.faults[1:]

	return fault
}

// lock waits for the lock of a record.
func (s *Store) lock(ctx context.Context, key store.Key) error {
	for {
		s.mu.Lock()
		held := s.locks[key]

		if held == nil {
			s.locks[key] = make(chan struct{})
			s.mu.Unlock()

			return nil
		}

		s.mu.Unlock()

		select {
		case <-held:
		case <-ctx.Done():
			return store.ErrBusy
		}
	}
}

func (s *Store) unlock(key store.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()

	close(s.locks[key])
	delete(s.locks, key)
}

func locked[Op any](
	ctx context.Context, s *Store, key store.Key, op Op, do func(context.Context, Op) (store.Result, error),
) (store.Result, error) {
	if err := s.lock(ctx, key); err != nil {
		return store.Result{}, err
	}
	defer s.unlock(key)

	return do(ctx, op)
}

// Claim implements [store.Store].
func (s *Store) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Claim)
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Renew)
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Complete)
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return locked(ctx, s, op.Claim.Key, op, s.committed.Release)
}

// Hold implements [store.Store].
func (s *Store) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Hold)
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Resolve)
}

// Forget implements [store.Forgetter].
func (s *Store) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return locked(ctx, s, op.Key, op, s.committed.Forget)
}

// ListUnknown implements [store.Lister]. It lists committed records.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.committed.ListUnknown(ctx)
}

// ListRunning implements [store.Lister]. It lists committed records.
func (s *Store) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.committed.ListRunning(ctx)
}

// Capabilities implements [store.Store]. Operations wait for locks.
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Lister: s, Forgetter: s, Transactional: s}
}

// Lookup implements [store.Inspector]. It reads the committed record.
func (s *Store) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.committed.Lookup(ctx, key)
}

// Begin implements [store.Transactional].
func (s *Store) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	s.mu.Lock()
	s.begun++
	s.mu.Unlock()

	// A database does not notice that the caller has gone.
	ctx = context.WithoutCancel(ctx)

	waiting, done := context.WithTimeout(ctx, wait+time.Millisecond)
	defer done()

	if err := s.lock(waiting, op.Key); err != nil {
		return store.Result{}, nil, err
	}

	seen, err := s.committed.Lookup(ctx, op.Key)
	if err != nil {
		s.unlock(op.Key)

		return store.Result{}, nil, err
	}

	decided := op.Apply(seen.Record, seen.Now)
	res := store.Result{Applied: decided.Applied, Record: decided.Record, Now: seen.Now}

	if !res.Applied {
		s.unlock(op.Key)

		return res, nil, nil
	}

	return res, &transaction{store: s, claim: op}, nil
}
