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
	const (
		version = 0x70
		variant = 0x80
	)

	var id [16]byte

	_, _ = rand.Read(id[6:]) // crypto/rand.Read never returns an error

	var millis [8]byte

	binary.BigEndian.PutUint64(millis[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], millis[2:])

	id[6] = id[6]&0x0f | version
	id[8] = id[8]&0x3f | variant

	var text [36]byte

	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])

	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'

	return string(text[:])
}
