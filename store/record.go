package store

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Key is the storage key of a record: a hash of scope, method and idempotency key that the engine computes. Callers can neither choose it
// nor steer it to a shard.
type Key [32]byte

// String returns the key as 64 hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey parses the text of [Key.String]. It returns an error for any other text.
func ParseKey(text string) (Key, error) {
	var key Key

	if n, err := hex.Decode(key[:], []byte(text)[:min(len(text), 2*len(key))]); err != nil || n != len(key) || len(text) != 2*len(key) {
		return Key{}, fmt.Errorf("store: parsing storage key %q: it must have %d hexadecimal digits", text, 2*len(key))
	}

	return key, nil
}

// Token identifies the owner of a run. It has 128 random bits, drawn for every logical claim.
type Token [16]byte

// Fingerprint identifies a request, to detect another request under the same key.
type Fingerprint struct {
	// Scheme is the number of the method that computed Sum. Zero means that there is no fingerprint.
	Scheme uint16
	// Sum is the digest of the request.
	Sum [32]byte
}

// Differs reports whether the fingerprints belong to different requests. Fingerprints of different schemes cannot be compared, and count as
// the same request. Otherwise a rolling deployment would turn honest retries into reused keys.
func (f Fingerprint) Differs(other Fingerprint) bool {
	return f.Scheme == other.Scheme && f.Sum != other.Sum
}

// State is the state of a record.
type State uint8

// The states of a record. The numbers are part of the stored form and never change.
const (
	// Absent means that there is no record.
	Absent State = 0
	// Running means that an owner claimed the key, and its run has not ended. Once the lease has ended, nobody knows whether the owner is
	// alive. Under AtMostOnce the outcome is then unknown: see Record.LeaseAlive.
	Running State = 1
	// Unknown means that the run ended, and nobody knows whether its effect happened.
	Unknown State = 2
	// Released means that the key may be claimed again.
	Released State = 3
	// Completed means that the outcome is recorded. The state ends only with the retention or a [Forgetting].
	Completed State = 4
)

// String returns the name of the state in capital letters, such as "RUNNING".
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

// Guarantee decides what may follow a run whose outcome is unknown.
type Guarantee uint8

// The guarantees. The numbers are part of the stored form and never change. Zero counts as AtMostOnce.
const (
	// AtMostOnce never lets a duplicate take over.
	AtMostOnce Guarantee = 1
	// AtLeastOnce lets the next duplicate take over after the end of the lease.
	AtLeastOnce Guarantee = 2
	// ExactlyOnce also lets the next duplicate take over. An unfinished run has left nothing behind.
	ExactlyOnce Guarantee = 3
)

// String returns the name of the guarantee in capital letters, such as "AT_MOST_ONCE".
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

// TakeoverAllowed reports whether a duplicate may run while the outcome of an earlier run is unknown.
func (g Guarantee) TakeoverAllowed() bool { return g == AtLeastOnce || g == ExactlyOnce }

// Stricter returns the stricter of two guarantees: AtMostOnce before ExactlyOnce before AtLeastOnce. The two differ when a deployment
// changed a method's guarantee and records of the old guarantee remain.
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
	// State is the state of the record. If it is Absent, the other fields mean nothing.
	State State
	// Guarantee is the strictest guarantee among the claims that owned the record.
	Guarantee Guarantee
	// Doubtful means that an earlier run of this record may have taken effect. A later run that did nothing does not remove the doubt. Only a
	// Resolution as Released removes it.
	Doubtful bool
	// Resolved means that somebody other than the owner settled the record.
	Resolved bool
	// Attempts counts the runs since the record was created or last released.
	Attempts uint32
	// Token identifies the owner of the run. It stays after the end of the run, so that repeated operations are recognised.
	Token Token
	// Fence orders the runs of the key. It never decreases within a record's life.
	Fence uint64
	// Fingerprint is the fingerprint of the first request under the key.
	Fingerprint Fingerprint
	// LeaseUntil is the end of the owner's lease. It means nothing unless the record is Running.
	LeaseUntil time.Time
	// OwnerAliveUntil is the latest time at which an owner may still work: its start, plus MaxRun, plus one lease. If the repeat of a claim
	// finds that its own lease has ended, its run starts at that moment. Until OwnerAliveUntil, a resolution as Released is refused. The time
	// means nothing once the record is Completed.
	OwnerAliveUntil time.Time
	// FirstStart is the start of the first run in the record's life. LastStart is the start of the last run.
	FirstStart, LastStart time.Time
	// EndedAt is when the record was completed, released or held. It is zero while the record is Running. It may also be zero if somebody
	// changed the record by hand.
	EndedAt time.Time
	// ExpiresAt is when the record becomes Absent. Zero means never.
	ExpiresAt time.Time
	// Retention is how long the record is kept after it was settled. It comes from the owner's claim, or from its completion.
	Retention time.Duration
	// Outcome is opaque to stores. It may be nil, except in a Completed record. Its content depends on the state:
	//   - Running: the note of the claim.
	//   - Unknown: what the owner knew when it held the record.
	//   - Completed: the recorded answer.
	//   - Released: the note of the resolution.
	Outcome []byte
	// Method and ReadableKey are shown to operators. Either may be empty.
	Method, ReadableKey string
}

// LeaseAlive reports whether the record is Running, and its lease has not ended at now.
func (r *Record) LeaseAlive(now time.Time) bool {
	return r.State == Running && now.Before(r.LeaseUntil)
}

// OwnerMayBeAlive reports whether an owner may still work at now: under its lease, or until OwnerAliveUntil. A doubtful Released record may
// have an owner that was overtaken earlier. A Completed record has none.
func (r *Record) OwnerMayBeAlive(now time.Time) bool {
	unsettled := r.State == Running || r.State == Unknown || r.State == Released && r.Doubtful

	return r.LeaseAlive(now) || unsettled && now.Before(r.OwnerAliveUntil)
}

// KeepUnsettled sets ExpiresAt of an unsettled record, for a store whose UnknownRetention is positive. The record then expires
// unknownRetention after now, the time of the write, but not while its owner may be alive. KeepUnsettled does not change other records.
func (r *Record) KeepUnsettled(unknownRetention time.Duration, now time.Time) {
	switch r.State {
	case Running:
		r.ExpiresAt = later(later(now.Add(unknownRetention), r.OwnerAliveUntil), r.LeaseUntil)
	case Unknown:
		r.ExpiresAt = later(now.Add(unknownRetention), r.OwnerAliveUntil)
	case Absent, Released, Completed:
	}
}

// Expired reports whether the record's retention has ended at now. At ExpiresAt itself it has ended.
func (r *Record) Expired(now time.Time) bool {
	return r.State != Absent && !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}
