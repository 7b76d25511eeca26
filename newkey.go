package onlyonce

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// NewKey returns a fresh idempotency key: a UUID of version 7, which begins with the time in milliseconds and has 74
// random bits. See RFC 9562, section 5.7.
func NewKey() string {
	var id [16]byte

	_, _ = rand.Read(id[6:]) // crypto/rand.Read never returns an error

	var millis [8]byte

	binary.BigEndian.PutUint64(millis[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], millis[2:])

	return uuidOf(&id, 7)
}

// KeyTime returns the time at which a key was made that is a UUID of version 7, in either case, as [NewKey] makes them. The second
// result is false for any other key.
func KeyTime(key string) (time.Time, bool) {
	id, ok := parseUUID(key)
	if !ok || id[6]>>4 != 7 || id[8]>>6 != 0b10 {
		return time.Time{}, false
	}

	var millis [8]byte

	copy(millis[2:], id[:6])

	return time.UnixMilli(int64(binary.BigEndian.Uint64(millis[:]))), true //nolint:gosec // 48 bits
}

const uuidLength = 36

// uuidHyphen reports whether a UUID has a hyphen at a position.
func uuidHyphen(at int) bool { return at == 8 || at == 13 || at == 18 || at == 23 }

func parseUUID(text string) (id [16]byte, ok bool) {
	if len(text) != uuidLength {
		return id, false
	}

	digits := make([]byte, 0, 2*len(id))

	for i := range len(text) {
		if uuidHyphen(i) != (text[i] == '-') {
			return id, false
		}

		if text[i] != '-' {
			digits = append(digits, text[i])
		}
	}

	_, err := hex.Decode(id[:], digits)

	return id, err == nil
}

// uuidOf marks 16 bytes as a UUID of a version. See RFC 9562, section 4.
func uuidOf(id *[16]byte, version byte) string {
	const variant = 0x80

	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | variant

	return uuidText(id)
}

func uuidText(id *[16]byte) string {
	var text [uuidLength]byte

	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])

	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'

	return string(text[:])
}
