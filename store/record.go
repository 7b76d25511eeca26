package store

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Key names a record: a fixed-length hash of scope, method and idempotency key, made by the engine. A caller can
// neither choose it nor steer it to a shard.
type Key [32]byte

// String returns the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Token names the owner of a run: 128 random bits, fresh for every logical claim.
type Token [16]byte

// Fingerprint identifies a request, so that another request under the same key is noticed.
type Fingerprint struct {
	// Scheme numbers the way in which Sum was made. Zero means that there is no fingerprint.
	Scheme uint16
	// Sum is the digest of the request.
	Sum [32]byte
}

// Differs reports whether two fingerprints belong to different requests. Fingerprints of different schemes cannot be
// compared and count as the same request, because a rolling deploy must not turn an honest retry into a reused key.
func (f Fingerprint) Differs(other Fingerprint) bool {
	return f.Scheme == other.Scheme && f.Sum != other.Sum
}

// State is where a record stands in its life.
type State uint8

// The states of a record. Their numbers are part of the stored form and never change.
const (
	// Absent means that there is no record.
	Absent State = 0
	// Running means that an owner has claimed the key and has not ended. Once the lease has ended, nobody knows
	// whether the owner is still alive: under AtMostOnce that is an unknown outcome as well. See Record.LeaseAlive.
	Running State = 1
	// Unknown means that the owner ended without knowing whether the effect happened.
	Unknown State = 2
	// Released means that the key may be claimed again.
	Released State = 3
	// Completed means that the outcome is recorded. Only retention ends it.
	Completed State = 4
)

// String returns the name of the state as it is written in the documentation.
func (s State) String() string {
	switch s {
	case Absent:
		return "ABSENT"
	case Running:
		return "RUNNING"
	case Unknown:
		return "UNKNOWN"
	case Released:
		return "RELEASED"
	case Completed:
		return "COMPLETED"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// Guarantee says what may happen after a run whose outcome is unknown.
type Guarantee uint8

// The guarantees. Their numbers are part of the stored form and never change. Zero counts as AtMostOnce.
const (
	// AtMostOnce never runs again by itself.
	AtMostOnce Guarantee = 1
	// AtLeastOnce lets the next duplicate take over once the lease has ended.
	AtLeastOnce Guarantee = 2
	// ExactlyOnce lets it take over as well, because an unfinished run has left nothing behind.
	ExactlyOnce Guarantee = 3
)

// String returns the name of the guarantee as it is written in the documentation.
func (g Guarantee) String() string {
	switch g {
	case 0, AtMostOnce:
		return "AT_MOST_ONCE"
	case AtLeastOnce:
		return "AT_LEAST_ONCE"
	case ExactlyOnce:
		return "EXACTLY_ONCE"
	default:
		return fmt.Sprintf("Guarantee(%d)", uint8(g))
	}
}

// TakeoverAllowed reports whether a duplicate may run again while the outcome of an earlier run is unknown.
func (g Guarantee) TakeoverAllowed() bool { return g == AtLeastOnce || g == ExactlyOnce }

// Stricter returns the stricter of two guarantees: AtMostOnce before ExactlyOnce before AtLeastOnce. It decides where a
// deployment has changed the guarantee of a method while records of the old one live.
func Stricter(a, b Guarantee) Guarantee {
	switch {
	case !a.TakeoverAllowed() || !b.TakeoverAllowed():
		return AtMostOnce
	case a == ExactlyOnce || b == ExactlyOnce:
		return ExactlyOnce
	default:
		return AtLeastOnce
	}
}

// Record is what a store keeps for one key. All times are on the store's clock.
type Record struct {
	// State is where the record stands. The other fields mean nothing while it is Absent.
	State State
	// Token is the owner of the run, kept after the run has ended so that a repeated operation is recognised.
	Token Token
	// Fence orders the runs of this key. It never goes back within a record's life.
	Fence uint64
	// Guarantee is the strictest guarantee that the record was claimed under.
	Guarantee Guarantee
	// Fingerprint is that of the request which first used the key.
	Fingerprint Fingerprint
	// LeaseUntil is the end of the owner's lease. It means nothing unless the record is Running.
	LeaseUntil time.Time
	// OwnerAliveUntil is the latest time at which the owner of a run may still be working: last start, plus the longest
	// run, plus one lease. A claim that is won back after its lease counts anew, because its run has not begun. Nobody
	// may say before this time that nothing happened. It means nothing once the record is Completed.
	OwnerAliveUntil time.Time
	// Attempts counts the runs that were started since the record was created or last released.
	Attempts uint32
	// FirstStart is the start of the first run in the record's life, LastStart that of the last one.
	FirstStart, LastStart time.Time
	// EndedAt is when the record was completed, released or held. It is zero while the record is Running.
	EndedAt time.Time
	// ExpiresAt is when the record becomes Absent. Zero means never.
	ExpiresAt time.Time
	// Outcome is opaque to stores: the recorded answer of a Completed record, what is known about an Unknown one.
	Outcome []byte
	// Doubtful reports that an earlier run of this record ended in an unknown way. A later run that says that nothing
	// happened then speaks for itself alone.
	Doubtful bool
	// Resolved reports that somebody other than the owner settled the record.
	Resolved bool
	// Method and ReadableKey are for operators. Either may be empty.
	Method, ReadableKey string
}

// LeaseAlive reports whether the record is Running under a lease that has not ended at now.
func (r *Record) LeaseAlive(now time.Time) bool {
	return r.State == Running && now.Before(r.LeaseUntil)
}

// Expired reports whether the record's retention is over at now. A record lives up to, and not including, ExpiresAt.
func (r *Record) Expired(now time.Time) bool {
	return r.State != Absent && !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}
