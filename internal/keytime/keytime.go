// Package keytime decides how old a time-ordered key may be. The server refuses to run an older key, and the client stops retrying
// before. Both use these functions, so that they agree.
//
// A time-ordered key contains the time at which it was made. Once it is older than its key life, a missing record proves nothing:
// the call may have run, and its record may have expired. The key life is at most the retention.
//
//	made − tolerance       (key made)                  made + life − tolerance        made + life
//	────────┼────────────────────┼───────────────────────────────┼─────────────────────────┼──────► store's clock
//	invalid │                 may make a record                  │ is looked up, never run │ the earliest record may be gone
package keytime

import "time"

// maxTolerance is how far the clocks of clients, and of this process, may be off.
const maxTolerance = 10 * time.Minute

// Tolerance returns how far the clock of a client may be off: 10 minutes, or half of the key life where that is less.
func Tolerance(life time.Duration) time.Duration { return min(maxTolerance, life/2) } // half

// Usable returns how old a key may be that still makes a record: its life less the tolerance. The clock that made the key may be
// ahead by the tolerance, so its record may expire that much earlier. For a client it is also how long after its first attempt a call
// may be tried again. It is at least 1 for a life of at least 1.
func Usable(life time.Duration) time.Duration { return life - Tolerance(life) }

// Window is the time in which a key may make a record. The zero Window never ends: that of a key that is not time-ordered.
type Window struct {
	ends time.Time
	look bool
}

// Of returns the window of a key that was made at a time and has a life, as seen by a clock of this process that shows now. The
// second result is false for a key that was made further in the future than the tolerance: it could make a record again after its
// first record has expired.
func Of(made time.Time, life time.Duration, now time.Time) (Window, bool) {
	usable := Usable(life)

	return Window{
		ends: made.Add(usable),
		// This clock may be wrong by half of the time, or by the tolerance: the store's clock still decides.
		look: now.Sub(made) > min(usable/2, usable-maxTolerance), // half
	}, !made.After(now.Add(Tolerance(life)))
}

// LookFirst reports that the key may be too old. It is then looked up before a claim that could make a record is sent.
func (w Window) LookFirst() bool { return w.look }

// Over reports that the key makes no record any more at a time on the store's clock.
func (w Window) Over(now time.Time) bool { return !w.ends.IsZero() && now.After(w.ends) }
