// Package reconcile settles the records whose outcome is unknown: it calls the recovery functions of their methods, without waiting for a
// duplicate to do it.
//
// Any number of processes may run it on one store. They look at the records in different orders, and one of them recovers a record at a
// time: see onlyonce.Engine.Recover. Nothing is settled twice, because every settlement is fenced.
//
// # What it finds
//
// It finds what onlyonce.Engine.ListUnknown finds: records that are held, and records whose lease has ended without an outcome. The index
// of a store may lack some of them, such as those of a process that died just after their claim. The store's own sweep finds these: see
// Store.Run of package redisstore. Let it run, too.
//
// # What it asks, and how often
//
//   - A record that a recovery function cannot decide yet is recovered again later, after twice the time each time, up to 5 minutes.
//   - A function that says DidNotHappen while the owner may be alive is called again when the owner is surely dead.
//   - If the functions of a method fail three times in a row, all records of the method wait, twice as long after every further failure, up
//     to 10 minutes. A success ends that.
//   - Records whose function has failed come after the others, so a few records that nobody can settle do not hold up the rest.
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

// Options change how Run works. A field that is zero has its default.
type Options struct {
	// Interval is the time between two looks. Every time is spread over half of it to both sides. The default is 10 seconds; the range is a
	// millisecond to 24 hours.
	Interval time.Duration
	// Concurrency is how many recovery functions work at a time. The default is 8; the range is 1 to 10,000.
	Concurrency int
	// Rate is how many recovery functions this process starts in a second at most. The default is 100; the range is above 0 to 1,000,000.
	Rate float64
	// AttentionAfter is how long a record may be unknown before the engine's observer gets an EventAttention, once for each record and
	// process. The default is 15 minutes; the range is a millisecond to 100 years.
	AttentionAfter time.Duration
	// Report gets the result of every look. It is called by Run, so it must return quickly. Nil reports nothing.
	Report func(Report)
}

// Run settles records until ctx ends, and returns the cause of that. It looks at once, and then after every interval. A store that does not
// answer is a problem of one look: see Report.Err.
//
// Run returns early if it can never work: the engine is nil, an option is out of range, or the store cannot list and settle records, which
// is an error that matches onlyonce.ErrNotSupported.
func Run(ctx context.Context, engine *onlyonce.Engine, opts Options) error {
	if engine == nil {
		return errors.New("reconcile: Run needs an engine that is not nil")
	}

	if !engine.CanResolve() {
		return fmt.Errorf("reconcile: %w: it has no store.Inspector, so records cannot be settled", onlyonce.ErrNotSupported)
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

		report := r.look(ctx)

		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(report.Err, onlyonce.ErrNotSupported):
			return fmt.Errorf("reconcile: %w", report.Err)
		case opts.Report != nil:
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

	return o
}

// validate reports every option that is out of its range.
func (o Options) validate() error {
	const (
		most    = 10_000
		highest = 1_000_000
		day     = 24 * time.Hour
		century = 100 * 365 * day
	)

	var errs []error

	if o.Interval < time.Millisecond || o.Interval > day {
		errs = append(errs, fmt.Errorf("reconcile: Interval is %v: give %v to %v", o.Interval, time.Millisecond, day))
	}

	if o.Concurrency < 1 || o.Concurrency > most {
		errs = append(errs, fmt.Errorf("reconcile: Concurrency is %d: give 1 to %d", o.Concurrency, most))
	}

	if math.IsNaN(o.Rate) || o.Rate <= 0 || o.Rate > highest {
		errs = append(errs, fmt.Errorf("reconcile: Rate is %v: give a number above 0, and at most %d", o.Rate, highest))
	}

	if o.AttentionAfter < time.Millisecond || o.AttentionAfter > century {
		errs = append(errs, fmt.Errorf("reconcile: AttentionAfter is %v: give %v to 100 years", o.AttentionAfter, time.Millisecond))
	}

	return errors.Join(errs...)
}

// spread returns a time between the half of d and one and a half of it, so that several processes do not look at the same time.
func spread(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1) //nolint:gosec // not a secret
}
