package onlyonce_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestRequireRunRefusesEverythingButARun(t *testing.T) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	if err := onlyonce.RequireRun(t.Context()); !errors.Is(err, onlyonce.ErrUnprotected) {
		t.Errorf("outside of a run: %v, want ErrUnprotected", err)
	}

	var inside, derived error

	_, err = engine.Do(t.Context(), onlyonce.Call{Scope: "ann", Method: "pay", Key: "order-1"}, func(ctx context.Context) ([]byte, error) {
		inside = onlyonce.RequireRun(ctx)

		child, cancel := context.WithCancel(ctx)
		defer cancel()

		derived = onlyonce.RequireRun(child)

		return nil, nil
	})
	if err != nil || inside != nil || derived != nil {
		t.Errorf("in a run: %v, in a derived context: %v, Do: %v; want none", inside, derived, err)
	}
}
