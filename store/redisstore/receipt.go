package redisstore

import (
	"encoding/binary"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// receipt is what the store remembers of a lease that it has given. The record changes only while it still has these bytes, so the
// owner can write its completion without a look at the record.
type receipt struct {
	name string
	// record is the record as it is stored, and expires is when it expires.
	record  string
	expires int64
	// decided is when the server gave the lease, and sent when the store requested it, on the local clock.
	decided int64
	sent    time.Time
	// entry is that of the run in the index. It is nil without an index.
	entry *entry
}

// receiptOf is the receipt that belongs to a record, or nil.
func receiptOf(given any, name string) *receipt {
	own, ok := given.(*receipt)
	if !ok || own == nil || own.name != name {
		return nil
	}

	return own
}

// starts are the first and the last start of the run.
func (r *receipt) starts() (first, last int64) {
	if r.record[flagsStart]&flagFresh != 0 {
		first = startOf(r.record, r.expires)

		return first, first
	}

	return uint48At(r.record, timesStart), uint48At(r.record, timesStart+timeSize)
}

// completed is the record as the owner's completion leaves it, with the length of what comes before the outcome, and the life of the
// record in milliseconds. It reports false if this form cannot hold the record, or if the run is not the owner's.
//
// The server's clock decides when the run has ended: that is the expiry of the record less its retention. So the record holds its
// retention, in the place of its last start, which is the first one. In the place of the end it holds the end as this process has measured
// it, for builds that do not know this form.
func (r *receipt) completed(op *store.Completion, now time.Time) (record []byte, head int, life uint64, ok bool) {
	old := r.record
	first, last := r.starts()

	if store.State(old[stateStart]) != store.Running || old[tokenStart:fenceStart] != string(op.Token[:]) || first != last || first <= 0 {
		return nil, 0, 0, false
	}

	life = uint64(uint48At(old, retainStart)) //nolint:gosec // it is not negative
	if op.Retention > 0 {
		life = span(op.Retention)
	}

	life = max(life, 1)
	ended := r.decided + max(now.Sub(r.sent), 0).Milliseconds()
	identity, note := parts(old)

	record = make([]byte, 0, note-openSize+len(op.Outcome))
	record = append(record, old[:timesStart]...)
	record[stateStart] = byte(store.Completed)
	record[flagsStart] = record[flagsStart]&^flagFresh | flagCounted
	record = appendUint48(record, uint64(first))
	record = appendUint48(record, life)
	record = appendUint48(record, uint64(min(ended, latest))) //nolint:gosec // it is positive
	record = append(record, old[identity:note]...)
	head = len(record)

	binary.BigEndian.PutUint16(record[checkStart:], uint16(checksum(r.name, string(record)))) //nolint:gosec // it fits

	return append(record, op.Outcome...), head, life, true
}
