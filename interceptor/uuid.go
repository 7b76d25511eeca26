package interceptor

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce"
)

// uuidLength is that of a UUID as text.
const uuidLength = 36

// newUUID4 returns a fresh UUID of version 4, for methods that declare this format: it has 122 random bits. See RFC 9562,
// section 5.4.
func newUUID4() string {
	const (
		version = 0x40
		variant = 0x80
	)

	var id [16]byte

	_, _ = rand.Read(id[:]) // crypto/rand.Read never returns an error

	id[6] = id[6]&0x0f | version
	id[8] = id[8]&0x3f | variant

	text := make([]byte, 0, uuidLength)

	for i, part := range [...][]byte{id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]} {
		if i > 0 {
			text = append(text, '-')
		}

		text = hex.AppendEncode(text, part)
	}

	return string(text)
}

// isUUID reports whether a key is a UUID as RFC 9562 writes it, in either case. The version does not matter: what declares
// the format of version 4 declares how a value looks, and the documentation of the format shows one of another version.
func isUUID(key string) bool {
	if len(key) != uuidLength {
		return false
	}

	for i := range len(key) {
		c := key[i]

		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}

	return true
}

// keyForm is the form that the keys of a method have.
type keyForm struct {
	rules onlyonce.KeyRules
	uuid  bool
}

// validate reports a form that no key of a method has.
func (f *keyForm) validate(fullMethod string) error {
	const allDigits = "01234567-89ab-7def-8123-456789abcdef"

	if !f.uuid {
		return nil
	}

	if err := f.rules.Check(allDigits); err != nil {
		return fmt.Errorf("interceptor: the key field of %s declares that keys are UUIDs, and its KeyRules refuse %s (%w): allow 36 characters "+
			"of 0-9, a-f and the hyphen", fullMethod, allDigits, err)
	}

	return nil
}

// normal is a key as it is compared and stored.
func (f *keyForm) normal(key string) string {
	if f.uuid && isUUID(key) {
		return strings.ToLower(key)
	}

	return key
}

// check returns a sentence that says what is wrong with a key, or nothing.
func (f *keyForm) check(key string) string {
	if f.uuid && !isUUID(key) {
		return "an idempotency key of this method is a UUID, such as f47ac10b-58cc-4372-a567-0e02b2c3d479; send one"
	}

	if err := f.rules.Check(key); err != nil {
		return err.Error()
	}

	return ""
}
