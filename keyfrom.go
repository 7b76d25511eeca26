package onlyonce

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// escapeMark is followed by the two hexadecimal digits of a byte that does not stand for itself. A hyphen between parts is never
	// followed by another hyphen and a digit.
	escapeMark = "--"
	// digestMark is followed by the digest of a key that would be too long. No escape begins with it.
	digestMark = "--x"
)

// KeyFrom returns a readable idempotency key that is made of parts. Use it for operations that have a name in the business, so that all who
// request the same operation use the same key:
//
//	KeyFrom("fortune", "2025-01-15", "prf_abc123", "daily") // fortune-2025-01-15-prf_abc123-daily
//
// Different parts give different keys:
//   - Parts are joined by hyphens. A hyphen inside of a part becomes --2d. A date like 2025-01-15 and a UUID keep their hyphens.
//   - A byte that keys cannot contain, such as a space or a byte of "ü", becomes its hexadecimal digits in the same way. All other
//     characters stay as they are. Case counts.
//   - Three parts that look like a date together, or five that look like a UUID, are kept apart: the first character of the last part
//     becomes its hexadecimal digits.
//   - A key longer than [MaxKeyLength] is cut: its first 200 characters are followed by --x and a digest of all parts in 52 characters.
//
// The rules are in docs/keys.md, with vectors in testdata/key-from.json. They do not change.
//
// Parts of letters, digits, hyphens and underscores give a key of these characters, which [StrictKeys] accepts from 10 to 64 characters.
// The error reports that there is no part, or an empty part: a forgotten value would give many operations the same key.
func KeyFrom(parts ...string) (string, error) {
	if len(parts) == 0 {
		return "", errors.New("onlyonce: making a key of no parts: give KeyFrom at least one part")
	}

	var key strings.Builder

	for i, part := range parts {
		if part == "" {
			return "", fmt.Errorf("onlyonce: making a key of parts: part %d of %d is empty; give each part a value", i+1, len(parts))
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

// shapes are the values that keep their hyphens, dates and UUIDs: how many digits stand between the hyphens, and which digits.
var shapes = [...]struct { //nolint:gochecknoglobals // a constant
	lengths []int
	digits  string
}{
	{[]int{4, 2, 2}, "0123456789"},
	{[]int{8, 4, 4, 4, 12}, "0123456789abcdefABCDEF"},
}

// shaped reports whether words that are joined by hyphens have a shape.
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

// endsShape reports whether the last of several parts completes a shape that none of the parts has. No shape begins inside of
// another, so the parts of a shape have no shape themselves.
func endsShape(parts []string) bool {
	for _, shape := range shapes {
		if n := len(shape.lengths); len(parts) >= n && shaped(parts[len(parts)-n:]) {
			return true
		}
	}

	return false
}

// writePart writes a part so that its end and its value can be read back.
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

// shortened replaces the end of a key by a digest of its parts.
func shortened(key string, parts []string) string {
	const readable = 200

	sum := sumOf(parts...)

	return key[:readable] + digestMark + lowerBase32(&sum)
}
