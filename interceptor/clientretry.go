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

	latest    time.Duration // since the first attempt: until when another may be sent
	began     time.Time     // the first attempt
	attempts  int
	header    metadata.MD // of the last attempt, as trailer
	trailer   metadata.MD
	ambiguous bool  // an attempt may have taken effect
	handlers  error // the last error that came from the handler
	verdict   onlyonce.Verdict
}

// withRetry makes a call whose metadata has the key, and makes it again where that is safe.
func (c *clientConfig) withRetry(
	ctx context.Context, method, key string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts []grpc.CallOption,
) error {
	if _, again := lastOption[attemptOption](opts); again {
		return invoker(ctx, method, req, reply, cc, opts...) // the interceptor is installed twice
	}

	policy := c.policy
	if c.budgets != nil && cc != nil {
		policy.Budget = c.budgets.For(cc.Target())
	}

	if option, ok := lastOption[retryOption](opts); ok {
		policy = overPolicy(option.policy, policy)
	}

	if !c.protected(method) {
		policy = retry.Policy{MaxAttempts: 1}
	}

	m := c.known.get(method)
	times := c.attemptTimes(m, key, time.Now())

	policy.MaxElapsed = min(cmp.Or(policy.MaxElapsed, times.begin), times.begin)

	call := &clientCall{
		config: c, ctx: ctx, method: method, key: key, req: req, reply: reply, cc: cc, invoker: invoker,
		latest: times.send,
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
	inherited := wider.WithDefaults()
	p.BaseDelay = cmp.Or(base, inherited.BaseDelay)
	p.MaxDelay = cmp.Or(most, inherited.MaxDelay)

	// Where one is set and the other is not, the one that is inherited gives way.
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
	c.header, c.trailer = nil, nil
	c.attempts = n

	if n == 1 {
		c.began = time.Now()
	} else {
		// An attempt that begins in time may still wait for a connection, for as long as it is let.
		var cancel context.CancelFunc

		ctx, cancel = context.WithDeadline(ctx, c.began.Add(c.latest))
		defer cancel()

		ctx = metadata.AppendToOutgoingContext(ctx, AttemptHeader, strconv.Itoa(n-1))
	}

	err := c.invoker(ctx, c.method, c.req, c.reply, c.cc, c.opts...)
	c.judge(err)

	return struct{}{}, err // a gRPC status
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

func (c *clientCall) observe(a retry.Attempt) {
	reported := c.status()

	c.config.observe(c.ctx, Attempt{
		Attempt: a, Method: c.method, Key: c.key, Status: reported,
		Unconfirmed: reported == "" && answered(a.Err) && c.config.protected(c.method),
	})
}
