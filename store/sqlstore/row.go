package sqlstore

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// formatVersion is the version of a row. Rows with a higher version are not touched.
const formatVersion = 1

const (
	flagDoubtful = 1
	flagResolved = 2
)

// row is a record as the database returns it, and the time of the read. The columns are in the order of the SQL files. Without a record
// everything except the time is zero.
type row struct {
	now integer
	id  []byte

	revision, fence, attempts                                            integer
	firstStart, lastStart, endedAt, expiresAt, leaseUntil, ownerUntil    integer
	retention                                                            integer
	seal, outcomeSeal, checksum, format, state, guarantee, flags, scheme integer
	token, fingerprint, method, readableKey, outcome                     []byte
}

func (r *row) targets() []any {
	return []any{
		&r.now, &r.id, &r.revision, &r.fence, &r.attempts,
		&r.firstStart, &r.lastStart, &r.endedAt, &r.expiresAt, &r.leaseUntil, &r.ownerUntil, &r.retention,
		&r.seal, &r.outcomeSeal, &r.checksum, &r.format, &r.state, &r.guarantee, &r.flags, &r.scheme,
		&r.token, &r.fingerprint, &r.method, &r.readableKey, &r.outcome,
	}
}

// answer returns the targets for answers with a record. In PostgreSQL these are the clock and an array.
func (r *row) answer(d Dialect) []any {
	if d == PostgreSQL {
		return []any{&r.now, r}
	}

	return r.targets()
}

// Scan implements [sql.Scanner] for a record in one JSON array: the columns in the order of targets, without the clock, and bytes in
// base64. Without a record src is nil.
func (r *row) Scan(src any) error {
	var array []byte

	switch src := src.(type) {
	case nil:
		return nil
	case []byte:
		array = src
	case string:
		array = []byte(src)
	default:
		return fmt.Errorf("reading a record: it is a %T: %w", src, store.ErrUnreadable)
	}

	columns := r.targets()[1:]
	count := len(columns)

	if err := json.Unmarshal(array, &columns); err != nil {
		return fmt.Errorf("reading a record: %w: %w", store.ErrUnreadable, err)
	}

	if len(columns) != count || !r.exists() {
		return unreadable("columns are missing")
	}

	return nil
}

// exists reports whether there is a record, expired or not.
func (r *row) exists() bool { return r.id != nil }

func (r *row) time() time.Time { return time.UnixMilli(int64(r.now)) }

// integer is a number of a row. NULL is zero.
type integer int64

// Scan implements [sql.Scanner].
func (n *integer) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*n = 0
	case int64:
		*n = integer(src)
	case []byte: // in text protocols
		return n.parse(string(src))
	case string:
		return n.parse(src)
	default:
		return fmt.Errorf("reading a number of a record: it is a %T: %w", src, store.ErrUnreadable)
	}

	return nil
}

func (n *integer) parse(s string) error {
	parsed, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("reading a number of a record: it is %q: %w", s, store.ErrUnreadable)
	}

	*n = integer(parsed)

	return nil
}

// scan reads the only row of an answer, and reports whether there was one. It reads to the end, because the error of a statement may come
// there.
func scan(rows *sql.Rows, targets ...any) (found bool, err error) {
	defer rows.Close()

	for rows.Next() {
		found = true

		if err := rows.Scan(targets...); err != nil {
			return false, err
		}
	}

	return found, rows.Err()
}

// record returns the record of a row. It returns an error unless all seals and the checksum match.
func (r *row) record(key *store.Key) (store.Record, error) {
	if !r.exists() {
		return store.Record{}, nil
	}

	var rec store.Record

	switch {
	case r.format > formatVersion:
		return rec, fmt.Errorf("reading a record: it has format %d, and this build knows format %d: %w", r.format, formatVersion, store.ErrNewer)
	case r.format < formatVersion:
		return rec, unreadable("it has no format")
	case !bytes.Equal(r.id, key[:]):
		return rec, unreadable("it belongs to another key")
	case r.state < integer(store.Running) || r.state > integer(store.Completed):
		return rec, unreadable("it is in an impossible state")
	case len(r.token) != len(rec.Token) || len(r.fingerprint) != len(rec.Fingerprint.Sum):
		return rec, unreadable("it is cut short")
	case r.checksum != r.sum():
		return rec, unreadable("its numbers do not match its checksum")
	}

	if err := r.fill(&rec); err != nil {
		return store.Record{}, err
	}

	if r.seal != identitySeal(key, rec.Fingerprint, rec.Method, rec.ReadableKey) {
		return store.Record{}, unreadable("its request does not match its seal")
	}

	if r.outcomeSeal != outcomeSeal(key, rec.State, &rec.Token, rec.Outcome) {
		return store.Record{}, unreadable("its outcome does not match its seal")
	}

	return rec, nil
}

func unreadable(why string) error {
	return fmt.Errorf("reading a record: it is damaged: %s: %w", why, store.ErrUnreadable)
}

func (r *row) fill(rec *store.Record) (err error) {
	rec.State = store.State(r.state)             //nolint:gosec // checked
	rec.Fence = uint64(r.fence)                  //nolint:gosec // as written
	rec.Guarantee = store.Guarantee(r.guarantee) //nolint:gosec // as written
	rec.Attempts = uint32(r.attempts)            //nolint:gosec // as written
	rec.Doubtful = r.flags&flagDoubtful != 0
	rec.Resolved = r.flags&flagResolved != 0
	rec.FirstStart, rec.LastStart = timeOf(r.firstStart), timeOf(r.lastStart)
	rec.EndedAt, rec.ExpiresAt = timeOf(r.endedAt), timeOf(r.expiresAt)
	rec.LeaseUntil, rec.OwnerAliveUntil = timeOf(r.leaseUntil), timeOf(r.ownerUntil)
	rec.Retention = spanOf(r.retention)
	rec.Fingerprint.Scheme = uint16(r.scheme) //nolint:gosec // as written
	copy(rec.Fingerprint.Sum[:], r.fingerprint)
	copy(rec.Token[:], r.token)

	if len(r.outcome) > 0 {
		rec.Outcome = r.outcome
	}

	if rec.Method, err = unescape(r.method); err != nil {
		return err
	}

	rec.ReadableKey, err = unescape(r.readableKey)

	return err
}

// rowOf returns the row of a record whose times are whole milliseconds.
func rowOf(key *store.Key, rec *store.Record, revision integer) row {
	r := row{
		id: key[:], revision: revision,
		fence: integer(rec.Fence), attempts: integer(rec.Attempts), //nolint:gosec // a fence counts runs
		firstStart: millis(rec.FirstStart), lastStart: millis(rec.LastStart),
		endedAt: millis(rec.EndedAt), expiresAt: millis(rec.ExpiresAt),
		leaseUntil: millis(rec.LeaseUntil), ownerUntil: millis(rec.OwnerAliveUntil), retention: integer(span(rec.Retention)),
		seal:        identitySeal(key, rec.Fingerprint, rec.Method, rec.ReadableKey),
		outcomeSeal: outcomeSeal(key, rec.State, &rec.Token, rec.Outcome),
		format:      formatVersion, state: integer(rec.State), guarantee: integer(rec.Guarantee),
		scheme: integer(rec.Fingerprint.Scheme), token: rec.Token[:], fingerprint: rec.Fingerprint.Sum[:],
		method: []byte(escape(rec.Method)), readableKey: []byte(escape(rec.ReadableKey)), outcome: rec.Outcome,
	}

	if rec.Doubtful {
		r.flags |= flagDoubtful
	}

	if rec.Resolved {
		r.flags |= flagResolved
	}

	if r.outcome == nil {
		r.outcome = []byte{} // nil would be NULL
	}

	r.checksum = r.sum()

	return r
}

// values returns the written columns of a row, without its key, in the order of the SQL files.
func (r *row) values() []any {
	return []any{
		int64(r.revision), int64(r.fence), int64(r.attempts),
		int64(r.firstStart), int64(r.lastStart), int64(r.endedAt), int64(r.expiresAt), int64(r.leaseUntil), int64(r.ownerUntil),
		int64(r.retention),
		int64(r.seal), int64(r.outcomeSeal), int64(r.checksum),
		int64(r.format), int64(r.state), int64(r.guarantee), int64(r.flags), int64(r.scheme),
		r.token, r.fingerprint, string(r.method), string(r.readableKey), r.outcome,
	}
}

// The weights of the checksum. The SQL files use them in statements that change a row by themselves.
const (
	weightState      = 1009
	weightGuarantee  = 1013
	weightFlags      = 1019
	weightFence      = 31
	weightAttempts   = 37
	weightRevision   = 41
	weightFirstStart = 1
	weightLastStart  = 2
	weightEndedAt    = 3
	weightExpiresAt  = 5
	weightLeaseUntil = 7
	weightOwnerUntil = 11
	weightRetention  = 13
)

// sum returns the checksum of the numbers that change in a record's life. The seal binds it to the key.
func (r *row) sum() integer {
	return r.seal + weightState*r.state + weightGuarantee*r.guarantee + weightFlags*r.flags +
		weightFence*r.fence + weightAttempts*r.attempts + weightRevision*r.revision +
		weightFirstStart*r.firstStart + weightLastStart*r.lastStart + weightEndedAt*r.endedAt +
		weightExpiresAt*r.expiresAt + weightLeaseUntil*r.leaseUntil + weightOwnerUntil*r.ownerUntil +
		weightRetention*r.retention
}

// identitySeal binds the constant part of a record to its key.
func identitySeal(key *store.Key, fp store.Fingerprint, method, readableKey string) integer {
	table := crc32.MakeTable(crc32.Castagnoli)

	var head [6]byte

	binary.BigEndian.PutUint16(head[:], fp.Scheme)
	binary.BigEndian.PutUint32(head[2:], uint32(len(method))) //nolint:gosec // bounded by longestText

	sum := crc32.Update(0, table, key[:])
	sum = crc32.Update(sum, table, head[:])
	sum = crc32.Update(sum, table, fp.Sum[:])
	sum = crc32.Update(sum, table, []byte(method))

	return integer(crc32.Update(sum, table, []byte(readableKey)))
}

// outcomeSeal binds an outcome to its key, state and owner.
func outcomeSeal(key *store.Key, state store.State, token *store.Token, outcome []byte) integer {
	table := crc32.MakeTable(crc32.Castagnoli)

	sum := crc32.Update(0, table, key[:])
	sum = crc32.Update(sum, table, []byte{byte(state)})
	sum = crc32.Update(sum, table, token[:])

	return integer(crc32.Update(sum, table, outcome))
}

func timeOf(ms integer) time.Time {
	if ms == 0 {
		return time.Time{}
	}

	return time.UnixMilli(int64(ms))
}

func millis(t time.Time) integer {
	if t.IsZero() {
		return 0
	}

	return integer(t.UnixMilli())
}

// round makes the times and the retention of a record whole milliseconds. Ends are rounded up, so that no lease or retention ends early.
func round(rec *store.Record) {
	rec.LeaseUntil, rec.OwnerAliveUntil = roundUp(rec.LeaseUntil), roundUp(rec.OwnerAliveUntil)
	rec.ExpiresAt = roundUp(rec.ExpiresAt)
	rec.Retention = spanOf(integer(span(rec.Retention)))
}

func roundUp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}

	return time.UnixMilli(t.Add(time.Millisecond - 1).UnixMilli())
}

// longestSpan is the longest duration, in milliseconds.
const longestSpan = math.MaxInt64 / int64(time.Millisecond)

// span returns the sum of durations in milliseconds, rounded up. It does not overflow.
func span(all ...time.Duration) int64 {
	var (
		whole int64
		rest  time.Duration
	)

	for _, d := range all {
		whole += int64(d / time.Millisecond)
		rest += d % time.Millisecond
	}

	return whole + int64((rest+time.Millisecond-1)/time.Millisecond)
}

// spanOf returns a number of milliseconds as a duration, or the longest duration.
func spanOf(ms integer) time.Duration {
	return time.Duration(min(max(int64(ms), -longestSpan), longestSpan)) * time.Millisecond
}
