package jobs

import (
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Next is what becomes of a job after [onlyonce.Engine.Do].
type Next uint8

// What becomes of a job.
const (
	// Done means that the job has had its effect, now or earlier.
	Done Next = iota
	// Later means that this attempt ran nothing. The queue brings the job back, and does not count the attempt.
	Later
	// Retry means that the attempt has failed. The queue counts it, and brings the job back with the same key.
	Retry
	// Dead means that another attempt is of no use: a person looks at the job.
	Dead
)

// After returns what becomes of a job, given the error of [onlyonce.Engine.Do]. The delay belongs to Later.
func After(err error) (next Next, delay time.Duration) {
	if err == nil {
		return Done, 0
	}

	// A rejection of this job, and not one that its function got from another service.
	if rejection, ok := err.(*onlyonce.Rejection); ok { //nolint:errorlint // see above
		if rejection.RetryAfter > 0 {
			return Later, rejection.RetryAfter
		}

		return Dead, 0
	}

	if onlyonce.VerdictOf(err) == onlyonce.VerdictFinal {
		return Dead, 0
	}

	return Retry, 0
}
