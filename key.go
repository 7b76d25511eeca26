package onlyonce

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// MaxKeyLength is the longest key that the contract allows, in bytes.
const MaxKeyLength = 255

// KeyRules says which keys are accepted. The zero value is the contract's rule: 1 to 255 printable ASCII characters,
// 0x21 to 0x7E, case-sensitive. Rules can be stricter than the contract, never looser.
type KeyRules struct {
	// MinLength and MaxLength are in bytes, both included. Zero means 1 and 255.
	MinLength, MaxLength int
	// Alphabet lists the characters that are accepted. Empty means all printable ASCII characters.
	Alphabet string
	// TimeOrdered accepts UUIDs of version 7 alone, which begin with the time at which they were made. See [Call].TimeOrdered for
	// what that is good for.
	TimeOrdered bool
}

// StrictKeys are rules for keys that fit everywhere: 10 to 64 letters, digits, hyphens and underscores.
func StrictKeys() KeyRules {
	const shortest, longest = 10, 64

	return KeyRules{
		MinLength: shortest, MaxLength: longest,
		Alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
	}
}

// Validate reports rules that no key can fulfil, or that are looser than the contract.
func (r KeyRules) Validate() error {
	low, high := r.bounds()

	var errs []error
	if r.MinLength < 0 || r.MaxLength < 0 || low > high || high > MaxKeyLength {
		errs = append(errs, fmt.Errorf("onlyonce: key rules allow %d to %d characters: give 1 <= MinLength <= MaxLength <= %d",
			low, high, MaxKeyLength))
	}

	if i := strings.IndexFunc(r.Alphabet, func(c rune) bool { return c < '!' || c > '~' }); i >= 0 {
		errs = append(errs, fmt.Errorf("onlyonce: key rules list %q: give printable ASCII characters only", r.Alphabet[i:]))
	}

	const allDigits = "01234567-89ab-7def-8123-456789abcdef"

	if err := (KeyRules{MinLength: r.MinLength, MaxLength: r.MaxLength, Alphabet: r.Alphabet}).Check(allDigits); r.TimeOrdered && err != nil {
		errs = append(errs, fmt.Errorf("onlyonce: key rules ask for UUIDs of version 7, and refuse %s (%w): allow 36 characters of 0-9, a-f and "+
			"the hyphen", allDigits, err))
	}

	return errors.Join(errs...)
}

// Check returns an error that says what is wrong with a key, or nil.
func (r KeyRules) Check(key string) error {
	low, high := r.bounds()
	if len(key) < low || len(key) > high {
		return fmt.Errorf("an idempotency key has %d to %d characters, this one has %d", low, high, len(key))
	}

	for i := range len(key) {
		c := key[i]
		if c < '!' || c > '~' || (r.Alphabet != "" && strings.IndexByte(r.Alphabet, c) < 0) {
			return fmt.Errorf("an idempotency key has no character like %q (at position %d)", key[i:i+1], i+1)
		}
	}

	if _, ok := KeyTime(key); r.TimeOrdered && !ok {
		return errors.New(notTimeOrdered)
	}

	return nil
}

func (r KeyRules) bounds() (low, high int) {
	low, high = r.MinLength, r.MaxLength
	if low == 0 {
		low = 1
	}

	if high == 0 {
		high = MaxKeyLength
	}

	return low, high
}

// storageKey hashes the identity of a call. Every part is preceded by its length, so that different identities never
// give the same input.
func storageKey(scope, method, key string) store.Key {
	var space [512]byte

	buf := space[:0]
	for _, part := range [...]string{scope, method, key} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}

	return sha256.Sum256(buf)
}
