package reconcile

import (
	"cmp"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// The decisions of a reconciler are pure functions.

const (
	// patienceMost is the longest delay before a recovery that could not decide is repeated.
	patienceMost = 5 * time.Minute
	// failuresAllowed is the number of consecutive failures that do not delay a method: single records may be beyond recovery.
	failuresAllowed = 3
	// backoffMost is the longest delay of a method.
	backoffMost = 10 * time.Minute
)

// result is the result of recovering one record.
type result uint8

const (
	resultSettled    result = iota // this process settled the record
	resultGone                     // the record was settled or removed elsewhere
	resultStill                    // the recovery function could not decide
	resultEarly                    // the effect did not happen, but the owner may be alive
	resultElsewhere                // another process recovers the record
	resultFailed                   // the recovery function or the store failed
	resultNoRecovery               // the method has no recovery function
	resultStopped                  // Run is ending
)

// resultOf converts the return values of Engine.Recover. Ended reports that the context of Run has ended.
func resultOf(found onlyonce.Finding, err error, ended bool) result {
	switch {
	case err == nil && found.String() == onlyonce.StillUnknown().String():
		return resultStill
	case err == nil:
		return resultSettled
	case errors.Is(err, onlyonce.ErrNoRecovery):
		return resultNoRecovery
	case errors.Is(err, onlyonce.ErrRecoveryElsewhere):
		return resultElsewhere
	case errors.Is(err, onlyonce.ErrNotUnknown), errors.Is(err, onlyonce.ErrRecordChanged):
		return resultGone
	case errors.Is(err, onlyonce.ErrOwnerMayBeAlive):
		return resultEarly
	case errors.Is(err, onlyonce.ErrDraining), ended:
		return resultStopped
	default:
		return resultFailed
	}
}

// unknownSince returns since when the outcome has been unknown, on the store's clock.
func unknownSince(rec *onlyonce.Record) time.Time {
	switch {
	case rec.State == store.Running:
		return rec.LeaseUntil
	case !rec.EndedAt.IsZero():
		return rec.EndedAt
	default:
		return rec.LastStart
	}
}

// fewestFailures sorts records by their number of failures. Records that may be beyond recovery come last, so their failures do not delay
// the others.
func fewestFailures(a, b found) int { return cmp.Compare(a.fails, b.fails) }

// spacing is the time between the starts of two recoveries. It is at most a year.
func spacing(rate float64) time.Duration {
	const year = 365 * 24 * time.Hour

	return time.Duration(min(float64(time.Second)/rate, float64(year)))
}

// doubled doubles a duration a number of times, up to a maximum.
func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	const enough = 30

	if times = min(times, enough); first > most>>times {
		return most
	}

	return first << times
}

// patience is the delay of a record whose recovery could not decide this often.
func patience(interval time.Duration, still int) time.Duration {
	return doubled(interval/2, still, max(patienceMost, interval/2))
}

// backoffAfter is the delay of a method after this many consecutive failures.
func backoffAfter(interval time.Duration, failures int) time.Duration {
	if failures < failuresAllowed {
		return 0
	}

	return doubled(interval, failures-failuresAllowed, max(backoffMost, interval))
}

// backoff holds the failures of a method.
type backoff struct {
	failures int
	until    time.Time
}

// after returns the state after a result. It ignores failures during the delay: these recoveries began before it.
func (b backoff) after(what result, now time.Time, interval time.Duration) backoff {
	switch what {
	case resultFailed:
		if now.Before(b.until) {
			return b
		}

		b.failures++

		if wait := backoffAfter(interval, b.failures); wait > 0 {
			b.until = now.Add(spread(wait))
		}

		return b
	case resultSettled, resultStill, resultEarly:
		return backoff{}
	case resultGone, resultElsewhere, resultNoRecovery, resultStopped:
		return b
	default:
		return b
	}
}

// remembered is the state of a record that this process could not settle.
type remembered struct {
	still int       // how often the recovery function could not decide
	fails int       // consecutive failures
	next  time.Time // when to recover the record again
	told  bool      // the observer got EventAttention
	seen  int       // the last pass that found the record
}

// after returns the state after a result. OwnerAlive is how long the owner may still be alive.
func (m remembered) after(what result, now time.Time, interval, ownerAlive time.Duration) remembered {
	switch what {
	case resultFailed:
		m.fails++

		return m
	case resultStill:
		m.still++
		m.next = now.Add(spread(patience(interval, m.still)))
	case resultEarly:
		m.next = now.Add(max(ownerAlive, 0))
	case resultSettled, resultGone, resultElsewhere, resultNoRecovery, resultStopped:
		return m
	}

	m.fails = 0

	return m
}
