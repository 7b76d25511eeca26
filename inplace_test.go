package onlyonce_test

import (
	"context"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// counted counts the operations of every call, by value and in place.
type counted struct {
	*memstore.Store

	byValue, inPlace int
}

func (c *counted) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	c.byValue++

	return c.Store.Claim(ctx, op)
}

func (c *counted) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	c.byValue++

	return c.Store.Complete(ctx, op)
}

// placing is a counted store that decides in place.
type placing struct{ counted }

func (p *placing) Capabilities() store.Capabilities {
	can := p.Store.Capabilities()
	can.Direct = p

	return can
}

func (p *placing) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) error {
	p.inPlace++

	return p.Store.ClaimTo(ctx, op, res)
}

func (p *placing) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) error {
	p.inPlace++

	return p.Store.CompleteTo(ctx, op, res)
}

// plain cannot be compared, as stores with functions in them.
type plain struct {
	*counted

	_ func()
}

func TestEngineDecidesInPlaceWithTheStoreItselfAndNeverPastAWrapper(t *testing.T) {
	t.Parallel()

	wrapper, direct, uncomparable := &counted{Store: memstore.New()}, &placing{counted{Store: memstore.New()}}, &counted{Store: memstore.New()}

	for name, tt := range map[string]struct {
		records store.Store
		counts  *counted
		byValue int
		inPlace int
	}{
		"a wrapper that passes capabilities on": {wrapper, wrapper, 2, 0},
		"a store that decides in place":         {direct, &direct.counted, 0, 2},
		"a wrapper that cannot be compared":     {plain{counted: uncomparable}, uncomparable, 2, 0},
	} {
		var p payments

		do(t, newEngine(t, tt.records), pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		if tt.counts.byValue != tt.byValue || tt.counts.inPlace != tt.inPlace {
			t.Errorf("%s has made %d operations by value and %d in place, want %d and %d",
				name, tt.counts.byValue, tt.counts.inPlace, tt.byValue, tt.inPlace)
		}
	}
}
