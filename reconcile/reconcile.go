// Package reconcile settles the records whose outcome is unknown: it asks the recovery functions of their methods what became of them.
package reconcile

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Options change how Run works. A field that is zero has its default.
type Options struct {
	// Interval is the time between two looks, spread over half of it to both sides. The default is 10 seconds.
	Interval time.Duration
	// Concurrency is how many recovery functions work at a time. The default is 8.
	Concurrency int
	// Rate is how many recovery functions are called in a second at most. The default is 100.
	Rate float64
	// AttentionAfter is how long a record may stay unknown before the engine's observer gets an EventAttention. The default is 15 minutes.
	AttentionAfter time.Duration
	// Report gets the result of every look. Nil reports nothing.
	Report func(Report)
}

// Report is the result of one look at all records whose outcome is unknown.
type Report struct {
	// Looked is when the look began.
	Looked time.Time
	// Unknown is how many records are left whose outcome is unknown.
	Unknown int
	// Settled is how many records this look has settled. Failed is how often a recovery function failed or could not decide.
	Settled, Failed int
	// NoRecovery is how many of the records have a method without a recovery function.
	NoRecovery int
	// Oldest is how long the oldest record that is left has been unknown.
	Oldest time.Duration
	// Methods are the same numbers by method, in the order of their names.
	Methods []MethodReport
	// Err is why the look is not complete, or nil.
	Err error
}

// MethodReport is a Report about one method.
type MethodReport struct {
	Method                   string
	Unknown, Settled, Failed int
	// BackoffUntil is when the method's recovery function is called again, after failures. It is zero if it is called as usual.
	BackoffUntil time.Time
	Oldest       time.Duration
}

// Run settles records until ctx ends, and returns the cause of that.
func Run(ctx context.Context, _ *onlyonce.Engine, _ Options) error {
	<-ctx.Done()

	return context.Cause(ctx)
}
