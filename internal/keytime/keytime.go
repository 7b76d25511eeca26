// Package keytime decides how old a time-ordered key may be. The server refuses to run an older key. The client stops retrying before that.
// Both use these functions, so that they agree.
//
// A time-ordered key contains the time at which it was made. Once it is older than its key life, a missing record proves nothing: the call
// may have run, and its record may have expired. The key life is at most the retention.
//
//	made − tolerance       (key made)                  made + life − tolerance        made + life
//	────────┼────────────────────┼───────────────────────────────┼─────────────────────────┼──────► store's clock
//	invalid │                 may make a record                  │ is looked up, never run │ the earliest record may be gone
package keytime

import "time"

// maxTolerance is the largest error of the clocks of clients and of this process that is tolerated.
const maxTolerance = 10 * time.Minute

// Tolerance returns the error of a client's clock that is tolerated: 10 minutes, or half of the key life if that is less.
func Tolerance(life time.Duration) time.Duration { return min(maxTolerance, life/2) }

// Usable returns how old a key may be that still makes a record: its life less the tolerance. The clock that made the key may be fast by
// the tolerance, so its record may expire that much earlier. For a client it is also how long after the first attempt a retry is safe. It
// is at least 1 for a life of at least 1.
func Usable(life time.Duration) time.Duration { return life - Tolerance(life) }

// Window is the time in which a key may make a record. The zero Window never ends: keys that are not time-ordered have it.
type Window struct {
	ends time.Time
	look bool
}

// Of returns the window of a key. Made is the time in the key, life its key life, and now the clock of this process. The second result is
// false if the key was made further in the future than the tolerance: it could make a record again after its first record has expired.
func Of(made time.Time, life time.Duration, now time.Time) (Window, bool) {
	usable := Usable(life)

	return Window{
		ends: made.Add(usable),
		// This clock may be wrong by half of the usable time, or by the tolerance. The store's clock decides.
		look: now.Sub(made) > min(usable/2, usable-maxTolerance),
	}, !made.After(now.Add(Tolerance(life)))
}

// LookFirst reports that the key may be too old. It must be looked up before a claim is sent that could make a record.
func (w Window) LookFirst() bool { return w.look }

// Over reports that the key makes no record any more, at a time on the store's clock.
func (w Window) Over(now time.Time) bool { return !w.ends.IsZero() && now.After(w.ends) }
