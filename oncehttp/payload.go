package oncehttp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"github.com/onlyonce-go/onlyonce/store"
)

// The stored form of an answer. The engine adds a checksum.
//
//	byte   0        1      2…3      4…
//	       version  kind   status   headers, trailers, body
//
// Headers and trailers are a count, and for each header its name, the number of its values and its values. Counts and lengths are
// uvarints.
const (
	payloadVersion = 1
	payloadFixed   = 4
)

// payloadKind is the part of an answer that is kept.
type payloadKind uint8

const (
	keptWhole   payloadKind = 1 // all of it
	keptNothing payloadKind = 2 // only its status: it was sent while the handler wrote it
)

// payload is the part of an answer that is kept.
type payload struct {
	kind    payloadKind
	status  int
	header  []field
	trailer []field
	body    []byte
}

// clone returns a copy with its own headers. The copy shares the body, which nobody changes.
func (p *payload) clone() payload {
	own := *p
	own.header, own.trailer = cloneFields(p.header), cloneFields(p.trailer)

	return own
}

// encode returns the stored form behind so many free bytes.
func (p *payload) encode(room int) []byte {
	size := room + payloadFixed + sizeOf(p.header) + sizeOf(p.trailer) + len(p.body)
	data := make([]byte, room, size)

	data = append(data, payloadVersion, byte(p.kind))
	data = binary.BigEndian.AppendUint16(data, uint16(p.status)) //nolint:gosec // a status of HTTP has three digits
	data = appendFields(data, p.header)
	data = appendFields(data, p.trailer)

	return append(data, p.body...)
}

// sizeOf returns the size of the stored form of fields.
func sizeOf(fields []field) int {
	size := uvarintSize(len(fields))

	for _, f := range fields {
		size += uvarintSize(len(f.name)) + len(f.name) + uvarintSize(len(f.values))
		for _, v := range f.values {
			size += uvarintSize(len(v)) + len(v)
		}
	}

	return size
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 1<<7; n >>= 7 {
		size++
	}

	return size
}

func appendFields(data []byte, fields []field) []byte {
	data = appendLength(data, len(fields))

	for _, f := range fields {
		data = appendText(data, f.name)
		data = appendLength(data, len(f.values))

		for _, v := range f.values {
			data = appendText(data, v)
		}
	}

	return data
}

func appendLength(data []byte, n int) []byte {
	return binary.AppendUvarint(data, uint64(n)) //nolint:gosec // never negative
}

func appendText(data []byte, text string) []byte {
	return append(appendLength(data, len(text)), text...)
}

var errTruncated = errors.New("it ends too early")

// decodePayload reads the stored form. The body shares the memory of data. The error matches store.ErrUnreadable or store.ErrNewer.
func decodePayload(data []byte) (payload, error) {
	if len(data) < payloadFixed {
		return payload{}, unreadableAnswer(errTruncated)
	}

	if data[0] > payloadVersion {
		return payload{}, fmt.Errorf("oncehttp: reading a recorded answer: it has version %d, this build reads %d: %w",
			data[0], payloadVersion, store.ErrNewer)
	}

	p := payload{kind: payloadKind(data[1]), status: int(binary.BigEndian.Uint16(data[2:]))}
	in := reader{data: data[payloadFixed:]}

	p.header = in.fields()
	p.trailer = in.fields()
	p.body = in.data

	switch {
	case in.err != nil:
		return payload{}, unreadableAnswer(in.err)
	case data[0] != payloadVersion || p.kind != keptWhole && p.kind != keptNothing:
		return payload{}, unreadableAnswer(fmt.Errorf("version %d and kind %d do not exist", data[0], p.kind))
	case p.kind == keptWhole && (p.status < lowestFinal || p.status > highestStatus):
		return payload{}, unreadableAnswer(fmt.Errorf("%d is no status of an answer", p.status))
	case p.kind == keptNothing && len(p.header)+len(p.trailer)+len(p.body) > 0:
		return payload{}, unreadableAnswer(errors.New("an answer that is not kept has content"))
	default:
		return p, nil
	}
}

func unreadableAnswer(err error) error {
	return fmt.Errorf("oncehttp: reading a recorded answer: %w: %w", err, store.ErrUnreadable)
}

// reader takes values from the front of data. Its first error ends it.
type reader struct {
	data []byte
	err  error
}

// count takes a number of things of which each has at least one byte.
func (r *reader) count() int {
	n, size := binary.Uvarint(r.data)
	if r.err == nil && (size <= 0 || n > uint64(max(len(r.data)-size, 0))) {
		r.err = errTruncated
	}

	if r.err != nil {
		return 0
	}

	r.data = r.data[size:]

	return int(n) //nolint:gosec // at most the length of data
}

func (r *reader) text() string {
	n := r.count()
	text := string(r.data[:n])
	r.data = r.data[n:]

	return text
}

// header takes the headers of a request.
func (r *reader) header() http.Header {
	header := make(http.Header)

	for range r.count() {
		name := r.text()
		for range r.count() {
			header[name] = append(header[name], r.text())
		}
	}

	return header
}

func (r *reader) fields() []field {
	var fields []field

	for range r.count() {
		f := field{name: r.text()}

		for range r.count() {
			f.values = append(f.values, r.text())
		}

		if r.err == nil && (!isToken(f.name) || neverRecorded(f.name) && f.name != contentLength || ofContract(f.name)) {
			r.err = fmt.Errorf("%q is no header of a recorded answer", f.name)
		}

		if r.err != nil {
			return nil
		}

		fields = append(fields, f)
	}

	return fields
}
