package interceptor

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

// isUUID reports whether a key is a UUID of any version, in either case. The format UUID4 describes the form of a value, and its
// documentation shows a UUID of another version.
func isUUID(key string) bool {
	_, ok := uuid.Parse(key)

	return ok
}

// keyForm is the form that the keys of a method have.
type keyForm struct {
	rules onlyonce.KeyRules
	uuid  bool
}

// validate reports a form that no key of a method can have.
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

// normal returns a key in the form in which it is compared and stored.
func (f *keyForm) normal(key string) string {
	if f.uuid && isUUID(key) {
		return strings.ToLower(key)
	}

	return key
}

// check returns the problem of a key and its remedy, or "".
func (f *keyForm) check(key string) string {
	if f.uuid && !isUUID(key) {
		return "invalid idempotency key: this method requires a UUID, such as f47ac10b-58cc-4372-a567-0e02b2c3d479"
	}

	if err := f.rules.Check(key); err != nil {
		return err.Error()
	}

	return ""
}
