// Package retry runs an operation again until it succeeds, or until the policy, its error or the caller's context stops it. A failed call
// returns the last real error.
//
// [Do] runs the operation. [Policy] decides how often and how fast, [Options] decide which errors are retried. The only shared state is the
// optional [Budget]. Nothing runs in the background, and no timer outlives the call.
//
//	attempt ──ok───────────────────────────────────────────────▶ StopSuccess
//	   ▲  └─error──▶ the error is that the context ended ───────▶ StopCancelled
//	   │             Classify does not retry the error ─────────▶ StopNotRetryable
//	   │             the caller's context has ended ────────────▶ StopCancelled
//	   │             MaxAttempts are made ──────────────────────▶ StopAttempts
//	   │             the Budget is at or below half ────────────▶ StopBudget
//	   │             the delay would reach the deadline ────────▶ StopDeadline
//	   │             the delay would pass MaxElapsed ───────────▶ StopElapsed
//	   └──delay──────otherwise
//
// # Which error is returned
//
// Do returns the error of the last attempt, as the operation returned it, without the mark of [Permanent]. In two cases it returns an
// [InterruptedError], which has the last real error and the cause:
//   - The caller's context ends during a delay.
//   - The caller's context ends during an attempt that fails because of that, and an earlier attempt failed for a reason of its own.
//
// If the context ended before the first attempt, Do returns its cause. If the policy is invalid, Do returns the error of [Policy.Validate].
// In both cases the operation does not run.
//
// # Time
//
// All times are read from the monotonic clock. A delay begins only if it ends before the caller's deadline. If the clock has passed the
// deadline, the context counts as ended, even if its timer has not fired yet: an operation that computes with [context.Context.Deadline]
// fails before that timer.
package retry
