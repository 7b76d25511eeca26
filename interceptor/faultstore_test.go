package interceptor_test

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

var errLine = errors.New("the line to the store is dead: password=hunter2")

// faultStore is a memstore behind a line on which things go wrong. A hook is called instead of the operation.
type faultStore struct {
	*memstore.Store

	claim    func(ctx context.Context, op store.Claim) (store.Result, error)
	renew    func(ctx context.Context, op store.Renewal) (store.Result, error)
	complete func(ctx context.Context, op store.Completion) (store.Result, error)
	release  func(ctx context.Context, op store.Release) (store.Result, error)
	hold     func(ctx context.Context, op store.Hold) (store.Result, error)

	claims atomic.Int64
}

func newFaultStore() *faultStore { return &faultStore{Store: memstore.New()} }

// down makes the store unreachable.
func (s *faultStore) down() *faultStore {
	s.claim = func(context.Context, store.Claim) (store.Result, error) { return store.Result{}, errLine }

	return s
}

// readOnly makes the store refuse writes. Reads succeed.
func (s *faultStore) readOnly() *faultStore {
	s.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }
	s.complete = func(context.Context, store.Completion) (store.Result, error) { return store.Result{}, errLine }
	s.release = func(context.Context, store.Release) (store.Result, error) { return store.Result{}, errLine }
	s.hold = func(context.Context, store.Hold) (store.Result, error) { return store.Result{}, errLine }

	return s
}

// refusing makes the store refuse every claim with an error.
func (s *faultStore) refusing(err error) *faultStore {
	s.claim = func(context.Context, store.Claim) (store.Result, error) { return store.Result{}, err }

	return s
}

// damaging changes the outcomes that claims are answered with.
func (s *faultStore) damaging(damage func([]byte) []byte) *faultStore {
	s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
		res, err := s.Store.Claim(ctx, op)
		if res.Record.State == store.Completed {
			res.Record.Outcome = damage(append([]byte(nil), res.Record.Outcome...))
		}

		return res, err
	}

	return s
}

func (s *faultStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	s.claims.Add(1)

	if s.claim != nil {
		return s.claim(ctx, op)
	}

	return s.Store.Claim(ctx, op)
}

func (s *faultStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	if s.renew != nil {
		return s.renew(ctx, op)
	}

	return s.Store.Renew(ctx, op)
}

func (s *faultStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if s.complete != nil {
		return s.complete(ctx, op)
	}

	return s.Store.Complete(ctx, op)
}

func (s *faultStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	if s.release != nil {
		return s.release(ctx, op)
	}

	return s.Store.Release(ctx, op)
}

func (s *faultStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	if s.hold != nil {
		return s.hold(ctx, op)
	}

	return s.Store.Hold(ctx, op)
}
