package interceptor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientCall is one logical call on a client.
type clientCall struct {
	config  *clientConfig
	ctx     context.Context //nolint:containedctx // the caller's, for the length of the call
	method  string
	key     string
	req     any
	reply   any
	cc      *grpc.ClientConn
	invoker grpc.UnaryInvoker
	opts    []grpc.CallOption

	attempts  int
	header    metadata.MD // of the last attempt, as trailer
	trailer   metadata.MD
	ambiguous bool  // an attempt may have taken effect
	handlers  error // the last error that came from the handler
	verdict   onlyonce.CallOutcome
}

// withRetry makes a call whose metadata has the key, and makes it again where that is safe.
func (c *clientConfig) withRetry(
	ctx context.Context, method, key string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts []grpc.CallOption,
) error {
	if _, again := lastOption[attemptOption](opts); again {
		return invoker(ctx, method, req, reply, cc, opts...) // the interceptor is installed twice
	}

	policy := c.policy
	if option, ok := lastOption[retryOption](opts); ok {
		policy = overPolicy(option.policy, policy)
	}

	if !c.protected(method) {
		policy = retry.Policy{MaxAttempts: 1}
	}

	call := &clientCall{
		config: c, ctx: ctx, method: method, key: key, req: req, reply: reply, cc: cc, invoker: invoker,
	}

	// The first message of a call that buffers nothing commits it, so that gRPC's own retries do not multiply with these.
	call.opts = append(make([]grpc.CallOption, 0, len(opts)+4), opts...)
	call.opts = append(call.opts, grpc.Header(&call.header), grpc.Trailer(&call.trailer))

	if policy.MaxAttempts != 1 {
		call.opts = append(call.opts, grpc.MaxRetryRPCBufferSize(0), attemptOption{})
	}

	options := retry.Options{Classify: call.classify, Interrupted: interrupted}
	if c.observe != nil {
		options.Observe = call.observe
	}

	_, err := retry.Do(ctx, policy, options, call.attempt)
	if err == nil {
		return nil
	}

	return call.failed(err)
}

// overPolicy takes what is unset in a policy from a wider one. No attempt is made later than the wider one allows.
func overPolicy(p, wider retry.Policy) retry.Policy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, wider.MaxAttempts)
	base, most := p.BaseDelay, p.MaxDelay
	p.BaseDelay = cmp.Or(base, wider.BaseDelay)
	p.MaxDelay = cmp.Or(most, wider.MaxDelay)

	// Where one is set and the other is not, the one that is inherited gives way.
	if base == 0 && most > 0 {
		p.BaseDelay = min(p.BaseDelay, most)
	}

	if most == 0 && base > 0 && p.MaxDelay > 0 {
		p.MaxDelay = max(p.MaxDelay, base)
	}

	p.Multiplier = cmp.Or(p.Multiplier, wider.Multiplier)
	p.AttemptTimeout = cmp.Or(p.AttemptTimeout, wider.AttemptTimeout)
	p.Budget = cmp.Or(p.Budget, wider.Budget)
	p.MaxElapsed = min(cmp.Or(p.MaxElapsed, wider.MaxElapsed), wider.MaxElapsed)

	return p
}

// attempt makes one attempt.
func (c *clientCall) attempt(ctx context.Context, n int) (struct{}, error) {
	c.header, c.trailer = nil, nil
	c.attempts = n

	if n > 1 {
		ctx = metadata.AppendToOutgoingContext(ctx, AttemptHeader, strconv.Itoa(n-1))
	}

	err := c.invoker(ctx, c.method, c.req, c.reply, c.cc, c.opts...)
	c.judge(err)

	return struct{}{}, err // a gRPC status
}

func (c *clientCall) status() onlyonce.Status {
	if values := c.trailer.Get(StatusTrailer); len(values) > 0 {
		return onlyonce.Status(values[len(values)-1]) // the interceptor speaks last
	}

	return ""
}

// judge says what the attempt means for the key.
func (c *clientCall) judge(err error) {
	c.verdict = c.outcome(err)

	if c.verdict == onlyonce.OutcomeUnknown {
		c.ambiguous = true
	}

	if _, rejected := rejectionReason(err); err != nil && !rejected && c.status() == onlyonce.StatusUnknown {
		c.handlers = err
	}
}

// outcome is what one answer means, looked at alone.
func (c *clientCall) outcome(err error) onlyonce.CallOutcome {
	if err == nil || c.recorded(err) {
		return onlyonce.OutcomeFinal
	}

	switch c.status() {
	case onlyonce.StatusReleased:
		return onlyonce.OutcomeNotExecuted
	case onlyonce.StatusRejected:
		if reason, ok := rejectionReason(err); ok {
			return (&onlyonce.Rejection{Reason: reason}).CallOutcome()
		}

		// This attempt ran nothing, for a reason that is not the engine's, such as a refused replay: another one has run.
		return onlyonce.OutcomeUnknown
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
		return onlyonce.OutcomeUnknown
	default:
		return onlyonce.OutcomeUnknown
	}
}

// recorded reports whether the error of the last attempt is the recorded answer. That settles what earlier attempts did, and
// another attempt would get the same. The status alone does not say it: a recorded response may fail on its way, as one does
// that is too large for the client, and the caller must not take that for a failed call. A replay tells by its header what it
// replays; of a first answer only the code tells whether gRPC can have made it.
func (c *clientCall) recorded(err error) bool {
	switch c.status() {
	case onlyonce.StatusReplayed:
		return err != nil && len(c.header.Get(ReplayedHeader)) == 0
	case onlyonce.StatusExecuted:
		return err != nil && defaultClass(statusOf(err).Code()) == onlyonce.ClassDefinite
	case onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected:
		return false
	default:
		return false
	}
}

// rejectionReason is the reason in an error of the very server that was called.
func rejectionReason(err error) (onlyonce.Reason, bool) {
	info, ok := errorInfo(statusOf(err))
	if !ok || info.GetDomain() != Domain {
		return "", false
	}

	return onlyonce.Reason(info.GetReason()), true
}

// classify decides whether to try again.
func (c *clientCall) classify(a retry.Attempt) retry.Decision {
	st := statusOf(a.Err)

	delay, asked, stop := retryDelay(st, c.trailer)
	if stop || c.recorded(a.Err) {
		return retry.Decision{}
	}

	again := a.TimedOut

	if reason, ok := rejectionReason(a.Err); ok {
		again = retriedByClient(reason)
	} else if slices.Contains(c.config.retryCodes, st.Code()) {
		again = true
	}

	return retry.Decision{Retry: again, Delay: delay, HasDelay: asked}
}

// interrupted reports whether an attempt failed because its caller's context ended.
func interrupted(err error) bool {
	code := status.Code(err)

	return code == codes.Canceled || code == codes.DeadlineExceeded
}

func (c *clientCall) observe(a retry.Attempt) {
	said := c.status()

	c.config.observe(c.ctx, Attempt{
		Attempt: a, Method: c.method, Key: c.key, Status: said, Unconfirmed: said == "" && answered(a.Err),
	})
}

// answered reports whether an attempt was answered by a handler, as far as the code tells: interceptors in front of it may
// refuse a caller, and a connection may break, without the server being to blame.
func answered(err error) bool {
	if err == nil {
		return true
	}

	switch code := status.Code(err); code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return false
	default:
		return defaultClass(code) == onlyonce.ClassDefinite
	}
}

// failed is the error of the logical call.
func (c *clientCall) failed(err error) error {
	if c.attempts == 0 {
		return unsent(c.ctx, err)
	}

	outcome := c.verdict
	st := statusOf(err)

	// An answer that says "nothing ran" speaks of its own attempt alone. An earlier one may have run, or may still.
	if c.ambiguous && !c.recorded(err) {
		outcome = onlyonce.OutcomeUnknown
	}

	if cut, ok := errors.AsType[*retry.InterruptedError](err); ok {
		return &callError{err: err, status: statusOf(cut.Err), outcome: onlyonce.OutcomeUnknown}
	}

	// What a retry is told of an unknown outcome is less than what the handler said of it.
	if c.handlers != nil && outcome == onlyonce.OutcomeUnknown {
		err = errors.Join(err, c.handlers)
	}

	return &callError{err: err, status: st, outcome: outcome}
}

// unsent is the error of a call that made no attempt: its context had ended, or its policy cannot hold.
func unsent(ctx context.Context, err error) error {
	st := status.New(codes.InvalidArgument, err.Error())
	if gone := ctx.Err(); gone != nil {
		st = status.FromContextError(gone)
	}

	// Nothing was sent by this call. Another one may have sent the same key.
	return &callError{err: err, status: st, outcome: onlyonce.OutcomeUnknown}
}

// callError is the error of a logical call: a gRPC status, and what it means for the key.
type callError struct {
	err     error
	status  *status.Status
	outcome onlyonce.CallOutcome
}

// localError is an error of a call that was not sent.
func localError(err error) error {
	return &callError{err: err, status: statusOf(err), outcome: onlyonce.OutcomeFinal}
}

func (e *callError) Error() string                     { return e.status.Err().Error() }
func (e *callError) Unwrap() error                     { return e.err }
func (e *callError) GRPCStatus() *status.Status        { return e.status }
func (e *callError) CallOutcome() onlyonce.CallOutcome { return e.outcome }
