// Package trial calls the handlers of the recipes like clients that got no first answer.
package trial

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// Handler is a handler of a recipe.
type Handler func(ctx context.Context) (answer string, err error)

// Call calls a handler, like a client that retries. All calls of a scope have the same key.
func Call(ctx context.Context, engine *onlyonce.Engine, scope string, find onlyonce.RecoverFunc, handle Handler) (onlyonce.Result, error) {
	call := onlyonce.Call{Scope: scope, Method: "handle", Key: "order-7", Recover: find}

	return engine.Do(ctx, call, func(ctx context.Context) ([]byte, error) {
		answer, err := handle(ctx)

		return []byte(answer), err
	})
}

// Twice calls a handler twice with one key. It fails the test unless the rows exist once.
func (d *Database) Twice(t *testing.T, handle Handler, table string) {
	t.Helper()

	var answers [2]string

	for i, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		result, err := Call(t.Context(), d.Engine, "", nil, handle)
		if err != nil || result.Status != want {
			t.Fatalf("call %d: %s, %v, want %s", i+1, result.Status, err, want)
		}

		answers[i] = string(result.Body)
	}

	if answers[0] != answers[1] || answers[0] == "" {
		t.Errorf("the answers are %q", answers)
	}

	d.Rows(t, table, 1)
}

// errLater is an error after the last statement of a handler.
var errLater = errors.New("the handler fails after its last statement")

// FailsOnce calls a handler that fails after its last statement, in a single transaction. It fails the test unless the rows are gone.
func (d *Database) FailsOnce(t *testing.T, handle Handler, table string) {
	t.Helper()

	_, err := Call(t.Context(), d.Engine, "", nil, func(ctx context.Context) (string, error) {
		if _, err := handle(ctx); err != nil {
			t.Error(err)
		}

		return "", errLater
	})
	if !errors.Is(err, errLater) {
		t.Errorf("got %v", err)
	}

	d.Rows(t, table, 0)
}
