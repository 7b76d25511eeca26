package oncehttp

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/onlyonce-go/onlyonce"
)

// Option changes a middleware under construction.
type Option func(*config)

// config is the configuration of a middleware.
type config struct {
	engine      *onlyonce.Engine
	scope       Scope
	policy      Policy
	byRoute     map[string]Policy
	routeOf     func(r *http.Request) string
	recorded    []string
	replayCheck func(r *http.Request) error
	problems    func(w http.ResponseWriter, r *http.Request, p *Problem)
	preset      Preset
}

// WithPolicy sets the policy of all requests, for each field that WithRoute leaves unset. Later options override earlier ones, field by
// field. Key never concerns GET, HEAD, OPTIONS, TRACE and CONNECT: to protect such requests, use WithRoute.
func WithPolicy(p Policy) Option { return func(c *config) { c.policy = p.over(c.policy) } }

// WithRoute sets the policy of the requests that match a pattern of net/http's mux, such as "POST /payments" or "/orders/{id}". The most
// specific pattern holds, as in the mux. The pattern matches the path that the middleware sees.
func WithRoute(pattern string, p Policy) Option {
	return func(c *config) { c.byRoute[pattern] = p.over(c.byRoute[pattern]) }
}

// WithRouteOf sets a function that returns the route of a request, such as "/orders/{id}", for a router other than net/http's. The route is
// a part of the identity of a request: the same key on another route is another operation. It must be a pattern of the program, and not
// the path that the client sent. An empty route is no route. Without this option the route is the first of these that is known:
//
//  1. the pattern of the handler behind the middleware, if that is an *http.ServeMux,
//  2. the pattern of the request (http.Request.Pattern), if an *http.ServeMux is in front,
//  3. the pattern of WithRoute,
//  4. none. All requests of an HTTP method then share their keys. A key that comes again with another path is rejected as reused.
func WithRouteOf(route func(r *http.Request) string) Option {
	return func(c *config) { c.routeOf = route }
}

// WithRecordedHeaders adds headers and trailers that are recorded and replayed. These always are:
//
//	Accept-Patch, Accept-Post, Accept-Ranges, Allow, Cache-Control, Content-Digest, Content-Disposition, Content-Encoding,
//	Content-Language, Content-Location, Content-Range, Content-Security-Policy, Content-Type, Deprecation, Digest, ETag, Expires,
//	Last-Modified, Link, Location, Preference-Applied, Repr-Digest, Retry-After, Sunset, Vary, X-Content-Type-Options
//
// The first caller gets all headers of the handler. It is an error to name a header that belongs to one caller, such as Set-Cookie or
// Authorization, or to one connection, such as Connection.
func WithRecordedHeaders(names ...string) Option {
	return func(c *config) { c.recorded = append(c.recorded, names...) }
}

// WithReplayCheck sets a function that decides whether a caller may get the answer of another request. The function is called before a
// request gets such an answer or waits for it. The default, and nil, allows all.
//   - A replay does not call the handler, so a permission check in the handler does not run.
//   - An error that is or wraps a *Problem is the answer. Any other error is answered with 403, and its text is not sent.
//   - The request has its body. The function must be safe for concurrent use.
func WithReplayCheck(check func(r *http.Request) error) Option {
	return func(c *config) { c.replayCheck = check }
}

// WithProblems replaces the function that writes the answer to a request which was not executed. When it is called, the headers of the
// contract and Retry-After are set. The function writes its own headers, the status p.Status and a body. The default, and nil, write
// application/problem+json (RFC 9457): see [Problem].
func WithProblems(write func(w http.ResponseWriter, r *http.Request, p *Problem)) Option {
	return func(c *config) { c.problems = write }
}

// WithPreset makes the middleware speak the dialect of a published contract. The default is the project's contract: see docs/http.md.
func WithPreset(p Preset) Option { return func(c *config) { c.preset = p } }

// server builds the server side, and reports every problem at once.
func (c *config) server() (*Server, error) {
	if c.engine == nil {
		return nil, errors.New("oncehttp: Middleware has no engine: make one with onlyonce.New")
	}

	errs := []error{c.scope.problem}
	if c.scope.of == nil && c.scope.problem == nil {
		errs = append(errs, errors.New("oncehttp: Middleware has no scope: choose ScopeFunc, ScopeFromHeader, ScopeFromPeerURI, "+
			"ScopeFromPeerDNS or ScopeShared"))
	}

	for _, name := range c.recorded {
		errs = append(errs, checkRecorded(name))
	}

	wide := c.policy.over(c.preset.policy).over(builtinPolicy())
	s := &Server{config: c, recorded: newHeaderSet(append(recordedByDefault(), c.recorded...)...)}

	usual, err := newRoute(c.engine, &c.preset, Policy{}, wide, "policy of the server")
	s.routes.usual = usual
	errs = append(errs, err)

	for _, pattern := range slices.Sorted(maps.Keys(c.byRoute)) {
		own := c.byRoute[pattern]

		rt, err := newRoute(c.engine, &c.preset, own, own.over(wide), "policy of route "+pattern)
		if err == nil {
			err = s.routes.register(pattern, rt)
		}

		errs = append(errs, err)
	}

	if s.problems == nil {
		s.problems = c.preset.problems
	}

	if s.problems == nil {
		s.problems = writeProblem
	}

	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("oncehttp: the middleware cannot be made: %w", err)
	}

	return s, nil
}
