package operate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/bank.Payments/Pay"

var errLine = errors.New("the line to the bank broke")

func newEngine(t *testing.T, s store.Store, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	engine, err := onlyonce.New(s, append([]onlyonce.Option{onlyonce.WithObserver(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	return engine
}

// unknown makes a record with an unknown outcome by a handler that fails.
func unknown(t *testing.T, engine *onlyonce.Engine, method, key string) onlyonce.Record {
	t.Helper()

	_, _ = engine.Do(t.Context(), onlyonce.Call{Method: method, Key: key}, func(context.Context) ([]byte, error) { return nil, errLine })

	return lookup(t, engine, method, key)
}

func lookup(t *testing.T, engine *onlyonce.Engine, method, key string) onlyonce.Record {
	t.Helper()

	rec, err := engine.Lookup(t.Context(), onlyonce.Identity{Method: method, Key: key})
	if err != nil {
		t.Fatal(err)
	}

	return rec
}

// held is a record that was read now, and whose outcome has been unknown for an age.
func held(age time.Duration) onlyonce.Record {
	return onlyonce.Record{
		Record: store.Record{
			State: store.Unknown, Token: store.Token{1}, Fence: 3, EndedAt: now.Add(-age), Method: method, Retention: time.Hour,
		},
		LookedUpAt: now, Unknown: true,
	}
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
