package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

// NewKey returns a fresh idempotency key: a UUID of version 7, which begins with the time in milliseconds and has 74 random bits. Make one
// key for each operation, and keep it for all attempts. See RFC 9562, section 5.7.
func NewKey() string { return uuid.New7(time.Now()).String() }

// KeyTime returns the time at which a key was made, to the millisecond. The second result is false if the key is not a UUID of version 7,
// as [NewKey] makes them. Upper and lower case are both accepted.
func KeyTime(key string) (time.Time, bool) {
	id, ok := uuid.Parse(key)
	if !ok {
		return time.Time{}, false
	}

	return id.Time()
}
