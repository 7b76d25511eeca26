package httprules

import (
	"errors"
	"fmt"
	"strings"
)

// ParseKey returns the key in the value of a key header. A value that begins with a quote is a string of RFC 8941, section 3.3.3. Every
// other value is the key itself.
func ParseKey(value string) (string, error) {
	value = strings.Trim(value, " \t")

	if !strings.HasPrefix(value, `"`) {
		return value, nil
	}

	var key strings.Builder

	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			if rest := value[i+1:]; rest != "" {
				return "", fmt.Errorf("invalid idempotency key: %d characters follow the closing quote; send one string", len(rest))
			}

			return key.String(), nil
		case c == '\\':
			i++
			if i >= len(value) || value[i] != '"' && value[i] != '\\' {
				return "", fmt.Errorf(`invalid idempotency key: the backslash at position %d escapes neither " nor \ (RFC 8941, 3.3.3)`, i)
			}

			key.WriteByte(value[i])
		case c < ' ' || c > '~':
			return "", fmt.Errorf("invalid idempotency key: byte 0x%02x at position %d; use printable ASCII", c, i+1)
		default:
			key.WriteByte(c)
		}
	}

	return "", errors.New("invalid idempotency key: the string has no closing quote; close it, or send the key without quotes")
}

// QuoteKey returns a key as a string of RFC 8941.
func QuoteKey(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}
