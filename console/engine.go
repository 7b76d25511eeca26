package console

import (
	"context"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce"
)

// listRunning yields the records that run under a lease.
func listRunning(ctx context.Context, engine *onlyonce.Engine) iter.Seq2[onlyonce.Record, error] {
	if e, ok := any(engine).(interface {
		ListRunning(ctx context.Context) iter.Seq2[onlyonce.Record, error]
	}); ok {
		return e.ListRunning(ctx)
	}

	return func(yield func(onlyonce.Record, error) bool) {
		yield(onlyonce.Record{}, fmt.Errorf("%w: running records cannot be listed", onlyonce.ErrNotSupported))
	}
}

// settler is who has settled a record, and why.
func settler(*onlyonce.Record) (who, reason string) { return "", "" }

// request is the request that the record keeps.
func request(*onlyonce.Record) []byte { return nil }

// trace is the trace of the run.
func trace(*onlyonce.Record) string { return "" }
