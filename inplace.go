package onlyonce

import (
	"context"
	"reflect"

	"github.com/onlyonce-go/onlyonce/store"
)

// directOf returns the store as the engine uses it for claims and completions. It works in place if the store itself can.
func directOf(s store.Store, reported store.Direct) store.Direct {
	if reported != nil && reflect.ValueOf(s).Comparable() && any(reported) == any(s) {
		return reported
	}

	return byValue{s}
}

// byValue adapts a store that cannot work in place.
type byValue struct{ records store.Store }

func (b byValue) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) (err error) {
	*res, err = b.records.Claim(ctx, *op)

	return err //nolint:wrapcheck // judged by the caller
}

func (b byValue) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) (err error) {
	*res, err = b.records.Complete(ctx, *op)

	return err //nolint:wrapcheck // judged by the caller
}
