package interceptor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// ServerOption changes a server interceptor under construction.
type ServerOption func(*serverConfig)

// serverConfig is what the options of a server interceptor say.
type serverConfig struct {
	engine      *onlyonce.Engine
	scope       Scope
	policy      Policy
	services    map[string]Policy
	methods     map[string]Policy
	replayCheck func(ctx context.Context, req any) error
	denied      map[string]bool
	downstream  []chained
}

// WithPolicy sets the policy of all methods, for each field that WithServicePolicy and WithMethodPolicy leave unset. It goes
// before what the .proto says: see [Policy]. Health checks (grpc.health.v1.Health) have their keys ignored unless a policy of
// their own says otherwise.
func WithPolicy(p Policy) ServerOption {
	return func(c *serverConfig) { c.policy = p.over(c.policy) }
}

// WithServicePolicy sets the policy of a service, named as in "payments.v1.PaymentService". It goes before the server's, field by
// field.
func WithServicePolicy(service string, p Policy) ServerOption {
	return func(c *serverConfig) { c.services[service] = p.over(c.services[service]) }
}

// WithMethodPolicy sets the policy of a method, named as in "/payments.v1.PaymentService/Pay"; generated code has a
// constant with that name for each method. It goes before all others, field by field. A method that its linked-in service
// does not have is an error.
func WithMethodPolicy(fullMethod string, p Policy) ServerOption {
	return func(c *serverConfig) { c.methods[fullMethod] = p.over(c.methods[fullMethod]) }
}

// WithReplayCheck sets a function that decides whether a caller may still get the answer of another call. It is called before a call gets
// such an answer or waits for it. Nil, the default, allows all.
//   - The handler, which would check the permission for a run, is not called for a replay.
//   - The function's error is the call's answer, so make it a gRPC status. Any other error becomes the status that grpc-go makes of it,
//     UNKNOWN with its text.
//   - It must be safe for concurrent use. grpc.Method(ctx) is the method.
func WithReplayCheck(check func(ctx context.Context, req any) error) ServerOption {
	return func(c *serverConfig) { c.replayCheck = check }
}

// WithUnrecordedMetadata names header and trailer metadata of handlers that belong to one call alone and must not be
// replayed, such as a request id. Credentials, cookies, dates and trace contexts under their usual names, and what the
// contract and gRPC itself use, are never recorded.
func WithUnrecordedMetadata(names ...string) ServerOption {
	return func(c *serverConfig) {
		for _, name := range names {
			c.denied[strings.ToLower(name)] = true
		}
	}
}

// Server is the server side of the kit for one engine, one scope and one set of options. See [NewServer].
type Server struct {
	*serverConfig

	known    perMethod[*method]
	trailers map[onlyonce.Status]metadata.MD // shared and never modified
	replayed metadata.MD                     // as trailers
}

// NewServer returns the server side of the kit. It fails if an option cannot hold, and reports every problem at once.
//
//	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI(), opts...)
//	…
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(recovery, authenticate, protect.Unary),
//		grpc.ChainStreamInterceptor(recoverStream, authenticateStream, protect.Stream),
//	)
//	paymentsv1.RegisterPaymentServiceServer(server, payments)
//	…
//	err = protect.Validate(server)
//
// Unary and Stream come last: an interceptor behind them runs for the first call of a key alone, and not for its duplicates. So
// authentication, authorization and rate limits come before them.
//
// The options of onlyonce/v1/options.proto in the .proto of a method are read at its first call, so its descriptor may be registered after
// NewServer. A method whose options cannot hold is refused: its calls fail with INTERNAL, and the engine's observer gets the reason.
// [Server.Validate] finds such methods before the server serves.
func NewServer(engine *onlyonce.Engine, scope Scope, opts ...ServerOption) (*Server, error) {
	config := newServerConfig(engine, opts)
	config.scope = scope

	if err := config.validate(); err != nil {
		return nil, err
	}

	s := &Server{serverConfig: config, trailers: make(map[onlyonce.Status]metadata.MD), replayed: pair(ReplayedHeader, "true")}
	s.known.find = config.method

	for _, status := range []onlyonce.Status{
		onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusReleased, onlyonce.StatusUnknown,
		onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected,
	} {
		s.trailers[status] = pair(StatusTrailer, string(status))
	}

	return s, nil
}

// ServerOptions returns Unary and Stream as options of a server that has no other interceptors:
//
//	server := grpc.NewServer(protect.ServerOptions()...)
//
// Do not append other interceptors to them, since authentication would then come after the replay: see [NewServer].
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(s.Unary), grpc.ChainStreamInterceptor(s.Stream)}
}

// Unary is a grpc.UnaryServerInterceptor. It runs the handler of a keyed call once and answers every duplicate from the record. Calls
// without a key are not protected, unless the method's policy has KeyRequired.
//
//   - The key is in the metadata idempotency-key, or in the request field that is marked as the key, or in both if they are equal.
//   - Request fields that are marked as part of the scope are added to the scope: see [JoinScope].
//   - A call without a scope, an acceptable key or protobuf messages is rejected before it runs. The engine's observer sees it like any
//     other call.
func (s *Server) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	m := s.known.get(info.FullMethod)

	if m.key != KeyIgnored {
		keys := metadata.ValueFromIncomingContext(ctx, KeyHeader)
		if field, ok := m.keyField.in(req); len(keys) > 0 || m.key == KeyRequired || field != "" || !ok {
			call := serverCall{
				server: s, method: m, req: req, handler: handler,
				caller: ctx, stream: grpc.ServerTransportStreamFromContext(ctx),
			}

			return call.serve(ctx, keys)
		}
	}

	return s.unkeyed(ctx, req, handler)
}

// Stream is a grpc.StreamServerInterceptor.
func (s *Server) Stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, stream)
}

func newServerConfig(engine *onlyonce.Engine, opts []ServerOption) *serverConfig {
	config := &serverConfig{
		engine:   engine,
		services: make(map[string]Policy),
		methods:  make(map[string]Policy),
		denied:   make(map[string]bool),
	}
	for _, name := range deniedMetadata() {
		config.denied[name] = true
	}

	for _, opt := range opts {
		opt(config)
	}

	return config
}

func (c *serverConfig) validate() error {
	var missing error
	if c.scope.of == nil {
		missing = errors.New("interceptor: the server interceptor needs a scope: choose ScopeFromPeerURI, " +
			"ScopeFromPeerDNS, ScopeFromMetadata, ScopeFunc or ScopeShared")
	}

	return errors.Join(missing, c.validateOptions())
}

// validateOptions reports what cannot hold, whichever methods are registered.
func (c *serverConfig) validateOptions() error {
	if c.engine == nil { // which is what judges policies
		return errors.New("interceptor: the server interceptor needs an engine: see onlyonce.New")
	}

	errs := []error{c.policy.validate(c.engine, "policy of the server"), c.validateDownstream()}

	for _, service := range slices.Sorted(maps.Keys(c.services)) {
		if service == "" || strings.Contains(service, "/") {
			errs = append(errs, fmt.Errorf("interceptor: %q is not the full name of a service: write it as in %q", service, "package.Service"))
		}

		p := c.services[service].over(c.policy).over(serviceAnnotation(service))
		errs = append(errs, p.validate(c.engine, "policy of service "+service))
	}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		declared := annotationsOf(findMethod(splitMethod(name)))
		p := c.chosen(name).over(declared.policy)
		errs = append(errs, checkMethodName(name), checkKeyUse(name, c.methods[name].Key), p.validate(c.engine, "policy of method "+name))
	}

	return errors.Join(errs...)
}

// unkeyed calls the handler of a call that is not protected. What the contract says of calls, it must not say of this one,
// should a client have sent a key all the same: a handler may pass on the metadata of another service.
func (s *Server) unkeyed(ctx context.Context, req any, handler grpc.UnaryHandler) (any, error) {
	if len(metadata.ValueFromIncomingContext(ctx, KeyHeader)) > 0 {
		if stream := grpc.ServerTransportStreamFromContext(ctx); stream != nil {
			ctx = grpc.NewContextWithServerTransportStream(ctx, &silentStream{ServerTransportStream: stream})
		}
	}

	resp, err := handler(ctx, req)
	if err != nil {
		err = outward(err)
	}

	return resp, err
}
