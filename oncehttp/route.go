package oncehttp

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// route has the treatment of the requests of one pattern.
type route struct {
	policy   Policy // whole
	key      KeyUse // of the policy of the route itself; KeyInherit: see use
	prepared *onlyonce.PreparedPolicy
	headers  []string // Policy.RequestHeaders, in canonical form and in order
	trailed  []string // the trailers of the contract in an answer that is sent before its run has ended
	exactly  bool     // the guarantee is ExactlyOnce
	again    bool     // the handler may be called again
}

// use returns whether a request of a method needs a key.
func (rt *route) use(method string) KeyUse {
	if rt.key == KeyInherit && isSafe(method) {
		return KeyIgnored
	}

	if rt.policy.Key == KeyInherit {
		return KeyOptional
	}

	return rt.policy.Key
}

// isSafe reports whether requests of a method have no effect that matters, or no body.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return true
	default:
		return false
	}
}

// newRoute completes and validates a policy.
func newRoute(engine *onlyonce.Engine, preset *Preset, own, whole Policy, subject string) (*route, error) {
	if err := whole.validate(engine, preset, subject); err != nil {
		return nil, err
	}

	prepared, err := engine.Prepare(whole.Policy)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", subject, err)
	}

	policy := engine.Policy(whole.Policy)
	whole.Policy = policy
	exactly := policy.Guarantee == onlyonce.ExactlyOnce

	return &route{
		policy: whole, key: own.Key, prepared: prepared, exactly: exactly,
		again:   exactly && policy.TransactionMode == onlyonce.SingleTransaction,
		headers: sortedNames(whole.RequestHeaders), trailed: trailed(policy.Retention, preset),
	}, nil
}

// trailed returns the trailers of the contract in an answer that is sent before its run has ended.
func trailed(retention time.Duration, preset *Preset) []string {
	names := []string{StatusHeader}
	if retention != onlyonce.DefaultRetention {
		names = append(names, RetentionHeader)
	}

	if preset.result {
		names = append(names, repeatabilityResult)
	}

	return names
}

// routes finds the policy of a request.
type routes struct {
	usual *route
	mux   *http.ServeMux // nil: there are no policies of routes
	named map[string]*route
}

// register adds a pattern of net/http's mux.
func (rs *routes) register(pattern string, rt *route) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("oncehttp: WithRoute has the pattern %q: %v", pattern, problem)
		}
	}()

	if rs.mux == nil {
		rs.mux, rs.named = http.NewServeMux(), make(map[string]*route)
	}

	rs.mux.Handle(pattern, http.NotFoundHandler())
	rs.named[pattern] = rt

	return nil
}

// of returns the policy of a request and the pattern that has it. The pattern is empty if the request has none.
func (rs *routes) of(r *http.Request) (*route, string) {
	if rs.mux == nil {
		return rs.usual, ""
	}

	_, pattern := rs.mux.Handler(r)
	if rt, ok := rs.named[pattern]; ok {
		return rt, pattern
	}

	return rs.usual, ""
}

// matcher is a router that returns the pattern of a request, such as *http.ServeMux.
type matcher interface {
	Handler(r *http.Request) (http.Handler, string)
}

// isRedirect reports whether a handler is from http.RedirectHandler. A mux uses one for a path that is not clean. It has no effect.
func isRedirect(h http.Handler) bool { return reflect.TypeOf(h) == redirect }

//nolint:gochecknoglobals // a constant
var redirect = reflect.TypeOf(http.RedirectHandler("/", http.StatusTemporaryRedirect))

// methodName is the method of a request in the identity of its call: the HTTP method and the pattern of the route without its own
// method. Neither is made of client input: a method that is not of RFC 9110 or RFC 5789 is written as *, and an unknown route as nothing.
// The fingerprint has both as the client sent them.
func methodName(method, pattern string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodTrace, http.MethodConnect:
	default:
		method = "*"
	}

	own, rest, ok := strings.Cut(pattern, " ")
	if ok && own == method && rest != "" && rest[0] == '/' {
		return pattern
	}

	if ok && isToken(own) {
		pattern = strings.TrimLeft(rest, " \t")
	}

	if pattern == "" {
		return method
	}

	return method + " " + pattern
}
