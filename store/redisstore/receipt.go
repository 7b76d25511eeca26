package redisstore

import (
	"encoding/binary"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// receipt is what the store remembers about a lease. The owner can complete the run without reading the record, because the completion
// takes effect only if the record still has these bytes.
type receipt struct {
	name string
	// record is the stored form, and expires is its expiry.
	record  string
	expires int64
	// decided is when the server granted the lease. sent is when the store requested it, on the local clock.
	decided int64
	sent    time.Time
	// entry is the run's index entry. It is nil without an index.
	entry *entry
}

// receiptOf returns the receipt if it belongs to the record, otherwise nil.
func receiptOf(given any, name string) *receipt {
	own, ok := given.(*receipt)
	if !ok || own == nil || own.name != name {
		return nil
	}

	return own
}

// starts returns the first and the last start of the run.
func (r *receipt) starts() (first, last int64) {
	if r.record[flagsStart]&flagFresh != 0 {
		first = startOf(r.record, r.expires)

		return first, first
	}

	return uint48At(r.record, timesStart), uint48At(r.record, timesStart+timeSize)
}

// completed returns the record after the owner's completion, the length of the part before the outcome, and the life of the record in
// milliseconds. It returns false if this form cannot hold the record, or if the run is not the owner's.
//
// The server's clock decides when the run ended: the expiry of the record minus its retention. So the record stores its retention, in the
// place of the last start, which is also the first start. The place of the end has the time that this process measured, for builds that do
// not know this form.
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
