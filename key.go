package onlyonce

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/onlyonce-go/onlyonce/store"
)

// MaxKeyLength is the length of the longest key that the contract allows, in bytes.
const MaxKeyLength = 255

// KeyRules decide which keys a transport accepts: see Policy.KeyRules of package interceptor. The zero value is the rule of the contract,
// which the engine checks for every call: 1 to 255 printable ASCII characters, 0x21 to 0x7E, case-sensitive. Rules can be stricter than the
// contract, never looser.
type KeyRules struct {
	// MinLength and MaxLength are in bytes, both included. Zero means 1 for MinLength and 255 for MaxLength.
	MinLength, MaxLength int
	// Alphabet lists the characters that are accepted. Empty means all printable ASCII characters.
	Alphabet string
	// TimeOrdered accepts only UUIDs of version 7, which begin with the time at which they were made. Check looks at the form only.
	// [Call].TimeOrdered explains what the time is for.
	TimeOrdered bool
}

// StrictKeys returns rules for keys that fit everywhere: 10 to 64 letters, digits, hyphens and underscores.
func StrictKeys() KeyRules {
	const shortest, longest = 10, 64

	return KeyRules{
		MinLength: shortest, MaxLength: longest,
		Alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
	}
}

// Validate returns nil if some keys can meet the rules, and the rules are not looser than the contract. Otherwise the error reports every
// problem.
func (r KeyRules) Validate() error {
	low, high := r.bounds()

	c := complaints{about: "invalid key rules"}

	if r.MinLength < 0 || r.MaxLength < 0 || low > high || high > MaxKeyLength {
		c.addf("MinLength is %d and MaxLength is %d: give 1 <= MinLength <= MaxLength <= %d", low, high, MaxKeyLength)
	}

	if i := strings.IndexFunc(r.Alphabet, func(c rune) bool { return c < '!' || c > '~' }); i >= 0 {
		c.addf("Alphabet has %q: give printable ASCII characters only", r.Alphabet[i:])
	}

	const allDigits = "01234567-89ab-7def-8123-456789abcdef"

	if err := (KeyRules{MinLength: r.MinLength, MaxLength: r.MaxLength, Alphabet: r.Alphabet}).Check(allDigits); r.TimeOrdered && err != nil {
		c.addf("TimeOrdered requires UUIDs of version 7, and the other rules refuse %s (%w): allow 36 characters of 0-9, a-f and the hyphen",
			allDigits, err)
	}

	return c.join()
}

// Check returns nil if the rules accept the key. The text of the error may be sent to the caller.
func (r KeyRules) Check(key string) error {
	low, high := r.bounds()
	if len(key) < low || len(key) > high {
		return fmt.Errorf("invalid idempotency key: length %d; use %d to %d characters", len(key), low, high)
	}

	i := firstUnprintable(key)

	for j := 0; j < i && r.Alphabet != ""; j++ {
		if strings.IndexByte(r.Alphabet, key[j]) < 0 {
			return fmt.Errorf("invalid idempotency key: %s at position %d; use characters of %s", characterAt(key, j), j+1, r.Alphabet)
		}
	}

	if i < len(key) {
		return fmt.Errorf("invalid idempotency key: %s at position %d; use printable ASCII without spaces", characterAt(key, i), i+1)
	}

	if !r.TimeOrdered {
		return nil
	}

	if _, ok := KeyTime(key); !ok {
		return errors.New(notTimeOrdered)
	}

	return nil
}

// firstUnprintable returns the position of the first byte that no key has, or the length of the key.
func firstUnprintable(key string) int {
	for i := range len(key) {
		if c := key[i]; c < '!' || c > '~' {
			return i
		}
	}

	return len(key)
}

// characterAt describes the character at a position, or the byte if it is not part of a character.
func characterAt(key string, i int) string {
	c, size := utf8.DecodeRuneInString(key[i:])
	if c == utf8.RuneError && size == 1 {
		return fmt.Sprintf("byte 0x%02x", key[i])
	}

	return fmt.Sprintf("character %q", c)
}

func (r KeyRules) bounds() (low, high int) {
	return cmp.Or(r.MinLength, 1), cmp.Or(r.MaxLength, MaxKeyLength)
}

// storageKey hashes the identity of a call.
func storageKey(scope, method, key string) store.Key { return sumOf(scope, method, key) }

// sumOf hashes parts. Each part is preceded by its length, so that different parts never give the same input.
func sumOf(parts ...string) [sha256.Size]byte {
	var space [512]byte

	buf := space[:0]
	for _, part := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}

	return sha256.Sum256(buf)
}

// lowerBase32 writes a hash so that it survives systems that ignore case.
func lowerBase32(sum *[sha256.Size]byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}
