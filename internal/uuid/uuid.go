// Package uuid makes and reads UUIDs as RFC 9562 defines them: https://www.rfc-editor.org/rfc/rfc9562.
package uuid

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Length is the length of a UUID as text.
const Length = 36

// timeBytes is how many bytes of a UUID of version 7 hold the time.
const timeBytes = 6

// UUID is the binary form of a UUID.
type UUID [16]byte

// New4 returns a UUID of version 4: 122 random bits. See section 5.4.
func New4() UUID {
	var id UUID

	_, _ = rand.Read(id[:]) // crypto/rand.Read never returns an error

	return id.Marked(4)
}

// New7 returns a UUID of version 7: the time in milliseconds and 74 random bits. See section 5.7.
func New7(made time.Time) UUID {
	var (
		id     UUID
		millis [8]byte
	)

	binary.BigEndian.PutUint64(millis[:], uint64(made.UnixMilli()))
	copy(id[:timeBytes], millis[2:])

	_, _ = rand.Read(id[timeBytes:]) // crypto/rand.Read never returns an error

	return id.Marked(7)
}

// Parse reads a UUID of any version, in either case. The second result is false for any other text.
func Parse(text string) (UUID, bool) {
	var id UUID

	if len(text) != Length {
		return id, false
	}

	var digits [2 * len(id)]byte

	n := 0

	for i := range len(text) {
		if hyphenAt(i) != (text[i] == '-') {
			return id, false
		}

		if text[i] != '-' {
			digits[n] = text[i]
			n++
		}
	}

	_, err := hex.Decode(id[:], digits[:])

	return id, err == nil
}

func hyphenAt(i int) bool { return i == 8 || i == 13 || i == 18 || i == 23 }

// Marked returns the UUID with the bits of a version and of the RFC's variant set. See section 4.
func (u UUID) Marked(version byte) UUID {
	const variant = 0x80

	u[6] = u[6]&0x0f | version<<4
	u[8] = u[8]&0x3f | variant

	return u
}

// Time returns the time at which a UUID of version 7 was made. The second result is false for any other version.
func (u UUID) Time() (time.Time, bool) {
	if u[6]>>4 != 7 || u[8]>>6 != 0b10 {
		return time.Time{}, false
	}

	var millis [8]byte

	copy(millis[2:], u[:timeBytes])

	return time.UnixMilli(int64(binary.BigEndian.Uint64(millis[:]))), true //nolint:gosec // 48 bits
}

// WithTimeOf returns u as a UUID of version 7 with the time of another UUID of version 7.
func (u UUID) WithTimeOf(other UUID) UUID {
	copy(u[:timeBytes], other[:timeBytes])

	return u.Marked(7)
}

// String returns the UUID as text, in lower case.
func (u UUID) String() string {
	var text [Length]byte

	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])

	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'

	return string(text[:])
}
