package memstore

import (
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// entry is a record in its compact form: times are nanoseconds since 1970, zero for a zero time.
type entry struct {
	outcome     []byte
	method      string
	readableKey string
	sum         [32]byte
	token       store.Token
	fence       uint64
	lease       int64
	aliveUntil  int64
	firstStart  int64
	lastStart   int64
	ended       int64
	expires     int64
	attempts    uint32
	scheme      uint16
	state       store.State
	guarantee   store.Guarantee
	resolved    bool
	doubtful    bool
}

// overhead estimates what a record costs besides its outcome and its key: the entry, its slot in the map and its place
// in the heap, as measured.
const overhead = 300

func sizeOf(rec *store.Record) int64 {
	return overhead + int64(len(rec.Outcome)) + int64(len(rec.ReadableKey))
}

func (e *entry) size() int64 { return overhead + int64(len(e.outcome)) + int64(len(e.readableKey)) }

func (e *entry) record() store.Record {
	return store.Record{
		State:           e.state,
		Token:           e.token,
		Fence:           e.fence,
		Guarantee:       e.guarantee,
		Fingerprint:     store.Fingerprint{Scheme: e.scheme, Sum: e.sum},
		LeaseUntil:      timeOf(e.lease),
		OwnerAliveUntil: timeOf(e.aliveUntil),
		Attempts:        e.attempts,
		FirstStart:      timeOf(e.firstStart),
		LastStart:       timeOf(e.lastStart),
		EndedAt:         timeOf(e.ended),
		ExpiresAt:       timeOf(e.expires),
		Outcome:         e.outcome,
		Doubtful:        e.doubtful,
		Resolved:        e.resolved,
		Method:          e.method,
		ReadableKey:     e.readableKey,
	}
}

func (e *entry) set(rec *store.Record) {
	e.state = rec.State
	e.token = rec.Token
	e.fence = rec.Fence
	e.guarantee = rec.Guarantee
	e.scheme = rec.Fingerprint.Scheme
	e.sum = rec.Fingerprint.Sum
	e.lease = nanos(rec.LeaseUntil)
	e.aliveUntil = nanos(rec.OwnerAliveUntil)
	e.attempts = rec.Attempts
	e.firstStart = nanos(rec.FirstStart)
	e.lastStart = nanos(rec.LastStart)
	e.ended = nanos(rec.EndedAt)
	e.expires = nanos(rec.ExpiresAt)
	e.outcome = rec.Outcome
	e.doubtful = rec.Doubtful
	e.resolved = rec.Resolved
	e.method = rec.Method
	e.readableKey = rec.ReadableKey
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
