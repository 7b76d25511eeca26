package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

// NewKey returns a fresh idempotency key: a UUID of version 7, which begins with the time in milliseconds and has 74
// random bits. See RFC 9562, section 5.7.
func NewKey() string { return uuid.New7(time.Now()).String() }

// KeyTime returns the time at which a key was made. The second result is false if the key is not a UUID of version 7, in either case, as
// [NewKey] makes them.
func KeyTime(key string) (time.Time, bool) {
	id, ok := uuid.Parse(key)
	if !ok {
		return time.Time{}, false
	}

	return id.Time()
}
