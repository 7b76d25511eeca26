package journal

import (
	"encoding/binary"
	"errors"
	"time"
)

// Entry is a call in the journal.
type Entry struct {
	// ID is the number of the entry in its store. Later entries have higher numbers.
	ID uint64
	// Method is the full method name, as in "/payments.v1.PaymentService/Pay".
	Method string
	// Key is the idempotency key.
	Key string
	// Target is the server, as the client names it. For gRPC it is the string that grpc.NewClient got.
	Target string
	// Request is the encoded request.
	Request []byte
	// Written is when the call began, by the clock of its process.
	Written time.Time
	// Deadline is until when the caller wanted to wait. It is zero if there was no deadline. Resume does not obey it: see [WithAccept].
	Deadline time.Time
}

var errBody = errors.New("journal: the body of a record is malformed")

// encodeCall encodes an entry.
func encodeCall(e *Entry) []byte {
	buf := binary.AppendUvarint(nil, e.ID)
	buf = binary.AppendVarint(buf, nanos(e.Written))
	buf = binary.AppendVarint(buf, nanos(e.Deadline))

	for _, text := range []string{e.Method, e.Key, e.Target} {
		buf = binary.AppendUvarint(buf, uint64(len(text)))
		buf = append(buf, text...)
	}

	buf = binary.AppendUvarint(buf, uint64(len(e.Request)))

	return append(buf, e.Request...)
}

// decodeCall decodes an entry. The request shares the memory of data.
func decodeCall(data []byte) (Entry, error) {
	d := decoder{rest: data}
	e := Entry{ID: d.uvarint(), Written: moment(d.varint()), Deadline: moment(d.varint())}
	e.Method, e.Key, e.Target = string(d.bytes()), string(d.bytes()), string(d.bytes())
	e.Request = d.bytes()

	if d.failed || len(d.rest) > 0 || e.ID == 0 {
		return Entry{}, errBody
	}

	return e, nil
}

// decodeRemoval decodes the number of the entry that is removed.
func decodeRemoval(data []byte) (uint64, error) {
	d := decoder{rest: data}
	id := d.uvarint()

	if d.failed || len(d.rest) > 0 || id == 0 {
		return 0, errBody
	}

	return id, nil
}

// nanos is a time in a record. The zero time is 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}

	return t.UnixNano()
}

func moment(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}

	return time.Unix(0, nanos)
}

// decoder reads fields until one is malformed.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	value, n := binary.Uvarint(d.rest)

	return taken(d, value, n)
}

func (d *decoder) varint() int64 {
	value, n := binary.Varint(d.rest)

	return taken(d, value, n)
}

func (d *decoder) bytes() []byte {
	size := d.uvarint()
	if d.failed || size > uint64(len(d.rest)) {
		d.failed = true

		return nil
	}

	value := d.rest[:size:size]
	d.rest = d.rest[size:]

	return value
}

// taken removes n bytes that were read as a value. An n below 1 means that they are malformed.
func taken[T any](d *decoder, value T, n int) T {
	if d.failed || n < 1 {
		d.failed = true

		var none T

		return none
	}

	d.rest = d.rest[n:]

	return value
}
