package interceptortest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

var errStoreDown = errors.New("interceptortest: the store is down")

// faultyStore is a store that can be switched off.
type faultyStore struct {
	inner store.Store
	down  *atomic.Bool
	open  *openTransactions
}

func newFaultyStore(inner store.Store) faultyStore {
	return faultyStore{inner: inner, down: new(atomic.Bool), open: new(openTransactions)}
}

// die switches the store off for a server that has died. The database ends its transactions.
func (s faultyStore) die() {
	s.down.Store(true)

	for _, tx := range s.open.take() {
		_, _ = tx.Rollback()
	}
}

// openTransactions are the transactions that have begun and may be open.
type openTransactions struct {
	mu  sync.Mutex
	all []*faultyTransaction
}

func (o *openTransactions) add(tx *faultyTransaction) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.all = append(o.all, tx)
}

func (o *openTransactions) take() []*faultyTransaction {
	o.mu.Lock()
	defer o.mu.Unlock()

	all := o.all
	o.all = nil

	return all
}

func (s faultyStore) fails() error {
	if s.down.Load() {
		return errStoreDown
	}

	return nil
}

// Claim implements [store.Store].
func (s faultyStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	if err := s.fails(); err != nil {
		return store.Result{}, err
	}

	return s.inner.Claim(ctx, op)
}

// Renew implements [store.Store].
func (s faultyStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	if err := s.fails(); err != nil {
		return store.Result{}, err
	}

	return s.inner.Renew(ctx, op)
}

// Complete implements [store.Store].
func (s faultyStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if err := s.fails(); err != nil {
		return store.Result{}, err
	}

	return s.inner.Complete(ctx, op)
}

// Release implements [store.Store].
func (s faultyStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	if err := s.fails(); err != nil {
		return store.Result{}, err
	}

	return s.inner.Release(ctx, op)
}

// Hold implements [store.Store].
func (s faultyStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	if err := s.fails(); err != nil {
		return store.Result{}, err
	}

	return s.inner.Hold(ctx, op)
}

// Capabilities implements [store.Store].
func (s faultyStore) Capabilities() store.Capabilities {
	can := s.inner.Capabilities()
	can.Direct = nil

	if can.Home == nil {
		can.Home = s.down // identifies this store
	}

	if can.Transactional != nil {
		can.Transactional = faultyTransactions{can.Transactional, s}
	}

	return can
}

// faultyTransactions are the transactions of a faultyStore.
type faultyTransactions struct {
	store.Transactional

	store faultyStore
}

// Begin implements [store.Transactional].
func (s faultyTransactions) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if err := s.store.fails(); err != nil {
		return store.Result{}, nil, err
	}

	res, tx, err := s.Transactional.Begin(ctx, op, wait)
	if tx != nil {
		begun := &faultyTransaction{Transaction: tx, store: s.store}
		s.store.open.add(begun)
		tx = begun
	}

	return res, tx, err
}

// faultyTransaction is a transaction of a faultyStore. It cannot commit while the store is down.
type faultyTransaction struct {
	store.Transaction

	store faultyStore
	ended atomic.Bool
}

// Complete implements [store.Transaction].
func (t *faultyTransaction) Complete(ctx context.Context, op store.Completion, undo bool) (store.Result, error) {
	if err := t.store.fails(); err != nil {
		_, _ = t.Rollback() // the database does so by itself when the connection is gone

		return store.Result{}, err
	}

	if t.ended.Swap(true) {
		return store.Result{}, errStoreDown
	}

	return t.Transaction.Complete(ctx, op, undo)
}

// Rollback implements [store.Transaction].
func (t *faultyTransaction) Rollback() (held bool, err error) {
	if t.ended.Swap(true) {
		return false, nil
	}

	return t.Transaction.Rollback()
}
