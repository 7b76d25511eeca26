package oncehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/retry"
)

// ClientOption changes a Transport under construction.
type ClientOption func(*Transport)

// Transport is an http.RoundTripper that gives every logical request one idempotency key and retries it with that key. Make one with
// NewTransport. It is safe for concurrent use.
//
// The key comes from the first of these:
//   - the header Idempotency-Key of the request,
//   - onlyonce.ContextWithKey,
//   - after a redirect that keeps the method, such as 307 and 308: the key of the request that was redirected,
//   - inside a run, for a protected request: a key that is derived from the key of the run,
//   - outside of a run, for a protected request: a fresh UUID of version 7.
//
// All other requests pass as they are. So does the GET that an http.Client makes of a redirect: the key belongs to the request that was
// redirected. A request with a body is retried only if it has GetBody, as requests of http.NewRequest have, or if [WithJournal] has
// written it.
//
// A key is useless if the server does not read it. So an attempt that may have reached a handler is retried only if the route was confirmed
// before, or if WithPresumed declares it. Answers of the server confirm a route, or deny it:
//   - An answer with Idempotency-Status, Idempotent-Replayed or Repeatability-Result confirms. So does a problem (RFC 9457) with the
//     status 400, 409 or 422 that speaks of idempotency, as in the IETF draft.
//   - Without such a sign, the statuses 408, 429, 502, 503 and 504 neither confirm nor deny: a proxy may have answered.
//   - Any other answer denies. After that, only 16 confirming answers in a row confirm again.
//
// net/http's own retries of requests with a key are switched off.
//
// RoundTrip returns the last answer of the server, whatever its status, and an error only if there is none. [OutcomeOf] returns its meaning
// for the key.
type Transport struct {
	base      http.RoundTripper
	protected func(r *http.Request) bool
	presumed  func(r *http.Request) bool
	route     func(r *http.Request) string
	policy    retry.Policy
	retention time.Duration
	statuses  []int
	newKey    func() string
	quoted    bool
	observe   func(ctx context.Context, a retry.Attempt)
	logger    *slog.Logger
	journal   *journal.Journal
	journaled []string // the headers that the journal has
	complete  func(r *http.Request) error

	confirmations confirmations
}

// NewTransport returns a Transport on another one, or on http.DefaultTransport if base is nil. It fails if an option is invalid.
func NewTransport(base http.RoundTripper, opts ...ClientOption) (*Transport, error) {
	t := &Transport{
		base:      base,
		protected: func(r *http.Request) bool { return r.Method == http.MethodPost || r.Method == http.MethodPatch },
		presumed:  func(*http.Request) bool { return false },
		route:     func(r *http.Request) string { return r.URL.EscapedPath() },
		retention: onlyonce.DefaultRetention,
		statuses:  []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
		newKey:    onlyonce.NewKey,
	}

	if t.base == nil {
		t.base = http.DefaultTransport
	}

	for _, opt := range opts {
		opt(t)
	}

	errs := []error{t.policy.Validate()}

	if t.retention < time.Millisecond || t.retention > 100*365*24*time.Hour {
		errs = append(errs, fmt.Errorf("oncehttp: the retention of WithRetention is %v: give the time for which the servers keep answers, "+
			"from 1ms to 100 years", t.retention))
	}

	if t.protected == nil || t.presumed == nil || t.route == nil || t.newKey == nil {
		errs = append(errs, errors.New("oncehttp: WithProtected, WithPresumed, WithRouteName or WithKeyGenerator is nil: give a function, "+
			"or leave the option out"))
	}

	for _, name := range t.journaled {
		if !isToken(name) {
			errs = append(errs, fmt.Errorf("oncehttp: WithJournal has %q, which is no name of a header", name))
		}
	}

	for _, status := range t.statuses {
		if status < http.StatusBadRequest || status > highestStatus {
			errs = append(errs, fmt.Errorf("oncehttp: WithRetryStatuses has %d: give statuses of errors, from 400", status))
		}
	}

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	allowed := keytime.Usable(t.retention)
	t.policy.MaxElapsed = min(cmp.Or(t.policy.MaxElapsed, allowed), allowed)

	return t, nil
}

// CloseIdleConnections closes the idle connections of the transport below, if that can do it. http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// WithProtected sets a function that reports whether a request gets its own key. The default is every POST and PATCH; NewTransport refuses
// nil. Deploy the servers first: a key is useless if the server does not read it.
func WithProtected(protected func(r *http.Request) bool) ClientOption {
	return func(t *Transport) { t.protected = protected }
}

// WithPresumed sets a function that reports whether all servers certainly protect a request. Such a request is retried even before an
// answer has confirmed its route. The default is no request; NewTransport refuses nil. After an answer that denies, the function has no
// effect for the route: see [Transport].
func WithPresumed(presumed func(r *http.Request) bool) ClientOption {
	return func(t *Transport) { t.presumed = presumed }
}

// WithRouteName sets a function that returns the route of a request on the server. An answer confirms or denies one route of one host and
// one method. The default route is the path; NewTransport refuses nil. If paths have ids, set a function: otherwise each path needs its own
// confirmation.
func WithRouteName(route func(r *http.Request) string) ClientOption {
	return func(t *Transport) { t.route = route }
}

// WithRetry sets the retry policy: see retry.Policy for the defaults. AttemptTimeout bounds the time until the header of an answer arrives.
// MaxElapsed is shortened to the time that WithRetention allows.
func WithRetry(p retry.Policy) ClientOption { return func(t *Transport) { t.policy = p } }

// WithRetention declares how long the servers keep answers: the shortest of their retentions. The default is 24 hours; the range is a
// millisecond to 100 years. No retry begins later than the retention, less a tolerance, after the first attempt. The tolerance is 10
// minutes, or half of the retention if that is less. A server may declare a shorter time in Idempotency-Retention.
func WithRetention(d time.Duration) ClientOption { return func(t *Transport) { t.retention = d } }

// WithRetryStatuses replaces the statuses that are retried when they are not a rejection of the kit. The default is 502, 503 and 504.
// An answer that is recorded is never retried, whatever its status.
func WithRetryStatuses(statuses ...int) ClientOption {
	return func(t *Transport) { t.statuses = slices.Clone(statuses) }
}

// WithKeyGenerator sets the function that makes keys. The default is onlyonce.NewKey; NewTransport refuses nil. The function must never
// return the same key twice, and must be safe for concurrent use.
func WithKeyGenerator(newKey func() string) ClientOption {
	return func(t *Transport) { t.newKey = newKey }
}

// WithQuotedKeys sends keys as strings of RFC 8941, as the IETF draft requires: "abc" and not abc. The default is the raw key. Servers of
// the kit accept both. Without this option, a key is sent in quotes if it begins with one, or if the caller's header has quotes.
func WithQuotedKeys() ClientOption { return func(t *Transport) { t.quoted = true } }

// WithAttempts sets a function that is called after every attempt. The default, and nil, is no function. It must be safe for concurrent
// use.
func WithAttempts(observe func(ctx context.Context, a retry.Attempt)) ClientOption {
	return func(t *Transport) { t.observe = observe }
}

// WithClientLogger sets the logger of the warning that a server does not protect a route. Each route is logged once. The default, and nil,
// is slog.Default().
func WithClientLogger(l *slog.Logger) ClientOption { return func(t *Transport) { t.logger = l } }
