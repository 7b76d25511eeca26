package operate

import (
	"context"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce"
)

// running yields the records that run under a lease.
func running(ctx context.Context, engine *onlyonce.Engine) iter.Seq2[onlyonce.Record, error] {
	if e, ok := any(engine).(interface {
		ListRunning(ctx context.Context) iter.Seq2[onlyonce.Record, error]
	}); ok {
		return e.ListRunning(ctx)
	}

	return func(yield func(onlyonce.Record, error) bool) {
		yield(onlyonce.Record{}, fmt.Errorf("%w: running records cannot be listed", onlyonce.ErrNotSupported))
	}
}

// by gives a finding the name and the reason of a decision.
func by(found onlyonce.Finding, d *Decision) onlyonce.Finding {
	if f, ok := any(found).(interface {
		By(who, reason string) onlyonce.Finding
	}); ok {
		return f.By(d.Who, d.Reason)
	}

	return found
}
