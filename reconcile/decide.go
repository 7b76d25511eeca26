package reconcile

import (
	"cmp"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// What a reconciler does is decided here, by functions that depend on their arguments alone.

const (
	// patienceMost is the longest time until a record is recovered again that could not be decided.
	patienceMost = 5 * time.Minute
	// failuresAllowed is how many failures in a row do not yet make a method wait, since single records may be beyond recovery.
	failuresAllowed = 3
	// backoffMost is the longest time that a method waits.
	backoffMost = 10 * time.Minute
)

// result is what has become of one record.
type result uint8

const (
	resultSettled    result = iota // this process has settled it
	resultGone                     // somebody else has settled it
	resultStill                    // the function could not decide
	resultEarly                    // nothing happened, and the owner may still be alive
	resultElsewhere                // another process recovers it
	resultFailed                   // the function or the store has failed
	resultNoRecovery               // the method has no function
	resultStopped                  // this process ends
)

// resultOf names what Engine.Recover has returned. Ended means that the context of Run has ended.
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

// unknownSince is since when the outcome of a record is unknown, on the store's clock.
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

// fewestFailures orders records: those that may be beyond recovery come last, so that they do not let their method wait before the others
// had their turn.
func fewestFailures(a, b found) int { return cmp.Compare(a.fails, b.fails) }

// spacing is the time between the starts of two recoveries, and at most a year.
func spacing(rate float64) time.Duration {
	const year = 365 * 24 * time.Hour

	return time.Duration(min(float64(time.Second)/rate, float64(year)))
}

// doubled returns a time, doubled so many times, and at most the given one.
func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	const enough = 30

	if times = min(times, enough); first > most>>times {
		return most
	}

	return first << times
}

// patience is how long a record is left alone that could not be decided so many times.
func patience(interval time.Duration, still int) time.Duration {
	return doubled(interval/2, still, max(patienceMost, interval/2))
}

// backoffAfter is how long a method waits after so many failures in a row.
func backoffAfter(interval time.Duration, failures int) time.Duration {
	if failures < failuresAllowed {
		return 0
	}

	return doubled(interval, failures-failuresAllowed, max(backoffMost, interval))
}

// backoff is what a process knows about the failures of a method.
type backoff struct {
	failures int
	until    time.Time
}

// after is the state after a result. A failure that comes while the method waits already was on its way, and counts for nothing.
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

// remembered is what a process knows about a record that it could not settle.
type remembered struct {
	still int       // how often the function could not decide
	fails int       // how often it has failed in a row
	next  time.Time // when it is recovered again
	told  bool      // the observer has got its event
	seen  int       // the number of the last look that has found the record
}

// after is the state after a result. OwnerAlive is how long the owner may still be alive.
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
