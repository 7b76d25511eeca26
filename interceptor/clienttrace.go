package interceptor

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

// ClientTrace follows keyed calls on a client from their beginning to their end, for spans and metrics. A nil function is not called. The
// call waits for the functions, so they must return quickly. They must be safe for concurrent use.
//
//	Begin ─► BeginAttempt ─► EndAttempt ─► … ─► BeginAttempt ─► EndAttempt ─► End
type ClientTrace struct {
	// Begin is called before the first attempt. It returns the context of the call: ctx, or a context that is derived from ctx.
	Begin func(ctx context.Context, call CallInfo) context.Context
	// BeginAttempt is called before every attempt. Number counts from 1. It returns the context of the attempt: ctx, or a context that is
	// derived from ctx. The attempt sends the outgoing metadata of that context.
	BeginAttempt func(ctx context.Context, number int) context.Context
	// EndAttempt is called after every attempt, with the context that BeginAttempt returned. If the attempt panicked, its error has the code
	// UNKNOWN.
	EndAttempt func(ctx context.Context, attempt Attempt)
	// End is called after the last attempt, with the context that Begin returned. It is also called if the call panics.
	End func(ctx context.Context, end CallEnd)
}

// WithClientTrace sets functions that follow every keyed call. The default, and nil, is none. A later option replaces an earlier one. It is
// independent of WithAttemptObserver.
func WithClientTrace(trace *ClientTrace) ClientOption {
	return func(c *clientConfig) { c.trace = trace }
}

// CallInfo identifies a logical call.
type CallInfo struct {
	// Method is the full method name, as in "/payments.v1.PaymentService/Pay".
	Method string
	// Key is the idempotency key. Do not use it as a metric label: every call has another one.
	Key string
	// Target is the string that grpc.NewClient got. In package onceconnect it is the host of the base URL.
	Target string
}

// CallEnd is the end of a logical call.
type CallEnd struct {
	CallInfo

	// Attempts is how many attempts were made. It is 0 if the call ended before the first, for example because its context had ended.
	Attempts int
	// Elapsed is how long the call took. Delay is the part of Elapsed in which no attempt was under way.
	Elapsed, Delay time.Duration
	// Stop is the reason why no further attempt followed. It is [retry.StopCancelled] if the call ended before its first attempt, or between
	// two attempts.
	Stop retry.Stop
	// StoppedUnconfirmed reports that the call was not retried for one reason alone: a server that does not protect the method might have run
	// it once more. Stop is then [retry.StopNotRetryable].
	StoppedUnconfirmed bool
	// Status is the status in the answer to the last attempt. It is empty if there was no answer, or if the answer has no status.
	Status onlyonce.Status
	// Err is the error that the caller gets: nil, or a gRPC status. [onlyonce.VerdictOf] returns its meaning for the key.
	Err error
}

// info identifies the call.
func (c *clientCall) info() CallInfo {
	return CallInfo{Method: c.method, Key: c.key, Target: c.target}
}

// traceBegin begins the trace of a call.
func (c *clientCall) traceBegin() {
	t := c.config.trace
	if t == nil {
		return
	}

	if t.Begin != nil {
		c.ctx = t.Begin(c.ctx, c.info())
	}

	c.traced = true
}

// traceAbandoned ends the trace of a call whose goroutine leaves it by a panic or by runtime.Goexit.
func (c *clientCall) traceAbandoned() {
	if !c.traced {
		return
	}

	err := status.Error(codes.Unknown, "the call has panicked")

	if c.attemptCtx != nil {
		c.clientAnswer = clientAnswer{} // it belongs to an earlier attempt
		c.observe(retry.Attempt{Number: c.attempts, Err: err, Stop: retry.StopNotRetryable})
	}

	c.traceEnd(err)
}

// traceAttempt returns the context of an attempt that begins.
func (c *clientCall) traceAttempt(ctx context.Context, number int) context.Context {
	t := c.config.trace
	if t == nil {
		return ctx
	}

	if t.BeginAttempt != nil {
		ctx = t.BeginAttempt(ctx, number)
	}

	c.attemptCtx = ctx

	return ctx
}

// observe reports an attempt that has ended.
func (c *clientCall) observe(a retry.Attempt) {
	attempt := Attempt{Attempt: a, Method: c.method, Key: c.key, Status: c.status(), Unconfirmed: c.ruled.report}

	c.stop = a.Stop
	c.busy += a.Elapsed

	if t := c.config.trace; t != nil {
		ctx := c.attemptCtx
		c.attemptCtx = nil

		if t.EndAttempt != nil {
			t.EndAttempt(ctx, attempt)
		}
	}

	if c.config.observe != nil {
		c.config.observe(c.ctx, attempt)
	}
}

// traceEnd reports the end of the call.
func (c *clientCall) traceEnd(err error) {
	t := c.config.trace
	c.traced = false

	if t == nil || t.End == nil {
		return
	}

	end := CallEnd{
		CallInfo: c.info(), Attempts: c.attempts, Elapsed: time.Since(c.began), Stop: c.stop,
		StoppedUnconfirmed: err != nil && c.stopped, Status: c.status(), Err: err,
	}

	if c.stop == retry.StopNone { // the context ended before an attempt
		end.Stop = retry.StopCancelled
	}

	if c.attempts > 1 || c.stop == retry.StopNone {
		end.Delay = max(end.Elapsed-c.busy, 0)
	}

	t.End(c.ctx, end)
}
