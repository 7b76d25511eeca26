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

// ParseKey reads what Key.String has written.
func ParseKey(text string) (Key, error) {
	var key Key

	if n, err := hex.Decode(key[:], []byte(text)[:min(len(text), 2*len(key))]); err != nil || n != len(key) || len(text) != 2*len(key) {
		return Key{}, fmt.Errorf("store: %q is no storage key: give %d hexadecimal digits", text, 2*len(key))
	}

	return key, nil
}

// Token names the owner of a run: 128 random bits, fresh for every logical claim.
type Token [16]byte

// Fingerprint identifies a request, so that another request under the same key is noticed.
type Fingerprint struct {
	// Scheme is the number of the way in which Sum was made. Zero means that there is no fingerprint.
	Scheme uint16
	// Sum is the digest of the request.
	Sum [32]byte
}

// Differs reports whether two fingerprints belong to different requests. Fingerprints of different schemes cannot be compared and count
// as the same request. Otherwise a rolling deploy would turn honest retries into reused keys.
func (f Fingerprint) Differs(other Fingerprint) bool {
	return f.Scheme == other.Scheme && f.Sum != other.Sum
}

// State is the state of a record.
type State uint8

// The states of a record. Their numbers are part of the stored form and never change.
const (
	// Absent means that there is no record.
	Absent State = 0
	// Running means that an owner has claimed the key and has not ended. Once the lease has ended, nobody knows whether the owner is
	// still alive. Under AtMostOnce the outcome is unknown then: see Record.LeaseAlive.
	Running State = 1
	// Unknown means that the owner ended and nobody knows whether the effect happened.
	Unknown State = 2
	// Released means that the key may be claimed again.
	Released State = 3
	// Completed means that the outcome is recorded. Only the retention or a [Forgetting] ends it.
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

// Guarantee decides what may happen after a run whose outcome is unknown.
type Guarantee uint8

// The guarantees. Their numbers are part of the stored form and never change. Zero counts as AtMostOnce.
const (
	// AtMostOnce never runs again by itself.
	AtMostOnce Guarantee = 1
	// AtLeastOnce lets the next duplicate take over once the lease has ended.
	AtLeastOnce Guarantee = 2
	// ExactlyOnce lets the next duplicate take over as well, because an unfinished run has left nothing behind.
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

// Stricter returns the stricter of two guarantees: AtMostOnce before ExactlyOnce before AtLeastOnce. It decides after a deployment has
// changed the guarantee of a method while records of the old guarantee live.
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
	// State is the state of the record. The other fields mean nothing while it is Absent.
	State State
	// Guarantee is the strictest guarantee that the record was claimed under.
	Guarantee Guarantee
	// Doubtful reports that an earlier run of this record ended in an unknown way. A later run that did nothing does not prove that the
	// earlier run did nothing.
	Doubtful bool
	// Resolved reports that somebody other than the owner settled the record.
	Resolved bool
	// Attempts counts the runs that were started since the record was created or last released.
	Attempts uint32
	// Token names the owner of the run. It is kept after the run has ended, so that a repeated operation is recognised.
	Token Token
	// Fence orders the runs of this key. It never goes back within a record's life.
	Fence uint64
	// Fingerprint is the fingerprint of the request that first used the key.
	Fingerprint Fingerprint
	// LeaseUntil is the end of the owner's lease. It means nothing unless the record is Running.
	LeaseUntil time.Time
	// OwnerAliveUntil is the latest time at which the owner of a run may still be working: last start, plus the longest run, plus one
	// lease. A claim that is won back after its lease counts anew, because its run has not begun. Before this time, a finding that
	// nothing happened is refused. It means nothing once the record is Completed.
	OwnerAliveUntil time.Time
	// FirstStart is the start of the first run in the record's life, LastStart the start of the last run.
	FirstStart, LastStart time.Time
	// EndedAt is when the record was completed, released or held. It is zero while the record is Running, and may be zero if somebody has
	// changed the record by hand, so that the store does not know.
	EndedAt time.Time
	// ExpiresAt is when the record becomes Absent. Zero means never.
	ExpiresAt time.Time
	// Retention is the retention of the claim that made the owner of the record, unless the owner's completion replaced it. The record
	// expires so long after it was settled.
	Retention time.Duration
	// Outcome is opaque to stores, and the latest thing that an operation has left there: the note of its claim while a record is Running,
	// the known part of the outcome of an Unknown record, the recorded answer of a Completed record, the note of the resolution of a Released
	// record. It may be nil, but for a Completed record.
	Outcome []byte
	// Method and ReadableKey are for operators. Either may be empty.
	Method, ReadableKey string
}

// LeaseAlive reports whether the record is Running under a lease that has not ended at now.
func (r *Record) LeaseAlive(now time.Time) bool {
	return r.State == Running && now.Before(r.LeaseUntil)
}

// OwnerMayBeAlive reports whether an owner of the record may still be working at now: under a lease, or because the longest run is not
// over. A record that was released may have an owner that was overtaken before.
func (r *Record) OwnerMayBeAlive(now time.Time) bool {
	unsettled := r.State == Running || r.State == Unknown || r.State == Released && r.Doubtful

	return r.LeaseAlive(now) || unsettled && now.Before(r.OwnerAliveUntil)
}

// KeepUnsettled sets ExpiresAt of a record that is not settled, for a store whose UnknownRetention is positive. The record expires that
// long after now, the time of the write, and not before its owner is surely dead. KeepUnsettled leaves other records alone.
func (r *Record) KeepUnsettled(unknownRetention time.Duration, now time.Time) {
	switch r.State {
	case Running:
		r.ExpiresAt = later(later(now.Add(unknownRetention), r.OwnerAliveUntil), r.LeaseUntil)
	case Unknown:
		r.ExpiresAt = later(now.Add(unknownRetention), r.OwnerAliveUntil)
	case Absent, Released, Completed:
	}
}

// Expired reports whether the record's retention is over at now. A record lives up to, and not including, ExpiresAt.
func (r *Record) Expired(now time.Time) bool {
	return r.State != Absent && !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}
