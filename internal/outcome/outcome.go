// Package outcome encodes and decodes the stored outcome of a run.
//
//	byte   0       1     2…5       6               7…
//	       format  kind  checksum  length of code  code, body
//
// An outcome without attachments has format 1. With attachments it has format 2; they follow the body: see [Attached].
//
// The checksum covers the storage key, so the outcome of another key does not match. Every later format keeps the position and the meaning
// of the first six bytes. So a damaged outcome can be distinguished from an outcome of a newer build.
package outcome

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	plain    = 1 // the format without attachments
	attached = 2 // the format with attachments
	newest   = attached

	checksumStart = 2
	checksumEnd   = 6
	header        = 7
	maxCode       = 255 // the length is one byte
)

// Kind is the kind of a stored outcome.
type Kind uint8

// The kinds. Their numbers are stored.
const (
	KindAnswer    Kind = 1 // Body is the answer
	KindNotStored Kind = 2 // the answer was too large to keep
	KindNote      Kind = 3 // Body is a note about an unknown outcome
	KindClaim     Kind = 4 // the attachments of a claim, while the record is running; it has no body

	KindResolution Kind = 5 // the attachments of a record that a person has released; it has no body

	// KindShadow is a record of shadow mode without an answer. Real mode never reads it. Its number leaves room for the kinds of real mode.
	KindShadow Kind = 32
)

// Stored is a stored outcome.
type Stored struct {
	Kind Kind
	// Code names the outcome for people. Only its first 255 bytes are stored.
	Code string
	Body []byte
	Attached
}

// Encode returns the bytes for the record of key.
func (o *Stored) Encode(key *store.Key) []byte {
	room, tail := Room(o.Code), o.size()
	data := make([]byte, room, room+len(o.Body)+tail)
	data = append(data, o.Body...)
	data = o.appendTo(data)
	seal(key, formatOf(tail), o.Kind, o.Code, data)

	return data
}

// formatOf returns the oldest format that has all parts, so that older builds can read the outcome.
func formatOf(tail int) byte {
	if tail == 0 {
		return plain
	}

	return attached
}

// Room returns how many bytes precede the body of an outcome with a code.
func Room(code string) int { return header + min(len(code), maxCode) }

// seal writes the header and the code in front of a body that is already in its place.
func seal(key *store.Key, format byte, kind Kind, code string, data []byte) {
	data[0] = format
	data[1] = byte(kind)
	data[checksumEnd] = byte(copy(data[header:Room(code)], code)) //nolint:gosec // at most maxCode
	binary.BigEndian.PutUint32(data[checksumStart:], checksum(key, data))
}

// Answer returns the bytes for an answer. If the body has more than limit bytes, it returns KindNotStored without a body. The first bytes
// of data are not part of the body. Attach may be nil. If it is, and first is the result of [Room], Answer overwrites the first bytes and
// returns data itself.
func Answer(key *store.Key, code string, data []byte, first, limit int, attach *Attached) []byte {
	body := data[min(max(first, 0), len(data)):]

	if len(body) <= limit && first == Room(code) && first <= len(data) && attach == nil {
		seal(key, plain, KindAnswer, code, data)

		return data
	}

	out := Stored{Kind: KindAnswer, Code: code, Body: body}
	if len(body) > limit {
		out = Stored{Kind: KindNotStored, Code: code}
	}

	if attach != nil {
		out.Attached = *attach
	}

	return out.Encode(key)
}

// Decode reads the bytes from the record of key. The Body shares their memory. The error matches [store.ErrUnreadable] or [store.ErrNewer].
func Decode(key *store.Key, data []byte) (Stored, error) {
	if len(data) < header {
		return Stored{}, fmt.Errorf("onlyonce: reading an outcome: %d bytes are too few for a header of %d: %w",
			len(data), header, store.ErrUnreadable)
	}

	if binary.BigEndian.Uint32(data[checksumStart:]) != checksum(key, data) {
		return Stored{}, fmt.Errorf("onlyonce: reading an outcome: the checksum does not match its key and content: %w", store.ErrUnreadable)
	}

	if data[0] > newest {
		return Stored{}, fmt.Errorf("onlyonce: reading an outcome: it has format %d, this build reads formats up to %d: %w",
			data[0], newest, store.ErrNewer)
	}

	out := Stored{Kind: Kind(data[1])}
	end := header + int(data[checksumEnd])

	if !known(data[0], out.Kind) || end > len(data) {
		return Stored{}, fmt.Errorf("onlyonce: reading an outcome: format %d, kind %d and a code up to byte %d of %d do not fit: %w",
			data[0], out.Kind, end, len(data), store.ErrUnreadable)
	}

	out.Code = codeOf(data[header:end])
	out.Body = data[end:]

	if data[0] == attached && !out.detach() {
		return Stored{}, fmt.Errorf("onlyonce: reading an outcome: its attachments do not fit: %w", store.ErrUnreadable)
	}

	return out, nil
}

// known reports whether a format may have a kind.
func known(format byte, kind Kind) bool {
	switch format {
	case plain:
		return kind >= KindAnswer && kind <= KindNote || kind == KindShadow
	case attached:
		return kind >= KindAnswer && kind <= KindResolution
	default:
		return false
	}
}

// codeOf returns a code. It allocates nothing for OK, the code of most outcomes.
func codeOf(data []byte) string {
	const ok = "OK"

	if string(data) == ok {
		return ok
	}

	return string(data)
}

func checksum(key *store.Key, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, key[:])
	sum = crc32.Update(sum, table, data[:checksumStart])

	return crc32.Update(sum, table, data[checksumEnd:])
}
