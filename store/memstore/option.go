package memstore

import (
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// DefaultMaxRecords is the bound on records where none is given.
	DefaultMaxRecords = 1_000_000
	// DefaultMaxBytes is the bound on estimated memory, in bytes, where none is given: 1 GiB.
	DefaultMaxBytes = 1 << 30
	// DefaultScopeShare is the part of both bounds that one scope may use where none is given.
	DefaultScopeShare = 0.5

	// minBytes has room for one record with the longest key, at least.
	minBytes = 4 << 10
	// minUnknownRetention is far longer than a client's retries.
	minUnknownRetention = time.Hour
)

type config struct {
	records, bytes   int64
	share            float64
	unknownRetention time.Duration
	observer         store.Observer
}

// Option changes a Store under construction.
type Option func(*config)

// WithMaxRecords bounds the number of records, live and not yet removed; the default is DefaultMaxRecords. It panics
// if n is below 1.
func WithMaxRecords(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("memstore: WithMaxRecords(%d): give 1 or more", n))
	}

	return func(c *config) { c.records = int64(n) }
}

// WithMaxBytes bounds the memory of all records, as estimated by their outcomes, their readable keys and a fixed overhead
// each; the default is DefaultMaxBytes. Method names are shared and not counted. The bound is applied to new keys. An
// outcome is always kept once its handler has run, so the outcomes of calls that are running when the bound is reached may
// exceed it. It panics if n is below 4096, which is one record.
func WithMaxBytes(n int64) Option {
	if n < minBytes {
		panic(fmt.Sprintf("memstore: WithMaxBytes(%d): give %d or more", n, minBytes))
	}

	return func(c *config) { c.bytes = n }
}

// WithScopeShare bounds the part of WithMaxRecords and of WithMaxBytes that the records of one scope may use, so that one caller
// cannot fill the store; the default is DefaultScopeShare. A scope may always keep one record. Records that were claimed with Scope 0
// may use the whole, because their callers share a scope on purpose. 1 means that every scope may. It panics if share is not above 0
// and up to 1.
func WithScopeShare(share float64) Option {
	if !(share > 0 && share <= 1) { // and so is NaN
		panic(fmt.Sprintf("memstore: WithScopeShare(%v): give more than 0 and up to 1", share))
	}

	return func(c *config) { c.share = share }
}

// WithUnknownRetention is how long a record stays that nobody settles: one that is running, or whose outcome is unknown. It
// counts from the last claim, renewal or hold, and the record stays in any case while its owner may be alive. After it the key is
// free, and its next call runs again, also under AT_MOST_ONCE: give far more than clients go on retrying. The default is 0, which
// means for the life of the process. It panics if d is neither 0 nor an hour or more.
func WithUnknownRetention(d time.Duration) Option {
	if d != 0 && d < minUnknownRetention {
		panic(fmt.Sprintf("memstore: WithUnknownRetention(%v): give 0, for the life of the process, or %v or more", d, minUnknownRetention))
	}

	return func(c *config) { c.unknownRetention = d }
}

// portion is a part of a bound, and at least something.
func portion(bound int64, share float64, least int64) int64 {
	if share == 1 {
		return bound
	}

	return min(bound, max(least, int64(math.Floor(float64(bound)*share))))
}
