package oncehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientCall is one logical request.
type clientCall struct {
	transport *Transport
	request   *http.Request // the caller's; never changed
	key       string
	route     string
	presumed  bool

	attempts  int
	before    standing // when the last attempt was sent
	last      reply
	resp      *http.Response // of the last attempt; nil: none
	end       func()         // ends the last attempt, with the body of its answer
	body      *onceBody      // of the first attempt; nil: it has none, or one that can be sent again
	sign      sign
	ambiguous bool // an attempt may have taken effect

	resumed bool          // an earlier process may have sent the request
	age     time.Duration // since the first attempt of that process, or of a request that was redirected
	began   time.Time
}

// call is a logical request with a key.
func (t *Transport) call(r *http.Request, key string) *clientCall {
	return &clientCall{
		transport: t, request: r, key: key, presumed: t.presumed(r), route: r.Method + " " + r.URL.Scheme + "://" + r.URL.Host + t.route(r),
		began: time.Now(),
	}
}

// RoundTrip makes a request, with a key and retries if it is protected: see Transport.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		return t.base.RoundTrip(r) // which refuses it
	}

	from := redirectedBy(r)
	if from != nil && from.request.Method != r.Method {
		return t.follow(from, r)
	}

	key, end, err := t.keyOf(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}

		return nil, &callError{err: err, key: key, verdict: onlyonce.VerdictFinal}
	}

	if key == "" {
		return t.base.RoundTrip(r)
	}

	panicked := true

	defer func() {
		if panicked {
			end(errUnfinished)
		}
	}()

	c := t.call(r, key)
	if from != nil && from.key == key && from.ambiguous {
		c.ambiguous, c.age = true, from.age+time.Since(from.began)
	}

	resp, err := c.sent()
	panicked = false

	if err == nil && c.running() {
		resp.Body = &watchedBody{ReadCloser: resp.Body, running: c.running, end: func(failed error) { end(c.failure(failed)) }}
	} else {
		end(c.failure(err))
	}

	return resp, err
}

// follow sends, as it is, the request with another method that an http.Client makes after a redirect. From is the call that the redirect
// has answered. Its key is not used, because the new request is another request.
func (t *Transport) follow(from *clientCall, r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil { // the caller of the http.Client gets nothing else
		return nil, &callError{err: err, key: from.key, verdict: onlyonce.VerdictUnknown, attempts: from.attempts}
	}

	return resp, nil
}

// failure returns the error with which the request has ended for the run around it, or nil.
func (c *clientCall) failure(err error) error {
	if err == nil && c.verdict() == onlyonce.VerdictUnknown {
		return &callError{err: &answeredError{c.resp}, key: c.key, verdict: onlyonce.VerdictUnknown}
	}

	return err
}

// sent sends the request, and keeps it in the journal meanwhile.
func (c *clientCall) sent() (*http.Response, error) {
	call, err := c.write()
	if err != nil {
		if c.request.Body != nil {
			_ = c.request.Body.Close()
		}

		return nil, err
	}

	if call == nil {
		return c.do()
	}

	returned := false

	defer func() {
		if !returned { // the RoundTripper below has panicked, and may have sent the request
			_ = call.End(c.request.Context(), errUnfinished)
		}
	}()

	resp, err := c.do()
	returned = true

	return c.written(call, resp, err)
}

var errUnfinished = errors.New("oncehttp: the request did not return")

// do makes the attempts.
func (c *clientCall) do() (*http.Response, error) {
	policy := c.transport.policy
	timeout := policy.AttemptTimeout

	usable := keytime.Usable(c.transport.retention) - c.age
	if usable <= 0 { // an attempt was made before
		if c.request.Body != nil {
			_ = c.request.Body.Close()
		}

		return nil, &callError{err: journal.ErrTooOld, key: c.key, verdict: onlyonce.VerdictUnknown}
	}

	policy.MaxElapsed = min(policy.MaxElapsed, usable)
	policy.AttemptTimeout = 0 // the body of an answer outlives its attempt

	options := retry.Options{Classify: c.classify}
	if observe := c.transport.observe; observe != nil {
		options.Observe = func(a retry.Attempt) { observe(c.request.Context(), a) }
	}

	resp, err := retry.Do(c.request.Context(), policy, options, func(ctx context.Context, n int) (*http.Response, error) {
		return c.attempt(ctx, n, timeout)
	})

	if err == nil {
		return resp, nil
	}

	// An answer that no attempt has improved is the answer, unless the caller has left.
	if answered, ok := err.(*answeredError); ok && c.resp != nil { //nolint:errorlint // the last attempt's own
		return c.finish(answered.resp), nil
	}

	if c.attempts == 0 && c.request.Body != nil {
		_ = c.request.Body.Close()
	}

	c.discard()

	verdict := onlyonce.VerdictUnknown
	if !c.ambiguous {
		verdict = onlyonce.VerdictNotExecuted
	}

	return nil, &callError{err: err, key: c.key, verdict: verdict, attempts: c.attempts, note: c.note()}
}

// answeredError is an answer that may be improved by another attempt.
type answeredError struct{ resp *http.Response }

func (e *answeredError) Error() string { return "oncehttp: the server answered " + e.resp.Status }

// attempt makes one attempt.
func (c *clientCall) attempt(ctx context.Context, n int, timeout time.Duration) (*http.Response, error) {
	c.discard()
	c.before = c.transport.confirmations.of(c.route, c.presumed)

	if err := c.mayResume(); err != nil {
		return nil, retry.Permanent(err)
	}

	c.attempts = n

	ctx, end := context.WithCancelCause(ctx)

	var sent sending

	r, err := c.outgoing(httptrace.WithClientTrace(ctx, c.trace(&sent)), n)
	if err != nil {
		end(nil)

		return nil, retry.Permanent(err)
	}

	inTime := func() bool { return true }

	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { end(retry.ErrAttemptTimeout) })
		inTime = timer.Stop

		defer timer.Stop()
	}

	resp, err := c.transport.base.RoundTrip(r)
	if err != nil {
		err = c.lost(ctx, err, sent.mayHaveLeft())
		end(nil)

		return nil, err
	}

	c.resp, c.end = resp, func() { end(nil) }
	resp.Body = ending(resp.Body, c.end)

	c.read(resp) //nolint:contextcheck // the request has it

	switch {
	case !inTime(): // the end of the attempt cuts the body off
		c.ambiguous = true
		c.discard()

		return nil, retry.ErrAttemptTimeout
	case c.sign.wantsRetry(resp.StatusCode, c.transport.statuses):
		return nil, &answeredError{resp}
	default:
		return c.finish(resp), nil //nolint:contextcheck // the answer belongs to the caller
	}
}

// lost notes an attempt without an answer, and returns its error. MayHaveLeft: the request may have left the client.
func (c *clientCall) lost(ctx context.Context, err error, mayHaveLeft bool) error {
	if mayHaveLeft {
		c.last, c.ambiguous = replyLost, true
	} else {
		c.last = replyUnsent
	}

	if cause := context.Cause(ctx); errors.Is(cause, retry.ErrAttemptTimeout) {
		return fmt.Errorf("%w: %w", cause, err)
	}

	return err
}

// read notes what the header of an answer says about the attempt, and about the server.
func (c *clientCall) read(resp *http.Response) {
	c.sign = signOf(resp, time.Now())
	c.last = c.sign.reply(resp.StatusCode)

	if c.transport.confirmations.learn(c.route, c.last) {
		c.report()
	}

	if c.sign.verdict(resp.StatusCode) == onlyonce.VerdictUnknown {
		c.ambiguous = true
	}
}

// outgoing returns the request of an attempt.
func (c *clientCall) outgoing(ctx context.Context, n int) (*http.Request, error) {
	r := c.request.Clone(ctx)
	r.Trailer = c.request.Trailer // its values come while the body is read

	if r.Header == nil {
		r.Header = make(http.Header)
	}

	maps.DeleteFunc(r.Header, func(name string, _ []string) bool { return isKeyHeader(name) })
	r.Header.Set(KeyHeader, c.keyValue())

	if n > 1 {
		r.Header.Set(AttemptHeader, strconv.Itoa(n-1))
	}

	if err := c.setBody(r, n); err != nil {
		return nil, err
	}

	c.transport.withoutOwnRetries(r)

	return r, nil
}

// setBody gives the request of an attempt its body.
func (c *clientCall) setBody(r *http.Request, n int) error {
	switch {
	case hasNoBody(c.request):
	case c.request.GetBody == nil && c.request.ContentLength > 0: // it is sent once, and it must not be empty
	case c.request.GetBody == nil && n == 1:
		c.body = &onceBody{ReadCloser: c.request.Body}
		r.Body = c.body
	case c.request.GetBody == nil: // it was empty: see repeatable
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
	case n > 1:
		body, err := c.request.GetBody()
		if err != nil {
			return fmt.Errorf("oncehttp: the body of the request cannot be sent again: %w", err)
		}

		r.Body = body
	}

	return nil
}

// classify decides whether to try again.
func (c *clientCall) classify(a retry.Attempt) retry.Decision {
	if retry.IsPermanent(a.Err) || !c.before.mayRetry(c.last) || !c.repeatable() {
		return retry.Decision{}
	}

	d := retry.Decision{Retry: true}

	if c.resp != nil {
		d.Delay, d.HasDelay = c.sign.after, c.sign.asked
		d.Free = c.sign.reason == onlyonce.ReasonInProgress || c.sign.reason == onlyonce.ReasonLeaseLost

		if c.sign.retention > 0 {
			d.MaxElapsed = max(keytime.Usable(c.sign.retention)-c.age, 1)
		}
	}

	return d
}

// repeatable reports whether the body can be sent again.
func (c *clientCall) repeatable() bool {
	return hasNoBody(c.request) || c.request.GetBody != nil || c.body != nil && c.body.empty()
}

// note returns the reason why a request was not retried, if it is not obvious.
func (c *clientCall) note() string {
	switch {
	case c.last == replyLost && !c.before.mayRetry(replyLost):
		return "; oncehttp: not retried, because the server has not confirmed that it protects " + c.route +
			": deploy the kit on the servers first, or declare the route with WithPresumed"
	case c.last == replyLost && !c.repeatable():
		return "; oncehttp: not retried, because the request has a body and no GetBody"
	default:
		return ""
	}
}

// report logs that a server does not protect a route.
func (c *clientCall) report() {
	logger := c.transport.logger
	if logger == nil {
		logger = slog.Default()
	}

	logger.WarnContext(c.request.Context(), "onlyonce: the server does not protect this route, so it is not retried", "route", c.route,
		"status", c.resp.StatusCode)
}

// mostDrain is the longest wait for the rest of an answer that nobody reads.
const mostDrain = time.Second

// discard closes the answer of an earlier attempt. A short rest of it is read, so that its connection can be used again.
func (c *clientCall) discard() {
	if c.resp == nil {
		return
	}

	timer := time.AfterFunc(mostDrain, c.end)
	defer timer.Stop()

	_, _ = io.CopyN(io.Discard, c.resp.Body, mostProblem)
	_ = c.resp.Body.Close()
	c.resp = nil
}

// finish returns the answer of the logical request.
func (c *clientCall) finish(resp *http.Response) *http.Response {
	resp.Request = c.request.WithContext(context.WithValue(c.request.Context(), callKey{}, c))

	return resp
}

// running reports whether the answer will declare its status only at its end, and has not done it yet. If it never does, something has cut
// the answer off.
func (c *clientCall) running() bool {
	return c.resp != nil && announced(c.resp) && statusIn(c.resp) == ""
}

// verdict returns the verdict of the last answer. "Nothing ran" is true only of the last attempt.
func (c *clientCall) verdict() onlyonce.Verdict {
	if c.running() {
		return onlyonce.VerdictUnknown
	}

	s := c.sign
	if s.status == "" && c.resp != nil {
		s.status = statusIn(c.resp) // the trailers may have come
	}

	v := onlyonce.VerdictUnknown
	if c.resp != nil {
		v = s.verdict(c.resp.StatusCode)
	}

	if recorded := s.status == onlyonce.StatusExecuted || s.status == onlyonce.StatusReplayed; c.ambiguous && !recorded &&
		v == onlyonce.VerdictNotExecuted {
		return onlyonce.VerdictUnknown
	}

	return v
}
