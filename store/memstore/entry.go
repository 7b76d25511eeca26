package memstore

import (
	"math"
	"time"
	"unique"

	"github.com/onlyonce-go/onlyonce/store"
)

// entry is a record in its compact form of 176 bytes, which the runtime allocates without waste. Times are nanoseconds
// since 1970, zero for a zero time. The methods of a program are few, so their names are shared.
type entry struct {
	outcome     []byte
	readableKey string
	method      unique.Handle[string]
	sum         [32]byte
	token       store.Token
	fence       uint64
	lease       int64
	aliveUntil  int64
	firstStart  int64
	lastStart   int64
	ended       int64
	expires     int64
	retention   int64
	scope       uint64
	attempts    uint32
	scheme      uint16
	state       store.State
	flags       flags
}

// flags are a guarantee and two bits.
type flags uint8

const (
	resolved flags = 1 << 7
	doubtful flags = 1 << 6

	guarantee = doubtful - 1
)

// overhead estimates what a record costs besides its outcome and its key: the entry, its slot in the map and its place
// in the heap, as measured.
const overhead = 300

func sizeOf(rec *store.Record) int64 {
	return overhead + int64(len(rec.Outcome)) + int64(len(rec.ReadableKey))
}

func (e *entry) size() int64 { return overhead + int64(len(e.outcome)) + int64(len(e.readableKey)) }

// read makes rec the record, which must be empty.
func (e *entry) read(rec *store.Record) {
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
	rec.Outcome = e.outcome
	rec.Doubtful = e.flags&doubtful != 0
	rec.Resolved = e.flags&resolved != 0
	rec.ReadableKey = e.readableKey

	if e.method != (unique.Handle[string]{}) {
		rec.Method = e.method.Value()
	}
}

func (e *entry) set(rec *store.Record) {
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
	e.outcome = rec.Outcome
	e.readableKey = rec.ReadableKey

	if rec.Doubtful {
		e.flags |= doubtful
	}

	if rec.Resolved {
		e.flags |= resolved
	}

	if rec.Method == "" {
		e.method = unique.Handle[string]{}
	} else if e.method == (unique.Handle[string]{}) || e.method.Value() != rec.Method {
		e.method = unique.Make(rec.Method)
	}
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

	// Nanoseconds reach as far as 2262. Later times, of a retention or a lease without end, count as that.
	if t.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}

	return t.UnixNano()
}
