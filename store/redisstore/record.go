package redisstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The stored form is described in lua/record.lua, which writes it. This file reads it.
const (
	formatVersion = 1

	sealStart    = 1
	checkStart   = 5
	stateStart   = 7
	flagsStart   = 8
	tokenStart   = 9
	fenceStart   = tokenStart + len(store.Token{})
	attemptStart = fenceStart + 4
	timesStart   = attemptStart + 4
	timeSize     = 6
	aliveStart   = timesStart + 3*timeSize // unless the record is completed
	retainStart  = aliveStart + timeSize   // as above
	openSize     = 2 * timeSize            // of alive and retention

	schemeSize   = 2
	sumSize      = 32
	lengthsStart = schemeSize + sumSize
	namesStart   = lengthsStart + 4

	flagGuarantee = 3
	flagCounted   = 16
	flagFresh     = 32
	flagDoubtful  = 64
	flagResolved  = 128
)

// A reply of a script is a verdict of one byte, the server's time, the expiry of the record, and the record.
const (
	replyHeader = 1 + 2*timeSize

	refused = 0
	applied = 1 // higher numbers mean an unreadable record
)

// decodeReply reads the reply of a script about a record, and returns the stored form. A script that stored own leaves the record out of
// its reply.
func decodeReply(res *store.Result, name, reply, own string) (data string, expires int64, err error) {
	if len(reply) < replyHeader {
		return "", 0, cutShort(reply)
	}

	res.Applied, res.Now = reply[0] == applied, decodeTime(reply[1:])
	expires = uint48At(reply, 1+timeSize)
	data = reply[replyHeader:]

	switch {
	case data == "" && reply[0] == refused:
		return "", 0, nil // absent
	case data == "" && res.Applied && len(own) >= aliveStart:
		data = own
		res.Now = timeOf(startOf(data, expires))
	}

	err = decodeRecord(&res.Record, name, data, expires)
	if err == nil && reply[0] > applied {
		err = fmt.Errorf("redisstore: reading a record: the server's scripts cannot read it: %w", store.ErrUnreadable)
	}

	if err != nil {
		*res = store.Result{}
	}

	return data, expires, err
}

// startOf returns the start of a record that is unchanged since its first claim. The record has its life in the place of the first start,
// and started its life before its expiry.
func startOf(fresh string, expires int64) int64 { return expires - uint48At(fresh, timesStart) }

func cutShort(reply string) error {
	return fmt.Errorf("redisstore: reading a reply: its %d bytes are cut short: %w", len(reply), store.ErrUnreadable)
}

// decodeRecord reads the stored form of a record with this name and expiry.
func decodeRecord(rec *store.Record, name, data string, expires int64) error {
	if data == "" || data[0] < formatVersion {
		return fmt.Errorf("redisstore: reading a record: the stored value is not a record: %w", store.ErrUnreadable)
	}

	if data[0] > formatVersion {
		return fmt.Errorf("redisstore: reading a record: it has format %d, and this build knows format %d: %w",
			data[0], formatVersion, store.ErrNewer)
	}

	identity, outcome := parts(data)

	switch {
	case outcome < 0:
		return fmt.Errorf("redisstore: reading a record: its %d bytes are cut short: %w", len(data), store.ErrUnreadable)
	case sealOf(name, data[identity:outcome]) != uint32At(data, sealStart):
		return fmt.Errorf("redisstore: reading a record: its seal does not match its key and content: %w", store.ErrUnreadable)
	case checksum(name, data) != uint16At(data, checkStart):
		return fmt.Errorf("redisstore: reading a record: its checksum does not match its content: %w", store.ErrUnreadable)
	}

	rec.State = store.State(data[stateStart])
	if rec.State < store.Running || rec.State > store.Completed {
		return fmt.Errorf("redisstore: reading a record: its state %d is impossible: %w", rec.State, store.ErrUnreadable)
	}

	decodeWhole(rec, data, identity, outcome, expires)

	return nil
}

// decodeWhole reads a record whose parts were checked.
func decodeWhole(rec *store.Record, data string, identity, outcome int, expires int64) {
	rec.State = store.State(data[stateStart])

	decodeHead(rec, data, expires)
	decodeIdentity(rec, data[identity:outcome])

	if outcome < len(data) {
		rec.Outcome = []byte(data[outcome:])
	}
}

// parts returns where the identity and the outcome of a record begin. The outcome is negative if the record is cut short.
func parts(data string) (identity, outcome int) {
	identity = aliveStart
	if len(data) > stateStart && store.State(data[stateStart]) != store.Completed {
		identity += openSize
	}

	if len(data) < identity+namesStart {
		return identity, -1
	}

	outcome = identity + namesStart + uint16At(data, identity+lengthsStart) + uint16At(data, identity+lengthsStart+2)
	if outcome > len(data) {
		return identity, -1
	}

	return identity, outcome
}

// sealOf binds the constant part of a record to its name.
func sealOf(name, identity string) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)

	return crc32.Update(crc32.Update(0, table, []byte(name)), table, []byte(identity))
}

// checksum covers what the seal does not, and the end of the record's name. The scripts use floating-point numbers, which hold it exactly.
func checksum(name, data string) int {
	at := func(i int) int64 { return uint48At(data, i) }
	word := func(i int) int64 { return int64(uint32At(data, i)) }

	sum := int64(data[stateStart])*251 + int64(data[flagsStart])*257 +
		word(tokenStart) + word(tokenStart+4)*3 + word(tokenStart+8)*5 + word(tokenStart+12)*7 +
		word(fenceStart)*3 + word(attemptStart)*7 +
		at(timesStart) + at(timesStart+timeSize)*2 + at(timesStart+2*timeSize)*3 + uint48At(name, len(name)-timeSize)

	if store.State(data[stateStart]) != store.Completed {
		sum += at(aliveStart)*4 + at(retainStart)*5
	}

	return int(sum % 65521) // the largest prime below 2^16
}

func decodeHead(rec *store.Record, data string, expires int64) {
	flags := data[flagsStart]
	first, last := uint48At(data, timesStart), uint48At(data, timesStart+timeSize)
	mark := uint48At(data, timesStart+2*timeSize)
	alive, retention := int64(0), max(expires-mark, 0)

	if rec.State != store.Completed {
		alive, retention = uint48At(data, aliveStart), uint48At(data, retainStart)
	}

	switch {
	case flags&flagFresh != 0:
		start := max(expires-first, 0)
		first, last, mark, alive = start, start, start+mark, start+alive
	case flags&flagCounted != 0:
		// Without an expiry the end is unknown.
		retention, last = last, first
		mark = max(expires-retention, 0)
	}

	rec.Guarantee = store.Guarantee(flags & flagGuarantee)
	rec.Doubtful = flags&flagDoubtful != 0
	rec.Resolved = flags&flagResolved != 0
	copy(rec.Token[:], data[tokenStart:])
	rec.Fence = uint64(uint32At(data, fenceStart))
	rec.Attempts = uint32At(data, attemptStart)
	rec.FirstStart, rec.LastStart, rec.OwnerAliveUntil = timeOf(first), timeOf(last), timeOf(alive)

	rec.ExpiresAt, rec.Retention = timeOf(expires), duration(retention)

	if rec.State == store.Running {
		rec.LeaseUntil = timeOf(mark)
	} else {
		rec.EndedAt = timeOf(mark)
	}
}

func decodeIdentity(rec *store.Record, data string) {
	names := data[namesStart:]
	method := uint16At(data, lengthsStart)

	rec.Fingerprint.Scheme = uint16(uint16At(data, 0)) //nolint:gosec // 16 bits
	copy(rec.Fingerprint.Sum[:], data[schemeSize:])
	rec.Method, rec.ReadableKey = names[:method], names[method:]
}

// freshSize returns the size of the record of a first claim.
func freshSize(op *store.Claim) int {
	return aliveStart + openSize + namesStart + len(op.Method) + len(op.ReadableKey) + len(op.Note)
}

// appendFresh appends the record of a first claim before its times are known. The place of the first start has the life of the record in
// milliseconds. Lease and owner are durations from the start. The note of the claim is the outcome.
func appendFresh(buf []byte, name string, op *store.Claim, life uint64) ([]byte, error) {
	start := len(buf)

	buf = append(buf, formatVersion, 0, 0, 0, 0, 0, 0, byte(store.Running), byte(op.Guarantee&flagGuarantee)|flagFresh)
	buf = append(buf, op.Token[:]...)
	buf = appendFence(buf, 1)
	buf = binary.BigEndian.AppendUint32(buf, 1)
	buf = appendUint48(buf, life)
	buf = appendUint48(buf, 0)
	buf = appendSpan(buf, op.Lease)
	buf = appendUint48(buf, aliveSpan(op))
	buf = appendRetention(buf, op)

	identity := len(buf)

	buf, err := appendIdentity(buf, op)
	if err != nil {
		return nil, err
	}

	rec := buf[start:]
	binary.BigEndian.PutUint32(rec[sealStart:], sealOf(name, string(buf[identity:])))
	binary.BigEndian.PutUint16(rec[checkStart:], uint16(checksum(name, string(rec)))) //nolint:gosec // it fits

	return append(buf, op.Note...), nil
}

// appendIdentity appends the part of a claim that stays for the record's life.
func appendIdentity(buf []byte, op *store.Claim) ([]byte, error) {
	if len(op.Method) > math.MaxUint16 || len(op.ReadableKey) > math.MaxUint16 {
		return nil, fmt.Errorf("redisstore: claim: a method of %d bytes or a key of %d bytes is too long: keep each within %d bytes",
			len(op.Method), len(op.ReadableKey), math.MaxUint16)
	}

	buf = binary.BigEndian.AppendUint16(buf, op.Fingerprint.Scheme)
	buf = append(buf, op.Fingerprint.Sum[:]...)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(op.Method)))      //nolint:gosec // checked
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(op.ReadableKey))) //nolint:gosec // checked
	buf = append(buf, op.Method...)

	return append(buf, op.ReadableKey...), nil
}

// span returns a duration in milliseconds, rounded up, so that no lease or retention ends early. The longest duration has 44 bits, so the
// sum of two fits into six bytes.
func span(d time.Duration) uint64 {
	d = max(d, 0)
	whole := uint64(d / time.Millisecond)

	if d%time.Millisecond > 0 {
		whole++
	}

	return whole
}

// duration is the inverse of span. It accepts numbers of any size.
func duration(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}

	return time.Duration(ms) * time.Millisecond
}

// aliveSpan returns how long after its start the owner of a claim may be alive, in milliseconds.
func aliveSpan(op *store.Claim) uint64 { return span(op.MaxRun) + span(op.Lease) }

func appendSpan(buf []byte, d time.Duration) []byte { return appendUint48(buf, span(d)) }

// appendRetention appends a retention. It is never zero: a settled record would be absent at once.
func appendRetention(buf []byte, op *store.Claim) []byte {
	return appendUint48(buf, max(span(op.Retention), 1))
}

// latest is the last time of the stored form, in milliseconds since 1970: in the year 10889.
const latest = 1<<(8*timeSize) - 1

func appendTime(buf []byte, t time.Time) []byte {
	if t.IsZero() {
		return appendUint48(buf, 0)
	}

	return appendUint48(buf, uint64(min(max(t.UnixMilli(), 1), latest))) // 0 means none
}

func appendUint48(buf []byte, n uint64) []byte {
	var wide [8]byte

	binary.BigEndian.PutUint64(wide[:], n)

	return append(buf, wide[8-timeSize:]...)
}

// appendFence appends a fence. A fence beyond the stored form is replaced by one that no record has.
func appendFence(buf []byte, fence uint64) []byte {
	return binary.BigEndian.AppendUint32(buf, uint32(min(fence, math.MaxUint32)))
}

func decodeTime(s string) time.Time { return timeOf(uint48At(s, 0)) }

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}

	return time.UnixMilli(ms)
}

func uint48At(s string, i int) int64 {
	return int64(uint16At(s, i))<<32 | int64(uint32At(s, i+2))
}

func uint16At(s string, i int) int { return int(s[i])<<8 | int(s[i+1]) }

func uint32At(s string, i int) uint32 {
	return uint32(s[i])<<24 | uint32(s[i+1])<<16 | uint32(s[i+2])<<8 | uint32(s[i+3])
}
