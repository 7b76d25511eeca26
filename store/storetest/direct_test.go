package storetest

import (
	"context"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

// placed decides in place with the methods of a store, and changes what comes of it.
type placed struct {
	store  *mapStore
	before func(op *store.Claim)
	after  func(res *store.Result, err error)
}

func (p placed) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) error {
	if p.before != nil {
		p.before(op)
	}

	got, err := p.store.Claim(ctx, *op)

	return p.give(res, got, err)
}

func (p placed) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) error {
	got, err := p.store.Complete(ctx, *op)

	return p.give(res, got, err)
}

func (p placed) give(res *store.Result, got store.Result, err error) error {
	before := *res
	*res = got

	if p.after != nil {
		if err == nil {
			before = got
		}

		*res = before
		p.after(res, err)
	}

	return err
}

// decidesInPlace lets a store decide in place, in its own way.
func decidesInPlace(before func(op *store.Claim), after func(res *store.Result, err error)) func(s *mapStore) {
	return func(s *mapStore) {
		can := s.can
		s.can = func(s *mapStore) store.Capabilities {
			all := can(s)
			all.Direct = placed{s, before, after}

			return all
		}
	}
}

func TestAWholeStoreThatDecidesInPlacePasses(t *testing.T) {
	t.Parallel()

	direct := func() store.Store {
		s := newMapStore()
		decidesInPlace(nil, nil)(s)

		return s
	}

	for name, messages := range failures(t, direct) {
		t.Errorf("%s: %q", name, messages)
	}
}

func directBugs() []bug {
	return []bug{
		{"a result in place is not applied", inPlace, decidesInPlace(nil, func(res *store.Result, _ error) { res.Applied = false })},
		{"a result in place has another record", inPlace, decidesInPlace(nil, func(res *store.Result, _ error) { res.Record.Fence++ })},
		{"a result in place has an old receipt", inPlace, decidesInPlace(nil, func(res *store.Result, _ error) { res.Receipt = "r" })},
		{"an error in place leaves an old result", inPlace, decidesInPlace(nil, func(*store.Result, error) {})},
		{"a claim in place changes the claim", inPlace, decidesInPlace(func(op *store.Claim) { op.Method = "another" }, nil)},
	}
}
