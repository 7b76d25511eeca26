package wires_test

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

var errLine = errors.New("the line to the store is dead: password=hunter2")

// faultStore is a store in memory behind a line on which things go wrong. A hook is called instead of the operation.
type faultStore struct {
	*memstore.Store

	claim    func(ctx context.Context, op store.Claim) (store.Result, error)
	complete func(ctx context.Context, op store.Completion) (store.Result, error)
	deaf     bool // no write but claims arrives
}

// down is a store that cannot be reached.
func down() *faultStore { return refusing(errLine) }

// refusing is a store that refuses every claim with an error.
func refusing(err error) *faultStore {
	return &faultStore{
		Store: memstore.New(), claim: func(context.Context, store.Claim) (store.Result, error) { return store.Result{}, err },
	}
}

// readOnly is a store that accepts claims and refuses all later writes.
func readOnly() *faultStore { return &faultStore{Store: memstore.New(), deaf: true} }

// damaging is a store that gives back half of each outcome.
func damaging() *faultStore {
	s := &faultStore{Store: memstore.New()}
	s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
		res, err := s.Store.Claim(ctx, op)
		if res.Record.State == store.Completed {
			res.Record.Outcome = res.Record.Outcome[:len(res.Record.Outcome)/2]
		}

		return res, err
	}

	return s
}

// swapping is a store that returns the outcome of the first record read for every record.
func swapping() *faultStore {
	var first []byte

	s := &faultStore{Store: memstore.New()}
	s.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
		res, err := s.Store.Claim(ctx, op)
		if res.Record.State == store.Completed {
			if first == nil {
				first = res.Record.Outcome
			}

			res.Record.Outcome = first
		}

		return res, err
	}

	return s
}

// overtaking is a store in which another run overtakes every run, and is still running.
func overtaking() *faultStore {
	s := &faultStore{Store: memstore.New()}
	s.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
		res, err := s.Store.Lookup(ctx, op.Key)
		res.Record.Token[0]++
		res.Record.Fence++
		res.Record.LeaseUntil = time.Now().Add(time.Hour)

		return res, err
	}

	return s
}

// Capabilities leaves out abilities that bypass the hooks.
func (s *faultStore) Capabilities() store.Capabilities {
	c := s.Store.Capabilities()
	c.Direct, c.Home = nil, nil

	return c
}

// Claim implements [store.Store].
func (s *faultStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	if s.claim != nil {
		return s.claim(ctx, op)
	}

	return s.Store.Claim(ctx, op)
}

// Complete implements [store.Store].
func (s *faultStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	switch {
	case s.deaf:
		return store.Result{}, errLine
	case s.complete != nil:
		return s.complete(ctx, op)
	default:
		return s.Store.Complete(ctx, op)
	}
}

// Renew implements [store.Store].
func (s *faultStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	if s.deaf {
		return store.Result{}, errLine
	}

	return s.Store.Renew(ctx, op)
}

// Release implements [store.Store].
func (s *faultStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	if s.deaf {
		return store.Result{}, errLine
	}

	return s.Store.Release(ctx, op)
}

// Hold implements [store.Store].
func (s *faultStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	if s.deaf {
		return store.Result{}, errLine
	}

	return s.Store.Hold(ctx, op)
}
