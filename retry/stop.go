package retry

import "fmt"

// Stop says why no further attempt follows one.
type Stop int

// The reasons to stop.
const (
	// StopNone says that another attempt is due after Attempt.Delay. It is not made if the caller's
	// context ends before, or if the machine was so late that Policy.MaxElapsed has passed.
	StopNone Stop = iota
	// StopSuccess says that the attempt succeeded.
	StopSuccess
	// StopNotRetryable says that Options.Classify or [Permanent] ruled a retry out.
	StopNotRetryable
	// StopAttempts says that Policy.MaxAttempts were made.
	StopAttempts
	// StopBudget says that Policy.Budget is at or below half of its tokens.
	StopBudget
	// StopDeadline says that the delay would not have ended before the caller's deadline.
	StopDeadline
	// StopCancelled says that the caller's context ended during the attempt, whether cancelled or past
	// its deadline.
	StopCancelled
	// StopElapsed says that the next attempt would have started later than Policy.MaxElapsed allows.
	StopElapsed
)

// String returns a short stable name, fit for logs and metric labels.
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
