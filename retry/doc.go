// Package retry runs an operation again until it succeeds, is told to stop, or runs out of attempts,
// time or budget, and never hides the last real error behind the end of a context.
//
// [Do] is the whole of it. [Policy] says how often and how fast, [Options] say which errors deserve
// another attempt and who watches. There is no state besides the optional [Budget], no goroutine, and no
// timer that outlives the call.
//
//	attempt ──ok──────────────────────────────────────────────▶ StopSuccess
//	   ▲  └─error──▶ only tells that the caller's context ended? ▶ StopCancelled
//	   │             Classify says no ───────────────────────▶ StopNotRetryable
//	   │             the caller's context ended ─────────────▶ StopCancelled
//	   │             MaxAttempts made ───────────────────────▶ StopAttempts
//	   │             Budget spent ───────────────────────────▶ StopBudget
//	   │             delay would reach the deadline ─────────▶ StopDeadline
//	   │             delay would pass MaxElapsed ────────────▶ StopElapsed
//	   └──delay──────otherwise
//
// # Which error is returned
//
// The error of the last attempt, as the operation returned it (without the mark of [Permanent]), with two
// exceptions, which both concern the context of the caller and both yield an [InterruptedError] that holds
// the last real error and the cause:
//
//   - it ends during a delay;
//   - it ends during an attempt, the attempt fails because of that, and an earlier attempt failed for a
//     reason of its own.
//
// A context that ended before the first attempt yields its cause, an invalid policy the error of
// [Policy.Validate]; in both cases the operation does not run.
//
// # Time
//
// All times are read from the monotonic clock. A delay is begun only if it ends before the caller's
// deadline. A deadline that the clock has passed counts as ended, even where the timer of the context has
// not fired yet, because operations that compute with [context.Context.Deadline] fail ahead of it.
package retry
