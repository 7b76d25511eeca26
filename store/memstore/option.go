package memstore

import (
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// DefaultMaxRecords is the default of [WithMaxRecords].
	DefaultMaxRecords = 1_000_000
	// DefaultMaxBytes is the default of [WithMaxBytes]: 1 GiB.
	DefaultMaxBytes = 1 << 30
	// DefaultScopeShare is the default of [WithScopeShare]: half of both bounds.
	DefaultScopeShare = 0.5

	// minBytes has room for one record with the longest key.
	minBytes = 4 << 10
	// minUnknownRetention is much longer than a client's retries.
	minUnknownRetention = time.Hour
)

type config struct {
	records, bytes   int64
	share            float64
	unknownRetention time.Duration
	observer         store.Observer
}

// Option configures a Store.
type Option func(*config)

// WithMaxRecords bounds the number of records. Expired records count until they are removed. The default is DefaultMaxRecords. The option
// panics if n is less than 1.
func WithMaxRecords(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("memstore: WithMaxRecords(%d): give 1 or more", n))
	}

	return func(c *config) { c.records = int64(n) }
}

// WithMaxBytes bounds the estimated memory of all records, in bytes: outcomes, readable keys and 256 bytes per record. Method names are
// shared and do not count. The default is DefaultMaxBytes. The option panics if n is less than 4096.
//
// The bound applies to new keys. The outcome of a run is always kept, so runs that end while the store is full may exceed the bound.
func WithMaxBytes(n int64) Option {
	if n < minBytes {
		panic(fmt.Sprintf("memstore: WithMaxBytes(%d): give %d or more", n, minBytes))
	}

	return func(c *config) { c.bytes = n }
}

// WithScopeShare bounds the part of WithMaxRecords and WithMaxBytes that one scope may use, so that one caller cannot fill the store. The
// default is DefaultScopeShare, and 1 means no bound per scope. The option panics unless share is above 0 and at most 1.
//   - Every scope may keep one record, however small its share.
//   - Records with Scope 0 may use all the room, because their callers share a scope on purpose.
func WithScopeShare(share float64) Option {
	if !(share > 0 && share <= 1) { // also true for NaN
		panic(fmt.Sprintf("memstore: WithScopeShare(%v): give more than 0 and up to 1", share))
	}

	return func(c *config) { c.share = share }
}

// WithUnknownRetention sets how long a record is kept that is Running or Unknown and never settled. The time counts from the last claim,
// renewal or hold, and a record is never removed while its owner may be alive. Afterwards the next call with the key runs again, also under
// AtMostOnce. So choose a time much longer than clients retry. The default is 0: the life of the process. The option panics if d is neither
// 0 nor at least an hour.
func WithUnknownRetention(d time.Duration) Option {
	if d != 0 && d < minUnknownRetention {
		panic(fmt.Sprintf("memstore: WithUnknownRetention(%v): give 0, for the life of the process, or %v or more", d, minUnknownRetention))
	}

	return func(c *config) { c.unknownRetention = d }
}

// portion returns a share of a bound, but no less than least.
func portion(bound int64, share float64, least int64) int64 {
	if share == 1 {
		return bound
	}

	return min(bound, max(least, int64(math.Floor(float64(bound)*share))))
}
