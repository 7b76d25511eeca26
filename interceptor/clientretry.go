package interceptor

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/calloption"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientCall is one logical call on a client.
type clientCall struct {
	clientAnswer // to the last attempt
	trust

	first answerWatch        // of the first attempt; a field, so that a call without retries does not allocate it
	space [8]grpc.CallOption // for the options of the first attempt; a field for the same reason

	config  *clientConfig
	ctx     context.Context //nolint:containedctx // the caller's; it lives as long as the call
	method  string
	key     string
	req     any
	reply   clientReply
	target  string // of the connection, or of the options of a call without one
	cc      *grpc.ClientConn
	invoker grpc.UnaryInvoker
	opts    []grpc.CallOption // without those of an answerWatch

	most      int       // attempts that the policy allows
	began     time.Time // when the first attempt began
	times     attemptTimes
	declared  time.Duration // the shortest retention that a server has declared; 0: none
	age       time.Duration // of the first attempt of an earlier process; 0: there was none
	resumed   bool          // an earlier process may have sent it
	attempts  int
	handlers  error // the last error that came from the handler
	verdict   onlyonce.Verdict
	ambiguous bool // an attempt may have taken effect

	attemptCtx context.Context //nolint:containedctx // of the current attempt, for its end in the trace; nil: none
	traced     bool            // the trace has begun and not ended
	stop       retry.Stop      // why no attempt followed the last one
	busy       time.Duration   // the time of all attempts
}

// withRetry makes a call whose metadata has the key, and retries it while that is safe.
func (c *clientConfig) withRetry(
	ctx context.Context, method, key string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts []grpc.CallOption,
) error {
	if _, again := lastOption[attemptOption](opts); again {
		return invoker(ctx, method, req, reply, cc, opts...) // the interceptor is installed twice
	}

	call := &clientCall{
		config: c, ctx: ctx, method: method, key: key, req: req, reply: replyTo(reply), cc: cc, invoker: invoker,
		target: targetOf(cc, opts), began: time.Now(),
	}

	call.traceBegin()

	defer call.traceAbandoned()

	if c.protected(method) {
		call.confirmation = c.confirmations.of(cc, call.target, method)
		call.declared = call.confirmation.declaredRetention()
	}

	opts = call.resume(opts)
	call.limit()
	policy := call.policy(opts)
	call.most = policy.WithDefaults().MaxAttempts

	// Without a buffer, gRPC cannot send the request again, so its own retries are off. They would multiply the attempts of this call. A
	// hidden attempt could also still run when the last one ends with VerdictNotExecuted.
	call.opts = append(append(call.space[:0], opts...), grpc.MaxRetryRPCBufferSize(0))

	if (call.most > 1 || call.resumed) && call.confirmation != nil {
		call.opts = call.guarded(method, call.opts)
	}

	if call.confirmation != nil { // without it, another interceptor may retry the call
		call.opts = append(call.opts, attemptOption{})
	}

	options := retry.Options{Classify: call.classify, Interrupted: interrupted}
	if c.observe != nil || c.trace != nil {
		options.Observe = call.observe
	}

	err := call.journaled(func() error {
		if call.tooOld() {
			return call.failed(journal.ErrTooOld)
		}

		if _, err := retry.Do(call.ctx, policy, options, call.attempt); err != nil {
			return call.failed(err)
		}

		return nil
	})

	call.traceEnd(err)

	return err
}

// targetOf returns the name of the server of a call. It is empty if the call has no connection and its options name no server.
func targetOf(cc *grpc.ClientConn, opts []grpc.CallOption) string {
	if cc != nil {
		return cc.Target()
	}

	option, _ := lastOption[calloption.Target](opts)

	return option.Name
}

// policy returns the retry policy of the call.
func (c *clientCall) policy(opts []grpc.CallOption) retry.Policy {
	policy := c.config.policy
	if c.config.budgets != nil && (c.cc != nil || c.target != "") {
		policy.Budget = c.config.budgets.For(c.target)
	}

	if option, ok := lastOption[retryOption](opts); ok {
		policy = overPolicy(option.policy, policy)
	}

	if c.confirmation == nil {
		policy = retry.Policy{MaxAttempts: 1}
	}

	policy.MaxElapsed = min(cmp.Or(policy.MaxElapsed, c.times.begin), c.times.begin)

	return policy
}

// overPolicy takes the unset fields of a policy from a wider policy. MaxElapsed of the wider policy is always a bound.
func overPolicy(p, wider retry.Policy) retry.Policy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, wider.MaxAttempts)
	base, most := p.BaseDelay, p.MaxDelay
	inherited := wider.WithDefaults()
	p.BaseDelay = cmp.Or(base, inherited.BaseDelay)
	p.MaxDelay = cmp.Or(most, inherited.MaxDelay)

	// If only one of the two is set, the inherited one is adapted to it.
	if base == 0 {
		p.BaseDelay = min(p.BaseDelay, p.MaxDelay)
	}

	if most == 0 && base > 0 {
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
	c.attempts = n
	watch := &c.first

	if n > 1 || c.resumed {
		// An attempt that begins in time may wait for a connection until times.send.
		var cancel context.CancelFunc

		ctx, cancel = context.WithDeadline(ctx, c.began.Add(c.times.send))
		defer cancel()
	}

	if n > 1 {
		watch = new(answerWatch)
		c.opts = slices.Clip(c.opts) // a copy on append: an earlier attempt may still use the array

		ctx = metadata.AppendToOutgoingContext(ctx, AttemptHeader, strconv.Itoa(n-1))

		c.reply.empty()
		emptyResults(c.opts)
	}

	ctx = c.traceAttempt(ctx, n)

	c.begin()

	err := c.invoker(ctx, c.method, c.req, c.reply.to, c.cc, watch.options(c.opts)...)
	c.clientAnswer = watch.last()

	c.learn(&c.clientAnswer, c.kind(err))
	c.obeyRetention(err)

	if c.ruled.report {
		c.config.reportUnconfirmed(ctx, c.method, c.target, c.replica())
	}

	c.judge(err)

	return struct{}{}, err // a gRPC status
}

// obeyRetention applies a shorter retention that the server has declared in its answer. It also holds for later calls, unless the answer
// is a recorded error: errors may have a shorter retention.
func (c *clientCall) obeyRetention(err error) {
	declared, status := c.retention(), c.status()
	ended := status == onlyonce.StatusExecuted || status == onlyonce.StatusReplayed

	if c.confirmation != nil && declared > 0 && (err == nil || !ended) {
		c.confirmation.declare(declared)
	}

	if declared > 0 && (c.declared == 0 || declared < c.declared) {
		c.declared = declared
		c.limit()
	}
}

// classify decides whether to try again.
func (c *clientCall) classify(a retry.Attempt) retry.Decision {
	st := statusOf(a.Err)

	delay, given, stop := retryDelay(st, c.trailer)
	if stop || c.recorded(a.Err) {
		return retry.Decision{}
	}

	// An attempt that the client itself did not send is no sign of an overloaded server.
	again, free := a.TimedOut || c.refused(), c.refused()

	switch reason, ok := rejectionReason(a.Err); {
	case ok:
		again, free = retriedByClient(reason), given && waitsForAnother(reason)
	case c.delivery.refusedHere(a.Err, c.answered()):
		again = false // another attempt would also be refused
	case slices.Contains(c.config.retryCodes, st.Code()):
		again = true
	}

	// After the last attempt of the policy, the confirmation is not the reason why the call ends.
	again = again && (a.Number >= c.most || c.allows())

	return retry.Decision{Retry: again, Delay: delay, HasDelay: given, Free: free, MaxElapsed: c.times.begin}
}
