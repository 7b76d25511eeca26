package oncehttp

import (
	"net/http"

	"github.com/onlyonce-go/onlyonce"
)

// Server is the server side of the kit for net/http: one engine, one scope and one set of options. See [NewServer].
type Server struct {
	*config

	routes   routes
	recorded headerSet
}

// NewServer returns the server side of the kit. It fails if an option is invalid, and reports every problem at once. Most programs use
// [Middleware]. It adds the recovery functions of its policies to the engine, for records without a request: see
// onlyonce.Engine.AddRecoveries.
func NewServer(engine *onlyonce.Engine, scope Scope, opts ...Option) (*Server, error) {
	c := &config{engine: engine, scope: scope, byRoute: make(map[string]Policy)}

	for _, opt := range opts {
		opt(c)
	}

	s, err := c.server()
	if err != nil {
		return nil, err
	}

	engine.AddRecoveries(s.recovery)

	return s, nil
}

// Middleware returns a middleware that runs the handler of a keyed request once and answers every duplicate from the record. A request
// without a key runs unprotected, or is rejected if its policy has KeyRequired. It fails if an option is invalid.
//
// The package documentation describes the place of the middleware and the rules for handlers.
func Middleware(engine *onlyonce.Engine, scope Scope, opts ...Option) (func(http.Handler) http.Handler, error) {
	s, err := NewServer(engine, scope, opts...)
	if err != nil {
		return nil, err
	}

	return s.Wrap, nil
}

// Wrap returns a handler that protects next.
func (s *Server) Wrap(next http.Handler) http.Handler {
	behind, _ := next.(matcher)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt, pattern := s.routes.of(r)
		use := rt.use(r.Method)

		keys := r.Header.Values(s.keyHeader())

		if use == KeyIgnored || s.preset.posts && r.Method != http.MethodPost {
			if len(keys) > 0 && s.preset.refusesIgnored && !isSafe(r.Method) {
				c := call{server: s, route: rt, w: w, r: r}
				c.refuseUnseen(&onlyonce.Rejection{ //nolint:contextcheck // the request has it
					Reason:  onlyonce.ReasonNotSupported,
					Message: "this operation cannot be repeated safely, so nothing was executed; send it without " + s.keyHeader(),
				})

				return
			}

			next.ServeHTTP(w, r)

			return
		}

		if len(keys) == 0 && use != KeyRequired {
			next.ServeHTTP(w, r)

			return
		}

		route, found := s.nameOf(r, behind, pattern)
		if !found { // only the router itself answers, so there is nothing to protect
			next.ServeHTTP(w, r)

			return
		}

		c := call{server: s, route: rt, next: next, w: w, r: r}
		c.call.Method = route
		c.serve(keys) //nolint:contextcheck // the request has it
	})
}

// keyHeader is the header that has the key.
func (s *Server) keyHeader() string {
	if s.preset.keyHeader != "" {
		return s.preset.keyHeader
	}

	return KeyHeader
}

// nameOf returns the method of the identity of a request. Pattern is that of WithRoute, if any. The second result is false if the router
// behind the middleware has no handler for the request, or redirects it.
func (s *Server) nameOf(r *http.Request, behind matcher, pattern string) (string, bool) {
	name := pattern

	var (
		handler http.Handler
		inside  string
	)

	if behind != nil {
		if handler, inside = behind.Handler(r); isRedirect(handler) {
			return "", false // the client sends the same key to the other path, and must find it unused
		}
	}

	switch {
	case s.preset.shared:
		name = ""
	case s.routeOf != nil:
		name = s.routeOf(r)
	case behind != nil:
		name = inside
		if name == "" {
			return "", false
		}
	case r.Pattern != "":
		name = r.Pattern
	}

	return methodName(r.Method, name), true
}
