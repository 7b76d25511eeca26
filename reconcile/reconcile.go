// Package reconcile settles records with an unknown outcome, without waiting for a duplicate call. It calls the recovery functions of their
// methods.
//
// Any number of processes may run it on one store. They process the records in random order, and one process recovers a record at a time:
// see onlyonce.Engine.Recover. Every settlement is fenced, so no record is settled twice.
//
// # Which records it finds
//
// Run recovers the records of onlyonce.Engine.ListUnknown: held records, and records whose lease has ended without an outcome. The index of
// a store may lack some records, such as those of a process that died just after the claim. The store's own sweep repairs the index: see
// Store.Run of package redisstore. Run both.
//
// # When it calls a recovery function again
//
//   - If the function could not decide, Run calls it again later. The delay doubles each time, up to 5 minutes.
//   - If the function returned DidNotHappen while the owner may be alive, Run calls it again when the owner is certainly dead.
//   - If the recovery function of a method fails three times in a row, all records of the method wait. The delay doubles with every
//     failure, up to 10 minutes. A success ends it.
//   - Records whose recovery failed come last, so they do not hold up the others.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// The defaults of Options.
const (
	DefaultInterval       = 10 * time.Second
	DefaultConcurrency    = 8
	DefaultRate           = 100
	DefaultAttentionAfter = 15 * time.Minute
)

// Options configures Run. Zero fields have their defaults.
type Options struct {
	// Interval is the time between two passes. Each wait is random, between 0.5 and 1.5 intervals. The default is 10 seconds, the range 1 ms
	// to 24 hours.
	Interval time.Duration
	// Concurrency is the maximum number of concurrent recovery functions. The default is 8, the range 1 to 10,000.
	Concurrency int
	// Rate is the maximum number of recovery functions started per second by this process. The default is 100, the range above 0 to 1,000,000.
	Rate float64
	// AttentionAfter is how long a record may be unknown before the engine's observer gets EventAttention, once per record and process. The
	// default is 15 minutes, the range 1 ms to 100 years.
	AttentionAfter time.Duration
	// Report receives the result of every pass. Run waits for it, so it must return quickly. Nil logs Report.Err to [slog.Default]: at level
	// warn if the pass before did not have the same error, and at level info for the first complete pass after errors.
	Report func(Report)
}

// Run recovers records until ctx ends, and returns context.Cause(ctx). The first pass starts at once, the others follow at intervals. If
// the store does not answer, Run continues: see Report.Err.
//
// Run returns early with an error if it can never work: the engine is nil, an option is out of range, or the store cannot list and settle
// records. The last error matches onlyonce.ErrNotSupported.
func Run(ctx context.Context, engine *onlyonce.Engine, opts Options) error {
	if engine == nil {
		return errors.New("reconcile: the engine is nil")
	}

	if !engine.CanResolve() {
		return fmt.Errorf("reconcile: %w: the store is not a store.Inspector, so records cannot be settled", onlyonce.ErrNotSupported)
	}

	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return err
	}

	r := &reconciler{engine: engine, opts: opts, methods: make(map[string]*backoff), memory: make(map[key]*remembered)}
	timer := time.NewTimer(0)

	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}

		report := r.pass(ctx)

		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(report.Err, onlyonce.ErrNotSupported):
			return fmt.Errorf("reconcile: %w", report.Err)
		default:
			opts.Report(report)
		}

		timer.Reset(spread(opts.Interval))
	}
}

func (o Options) withDefaults() Options {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}

	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}

	if o.Rate == 0 {
		o.Rate = DefaultRate
	}

	if o.AttentionAfter == 0 {
		o.AttentionAfter = DefaultAttentionAfter
	}

	if o.Report == nil {
		o.Report = new(failureLog).report
	}

	return o
}

// validate reports every option that is out of range.
func (o Options) validate() error {
	const (
		most    = 10_000
		highest = 1_000_000
		day     = 24 * time.Hour
		century = 100 * 365 * day
	)

	var errs []error

	if o.Interval < time.Millisecond || o.Interval > day {
		errs = append(errs, fmt.Errorf("reconcile: Interval is %v: must be %v to %v", o.Interval, time.Millisecond, day))
	}

	if o.Concurrency < 1 || o.Concurrency > most {
		errs = append(errs, fmt.Errorf("reconcile: Concurrency is %d: must be 1 to %d", o.Concurrency, most))
	}

	if math.IsNaN(o.Rate) || o.Rate <= 0 || o.Rate > highest {
		errs = append(errs, fmt.Errorf("reconcile: Rate is %v: must be above 0 and at most %d", o.Rate, highest))
	}

	if o.AttentionAfter < time.Millisecond || o.AttentionAfter > century {
		errs = append(errs, fmt.Errorf("reconcile: AttentionAfter is %v: must be %v to 100 years", o.AttentionAfter, time.Millisecond))
	}

	return errors.Join(errs...)
}

// spread returns a random duration between d/2 and 3d/2, so that processes do not start a pass at the same time.
func spread(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1) //nolint:gosec // not a secret
}
