package redisstore

import (
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports to an observer what the store does: operations, round trips, waits, sweeps, refused writes, and writes to the index
// and repairs of it. It does not report what go-redis sends again by itself. Nil means no observer: nothing is measured then, and Run logs
// its failures.
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.report.Observer = observer }
}

// isRefused recognises the refusal of a server to write.
func isRefused(err error) bool { return errors.Is(err, store.ErrFull) || refusesWrites(err) }

// waited is how long a request has waited for a place in a batch.
func (r *request) waited() time.Duration {
	if r.boarded.IsZero() { // its time was over before
		return time.Since(r.entered)
	}

	return r.boarded.Sub(r.entered)
}
