package onlyonce

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	// escapeMark begins the two hexadecimal digits of a byte that does not stand for itself. A hyphen between parts is never
	// followed by another one and a digit.
	escapeMark = "--"
	// digestMark begins the digest of a key that would be too long. No escape begins like it.
	digestMark = "--x"
)

// KeyFrom returns a readable idempotency key for what its parts name:
//
//	KeyFrom("fortune", "2025-01-15", "prf_abc123", "daily") // fortune-2025-01-15-prf_abc123-daily
//
// It is for operations that a business knows by name, so that everybody who asks for the same one has the same key. Different parts
// give different keys: what stands between parts is a hyphen, and a hyphen inside of a part is written as --2d, unless the part is a
// date like 2025-01-15 or a UUID, which are left as they are. Bytes that keys cannot have, such as a space or those of an "ü", are
// written in the same way; everything else is left as it is, and case counts. Three parts that would look like a date together, or five
// like a UUID, are kept apart by writing the first character of the last one so.
//
// A key that would be longer than [MaxKeyLength] ends in a digest of all parts instead: its first 200 characters, --x and 52 more
// characters. The rules are in docs/keys.md, with vectors in testdata/key-from.json, and do not change.
//
// Where all parts have letters, digits, hyphens and underscores alone, so has the key, and [StrictKeys] accept it from 10 to 64
// characters. The error says that there is no part, or that one is empty: a forgotten one would give many operations the same key.
func KeyFrom(parts ...string) (string, error) {
	if len(parts) == 0 {
		return "", errors.New("onlyonce: KeyFrom needs the parts of a key")
	}

	var key strings.Builder

	for i, part := range parts {
		if part == "" {
			return "", fmt.Errorf("onlyonce: part %d of %d of an idempotency key is empty; give each a value", i+1, len(parts))
		}

		if i > 0 {
			key.WriteByte('-')
		}

		writePart(&key, part, endsShape(parts[:i+1]))
	}

	if key.Len() > MaxKeyLength {
		return shortened(key.String(), parts), nil
	}

	return key.String(), nil
}

// shapes are what is known to have hyphens and is left as it is: the numbers of digits between them, and which digits.
var shapes = [...]struct { //nolint:gochecknoglobals // a constant
	lengths []int
	digits  string
}{
	{[]int{4, 2, 2}, "0123456789"},
	{[]int{8, 4, 4, 4, 12}, "0123456789abcdefABCDEF"},
}

// shaped reports whether words have a shape, if hyphens are put between them.
func shaped(words []string) bool {
	for _, shape := range shapes {
		if len(words) != len(shape.lengths) {
			continue
		}

		same := true
		for i, word := range words {
			same = same && len(word) == shape.lengths[i] && strings.Trim(word, shape.digits) == ""
		}

		if same {
			return true
		}
	}

	return false
}

// endsShape reports whether the last of several parts ends a shape that is none of theirs. No shape begins inside of another
// one, so that the parts of it are no shapes themselves.
func endsShape(parts []string) bool {
	for _, shape := range shapes {
		if n := len(shape.lengths); len(parts) >= n && shaped(parts[len(parts)-n:]) {
			return true
		}
	}

	return false
}

// writePart writes a part so that it can be told where it ends and what it was.
func writePart(key *strings.Builder, part string, apart bool) {
	if shaped(strings.Split(part, "-")) {
		key.WriteString(part)

		return
	}

	for i := range len(part) {
		if c := part[i]; c == '-' || c < '!' || c > '~' || i == 0 && apart {
			fmt.Fprintf(key, "%s%02x", escapeMark, c)
		} else {
			key.WriteByte(c)
		}
	}
}

// shortened replaces the end of a key by a digest of what it is made of.
func shortened(key string, parts []string) string {
	const readable = 200

	var buf []byte
	for _, part := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}

	digest := sha256.Sum256(buf)

	return key[:readable] + digestMark + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(digest[:]))
}
