package retry

import "fmt"

// Stop is the reason why no further attempt follows an attempt.
type Stop int

// The reasons to stop.
const (
	// StopNone means that another attempt follows after Attempt.Delay. The attempt is not made if the caller's context ends during the delay,
	// or if the timer is so late that Policy.MaxElapsed has passed.
	StopNone Stop = iota
	// StopSuccess means that the attempt succeeded.
	StopSuccess
	// StopNotRetryable means that Options.Classify or [Permanent] excludes a retry.
	StopNotRetryable
	// StopAttempts means that Policy.MaxAttempts attempts were made.
	StopAttempts
	// StopBudget means that Policy.Budget is at or below half of its tokens.
	StopBudget
	// StopDeadline means that the delay would not end before the caller's deadline.
	StopDeadline
	// StopCancelled means that the caller's context ended during the attempt: it was cancelled, or its deadline passed.
	StopCancelled
	// StopElapsed means that the next attempt would start later than Policy.MaxElapsed allows.
	StopElapsed
)

// String returns a short name for logs and metric labels. The names do not change.
func (s Stop) String() string {
	switch s {
	case StopNone:
		return "none"
	case StopSuccess:
		return "success"
	case StopNotRetryable:
		return "not-retryable"
	case StopAttempts:
		return "attempts"
	case StopBudget:
		return "budget"
	case StopDeadline:
		return "deadline"
	case StopCancelled:
		return "cancelled"
	case StopElapsed:
		return "elapsed"
	default:
		return fmt.Sprintf("Stop(%d)", int(s))
	}
}
