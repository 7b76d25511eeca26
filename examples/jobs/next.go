package jobs

import (
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Next is what to do with a job after [onlyonce.Engine.Do].
type Next uint8

// The values of Next.
const (
	// Done means that the job has had its effect, now or earlier.
	Done Next = iota
	// Later means that this attempt ran nothing. The queue retries the job without counting the attempt.
	Later
	// Retry means that the attempt failed. The queue counts it and retries the job with the same key.
	Retry
	// Dead means that further attempts are useless. A person must look at the job.
	Dead
)

// After returns what to do after an error of [onlyonce.Engine.Do], or nil. The delay is for Later.
func After(err error) (next Next, delay time.Duration) {
	if err == nil {
		return Done, 0
	}

	// A rejection of this job itself, not a rejection that its function got from another service.
	if rejection, ok := err.(*onlyonce.Rejection); ok { //nolint:errorlint // see above
		switch {
		case rejection.RetryAfter > 0:
			return Later, rejection.RetryAfter
		case rejection.Reason == onlyonce.ReasonOutcomeNotStored && rejection.Metadata["original_code"] == "OK":
			return Done, 0 // and its result was too large to keep
		default:
			return Dead, 0
		}
	}

	if onlyonce.VerdictOf(err) == onlyonce.VerdictFinal {
		return Dead, 0
	}

	return Retry, 0
}
