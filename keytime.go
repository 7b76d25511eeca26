package onlyonce

import (
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// lookupOnly is the fence of a claim that makes no record, because no record has this fence. Such a claim looks up a key that may be too
// old, and returns the store's time, which decides how old the key is.
const lookupOnly = math.MaxUint32

const (
	notTimeOrdered = "invalid idempotency key: this method requires a UUID of version 7, which begins with the time at which it was made"
	tooOld         = "this idempotency key is older than the method allows and has no record, so the call may have been executed before and " +
		"is not executed now; find out what became of it before you use a new key"
)

// keyWindowOf returns the time in which a time-ordered key with a life may make a record, by the clock of this process. It refuses a
// key of another form, and a key from the future.
func keyWindowOf(key string, life time.Duration, now time.Time) (keytime.Window, *Rejection) {
	made, ok := KeyTime(key)
	if !ok {
		return keytime.Window{}, reject(ReasonKeyInvalid, notTimeOrdered, nil)
	}

	window, ok := keytime.Of(made, life, now)
	if !ok {
		return keytime.Window{}, reject(ReasonKeyInvalid, fmt.Sprintf("invalid idempotency key: it was made more than %v in the future; "+
			"set the clock and send a new key", keytime.Tolerance(life)), nil)
	}

	return window, nil
}
