package memstore

import (
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// entry is the compact form of a record: 168 bytes without pointers. Times are nanoseconds since 1970; zero stands for a zero time.
type entry struct {
	key        store.Key
	sum        [32]byte
	token      store.Token
	fence      uint64
	lease      int64
	aliveUntil int64
	firstStart int64
	lastStart  int64
	ended      int64
	expires    int64
	retention  int64
	scope      uint64
	attempts   uint32
	method     uint32 // the number of the method's name
	scheme     uint16
	state      store.State
	flags      flags
}

// text is the part of a record that has pointers. The bytes behind them are neither copied nor modified.
type text struct {
	outcome     []byte
	readableKey string
}

// flags contain a guarantee and two bits.
type flags uint8

const (
	resolved flags = 1 << 7
	doubtful flags = 1 << 6

	guarantee = doubtful - 1
)

// overhead is the measured cost of a record besides its outcome and its key, in bytes: its part of a slab, the index and the expiries.
const overhead = 256

// sizeOf returns the size of a record's text, in bytes.
func sizeOf(rec *store.Record) int64 { return (&text{rec.Outcome, rec.ReadableKey}).size() }

// size returns the bytes that count for a record with this text.
func (t *text) size() int64 { return overhead + int64(len(t.outcome)) + int64(len(t.readableKey)) }

// read fills rec, except for its method. Rec must be zero.
func (e *entry) read(t *text, rec *store.Record) {
	rec.State = e.state
	rec.Token = e.token
	rec.Fence = e.fence
	rec.Guarantee = store.Guarantee(e.flags & guarantee)
	rec.Fingerprint.Scheme = e.scheme
	rec.Fingerprint.Sum = e.sum
	rec.LeaseUntil = timeOf(e.lease)
	rec.OwnerAliveUntil = timeOf(e.aliveUntil)
	rec.Attempts = e.attempts
	rec.FirstStart = timeOf(e.firstStart)
	rec.LastStart = timeOf(e.lastStart)
	rec.EndedAt = timeOf(e.ended)
	rec.ExpiresAt = timeOf(e.expires)
	rec.Retention = time.Duration(e.retention)
	rec.Outcome = t.outcome
	rec.Doubtful = e.flags&doubtful != 0
	rec.Resolved = e.flags&resolved != 0
	rec.ReadableKey = t.readableKey
}

// set copies rec to the entry and the text, except for the method. Key and scope stay.
func (e *entry) set(t *text, rec *store.Record) {
	e.state = rec.State
	e.token = rec.Token
	e.fence = rec.Fence
	e.flags = flags(rec.Guarantee) & guarantee
	e.scheme = rec.Fingerprint.Scheme
	e.sum = rec.Fingerprint.Sum
	e.lease = nanos(rec.LeaseUntil)
	e.aliveUntil = nanos(rec.OwnerAliveUntil)
	e.attempts = rec.Attempts
	e.firstStart = nanos(rec.FirstStart)
	e.lastStart = nanos(rec.LastStart)
	e.ended = nanos(rec.EndedAt)
	e.expires = nanos(rec.ExpiresAt)
	e.retention = int64(rec.Retention)
	t.outcome = rec.Outcome
	t.readableKey = rec.ReadableKey

	if rec.Doubtful {
		e.flags |= doubtful
	}

	if rec.Resolved {
		e.flags |= resolved
	}
}

// isUnknown reports whether the outcome is unknown at a time, in nanoseconds since 1970.
func (e *entry) isUnknown(at int64) bool {
	expired := e.expires != 0 && at >= e.expires

	return !expired && (e.state == store.Unknown || e.state == store.Running && at >= e.lease)
}

// isAlive reports whether the record is Running and its lease has not ended at a time, in nanoseconds since 1970.
func (e *entry) isAlive(at int64) bool {
	expired := e.expires != 0 && at >= e.expires

	return !expired && e.state == store.Running && at < e.lease
}

func timeOf(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}

	return time.Unix(0, n)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}

	// Nanoseconds end in 2262. Later times are kept as the end.
	if t.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}

	return t.UnixNano()
}
