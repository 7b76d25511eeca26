package onlyonce

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/quota"
)

// Limits bound what an engine holds and how long it waits for its store. A field that is zero has its default. [New] refuses a value
// outside of its range. Ranges include their ends. [Engine.Stats] shows what is used.
type Limits struct {
	// MaxDetached is how many runs may go on after their callers have gone. At the limit, new keyed calls are rejected with ReasonStoreFull
	// before they claim, and a run whose caller leaves is cancelled with ErrTooManyDetached. The default is 1,000; the range is 1 to
	// 1,000,000,000.
	MaxDetached int
	// MaxWaitersPerKey and MaxWaiters are how many duplicates may wait for running calls, per key and in all. Beyond them a duplicate is
	// rejected with ReasonInProgress at once. The defaults are 256 and 10,000; the range is 1 to 1,000,000,000.
	MaxWaitersPerKey, MaxWaiters int
	// ScopeShare is the part of MaxDetached and of MaxWaiters that the calls of one scope may use. So one caller cannot use them up. The
	// default is 0.5; the range is above 0 to 1. With 1, each scope may use all. The calls of the empty scope may always use all.
	ScopeShare float64
	// MaxPending and MaxPendingBytes bound the settlements that the store has not acknowledged and that are tried again in the
	// background. MaxPending is their number, MaxPendingBytes the memory that they keep. At a limit, new keyed calls are rejected with
	// ReasonStoreUnavailable before they claim, and calls with FailOpen run without protection. The defaults are 10,000 and 256 MiB; the
	// ranges are 1 to 1,000,000,000 and 1 byte to 1 TiB.
	MaxPending      int
	MaxPendingBytes int64
	// StoreTimeout bounds one operation of a store that can block. A claim is tried three times at most. So the store counts as down after
	// three times StoreTimeout, or after half of the time to the call's deadline if that is less. The default is 2 seconds; the range is a
	// millisecond to 24 hours.
	StoreTimeout time.Duration
	// SettleTimeout is how long the caller of a run waits while the outcome cannot be stored. The wait is shorter if the caller's deadline is
	// near. After the wait the caller gets its answer with StatusUnrecorded, or ReasonLeaseLost under ExactlyOnce, and the engine goes on
	// writing in the background. The default is 10 seconds; the range is a millisecond to 24 hours.
	SettleTimeout time.Duration
	// RecoverTimeout bounds one call of a recovery function. The default is 5 seconds; the range is a millisecond to 24 hours.
	RecoverTimeout time.Duration
}

const (
	// maxCount fits 32 bits.
	maxCount = 1_000_000_000
	maxBytes = 1 << 40
)

func (l Limits) over(wider Limits) Limits {
	return Limits{
		MaxDetached:      cmp.Or(l.MaxDetached, wider.MaxDetached),
		MaxWaitersPerKey: cmp.Or(l.MaxWaitersPerKey, wider.MaxWaitersPerKey),
		MaxWaiters:       cmp.Or(l.MaxWaiters, wider.MaxWaiters),
		ScopeShare:       cmp.Or(l.ScopeShare, wider.ScopeShare),
		MaxPending:       cmp.Or(l.MaxPending, wider.MaxPending),
		MaxPendingBytes:  cmp.Or(l.MaxPendingBytes, wider.MaxPendingBytes),
		StoreTimeout:     cmp.Or(l.StoreTimeout, wider.StoreTimeout),
		SettleTimeout:    cmp.Or(l.SettleTimeout, wider.SettleTimeout),
		RecoverTimeout:   cmp.Or(l.RecoverTimeout, wider.RecoverTimeout),
	}
}

func builtinLimits() Limits {
	return Limits{
		MaxDetached:      1_000,
		MaxWaitersPerKey: 256,
		MaxWaiters:       10_000,
		ScopeShare:       0.5,
		MaxPending:       10_000,
		MaxPendingBytes:  256 << 20,
		StoreTimeout:     2 * time.Second,
		SettleTimeout:    10 * time.Second,
		RecoverTimeout:   5 * time.Second,
	}
}

// quota bounds what all scopes and each scope use of a limit.
func (l Limits) quota(limit int) *quota.Quota {
	return quota.New(int64(limit), max(int64(float64(limit)*l.ScopeShare), 1))
}

// validate reports every limit that is outside of its range. No field is unset.
func (l Limits) validate() error {
	c := complaints{about: "invalid limits"}

	within(&c, "MaxDetached", l.MaxDetached, 1, maxCount)
	within(&c, "MaxWaitersPerKey", l.MaxWaitersPerKey, 1, maxCount)
	within(&c, "MaxWaiters", l.MaxWaiters, 1, maxCount)
	within(&c, "MaxPending", l.MaxPending, 1, maxCount)
	within(&c, "MaxPendingBytes", l.MaxPendingBytes, 1, maxBytes)
	within(&c, "StoreTimeout", l.StoreTimeout, minSpan, maxSpan)
	within(&c, "SettleTimeout", l.SettleTimeout, minSpan, maxSpan)
	within(&c, "RecoverTimeout", l.RecoverTimeout, minSpan, maxSpan)

	if !(l.ScopeShare > 0 && l.ScopeShare <= 1) { // NaN fails every comparison
		c.addf("ScopeShare is %v: give a number above 0, and at most 1", l.ScopeShare)
	}

	return c.join()
}

// complaints are the problems of a policy, of limits or of key rules.
type complaints struct {
	about string
	errs  []error
}

func (c *complaints) addf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("onlyonce: "+c.about+": "+format, args...))
}

func (c *complaints) join() error { return errors.Join(c.errs...) }

// within complains about a value that is outside of its range.
func within[T cmp.Ordered](c *complaints, name string, value, low, high T) {
	if value < low || value > high {
		c.addf("%s is %v: give %v to %v", name, value, low, high)
	}
}

// choice complains about a value beyond the last choice.
func choice[T ~uint8](c *complaints, name string, value, last T, choices string) {
	if value > last {
		c.addf("%s is %v: give %s", name, value, choices)
	}
}
