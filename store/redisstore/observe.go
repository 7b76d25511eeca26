package redisstore

import (
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports what the store does: operations, resends, round trips, waits, sweeps, refused writes, writes to the index and
// repairs of the index. Resends by go-redis itself are not reported. The default is nil: no observer, nothing is measured, and Run logs its
// failures to [slog.Default].
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.report.Observer = observer }
}

// isRefused reports whether err is a server's refusal to write.
func isRefused(err error) bool { return errors.Is(err, store.ErrFull) || refusesWrites(err) }

// waited returns how long a request waited for a batch.
func (r *request) waited() time.Duration {
	if r.boarded.IsZero() { // the request timed out before
		return time.Since(r.entered)
	}

	return r.boarded.Sub(r.entered)
}
