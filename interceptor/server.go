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

// ServerOption configures a [Server]. NewServer reports an invalid option. If an option is given twice, the later one overrides the earlier
// one, unless its documentation describes something else.
type ServerOption func(*serverConfig)

// serverConfig is the configuration of a server interceptor.
type serverConfig struct {
	engine      *onlyonce.Engine
	scope       Scope
	policy      Policy
	services    map[string]Policy
	methods     map[string]Policy
	replayCheck func(ctx context.Context, req any) error
	downstream  chain
	declared    declarations
	metadata    metadataRules
	statuses    statusTrailers // of a method with the default retention
}

// WithPolicy sets the policy of all methods. WithServicePolicy and WithMethodPolicy override it, field by field. It overrides the .proto:
// see [Policy]. A later WithPolicy overrides an earlier one, field by field.
//
// WithPolicy does not set Key for the services that come with gRPC: grpc.health, grpc.reflection and grpc.channelz. Their keys are ignored,
// unless WithServicePolicy, WithMethodPolicy or a declaration sets another Key.
func WithPolicy(p Policy) ServerOption {
	return func(c *serverConfig) { c.policy = p.over(c.policy) }
}

// WithServicePolicy sets the policy of a service, named as in "payments.v1.PaymentService". It overrides WithPolicy, field by field. A
// later policy of the same service overrides an earlier one, field by field.
func WithServicePolicy(service string, p Policy) ServerOption {
	return func(c *serverConfig) { c.services[service] = p.over(c.services[service]) }
}

// WithMethodPolicy sets the policy of a method, named as in "/payments.v1.PaymentService/Pay". Generated code has a constant with that name
// for each method. It overrides all other policies, field by field. A later policy of the same method overrides an earlier one, field by
// field. NewServer fails for these methods:
//   - a method that its linked-in service does not have,
//   - a stream whose descriptor is linked in, unless Key is KeyIgnored. Streams are never protected.
func WithMethodPolicy(fullMethod string, p Policy) ServerOption {
	return func(c *serverConfig) { c.methods[fullMethod] = p.over(c.methods[fullMethod]) }
}

// WithReplayCheck sets a function that decides whether a caller may get the answer of another call. The function is called before a call
// gets such an answer or waits for it. The default, and nil, allows all.
//   - A replay does not call the handler, so a permission check in the handler does not run.
//   - If the function returns an error, the call ends with that error. Return a gRPC status: any other error becomes UNKNOWN with its text.
//   - It must be safe for concurrent use, and must not change req. grpc.Method(ctx) returns the method.
func WithReplayCheck(check func(ctx context.Context, req any) error) ServerOption {
	return func(c *serverConfig) { c.replayCheck = check }
}

// Server has the server interceptors for one engine, one scope and one set of options. [NewServer] makes it. It is safe for concurrent use.
type Server struct {
	*serverConfig

	known    perMethod[*method]
	replayed metadata.MD // ReplayedHeader; shared and never modified
}

// NewServer makes the interceptors of a server. Engine must not be nil, and scope must be made by one of the functions that return a
// [Scope]. NewServer fails if an option is invalid, and reports every problem at once.
//
//	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI(), opts...)
//	…
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(recovery, telemetry, authenticate, authorize, limit, timeout, protect.Unary, validate),
//		grpc.ChainStreamInterceptor(recoverStream, authenticateStream, protect.Stream),
//	)
//	paymentsv1.RegisterPaymentServiceServer(server, payments)
//	…
//	err = protect.Validate(server)
//
// Put Unary and Stream behind all interceptors that recover, measure, authenticate, authorize or limit. An interceptor behind Unary runs
// for the first call of a key, and not for its duplicates.
//   - Authentication behind Unary gives strangers the recorded answers of others, and its refusals are recorded as answers.
//   - A timeout behind Unary that abandons its handler lets the next call of the key run while the handler still runs. Use the policy's
//     MaxRun instead.
//   - Validation belongs behind Unary. In front of it, validation refuses calls without the trailer idempotency-status. Clients then treat
//     the server as one without the kit: see docs/retries.md.
//   - An interceptor of a later server option comes behind Unary. So name all interceptors in one option.
//
// CheckOrder of package interceptortest finds such mistakes in a test.
//
// The first call of a method reads the options of onlyonce/v1/options.proto in its .proto, so its descriptor may be registered after
// NewServer. If these options are invalid, the calls of the method fail with INTERNAL, and the engine's observer gets the reason.
// [Server.Validate] finds such methods before the server serves.
//
// NewServer adds the recovery functions of its policies to the engine. The engine then also recovers records without a call: see
// onlyonce.Engine.AddRecoveries.
func NewServer(engine *onlyonce.Engine, scope Scope, opts ...ServerOption) (*Server, error) {
	config := newServerConfig(engine, opts)
	config.scope = scope

	if err := config.validate(); err != nil {
		return nil, err
	}

	s := &Server{serverConfig: config, replayed: pair(ReplayedHeader, "true")}
	s.known.find = config.method
	engine.AddRecoveries(s.recovery)

	return s, nil
}

// ServerOptions returns Unary and Stream as options of a server that has no other interceptors:
//
//	server := grpc.NewServer(protect.ServerOptions()...)
//
// If the server has other interceptors, do not use ServerOptions: interceptors of later options would come behind Unary and Stream. See
// [NewServer].
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(s.Unary), grpc.ChainStreamInterceptor(s.Stream)}
}

// Unary is a grpc.UnaryServerInterceptor. It runs the handler of a keyed call once, and answers every duplicate from the record. A call
// without a key runs unprotected, or is rejected if the method's policy has KeyRequired.
//   - The key is in the metadata idempotency-key, or in the request field that is marked as the key. If it is in both, the two must be
//     equal.
//   - Request fields that are marked as part of the scope are added to the scope: see [JoinScope].
//   - A keyed call is rejected before it runs if it has no scope, if its key is invalid, or if its messages cannot be recorded. The
//     engine's observer gets an event for it, as for any other call.
//   - A rejection is a gRPC status with [Domain] and an onlyonce.Reason in its details. docs/contract.md lists the reasons and their codes.
func (s *Server) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	m := s.known.get(info.FullMethod)

	if m.inShadow() {
		return s.shadow(ctx, req, m, handler)
	}

	if m.key != KeyIgnored {
		keys := metadata.ValueFromIncomingContext(ctx, KeyHeader)
		if _, set, ok := m.keyField.in(req); len(keys) > 0 || m.key == KeyRequired || set || !ok {
			call := serverCall{
				server: s, method: m, req: req, handler: handler,
				caller: ctx, stream: grpc.ServerTransportStreamFromContext(ctx),
			}

			return call.serve(ctx, keys)
		}
	}

	return s.unkeyed(ctx, req, handler)
}

func newServerConfig(engine *onlyonce.Engine, opts []ServerOption) *serverConfig {
	config := &serverConfig{
		engine:   engine,
		services: make(map[string]Policy),
		methods:  make(map[string]Policy),
		metadata: newMetadataRules(),
		statuses: newStatusTrailers(nil),
	}

	for _, opt := range opts {
		opt(config)
	}

	return config
}

func (c *serverConfig) validate() error {
	problem := c.scope.problem
	if c.scope.of == nil {
		problem = errors.New("interceptor: NewServer has no scope: choose ScopeFromPeerURI, " +
			"ScopeFromPeerDNS, ScopeFromMetadata, ScopeFunc or ScopeShared")
	}

	return errors.Join(problem, c.validateOptions())
}

// validateOptions reports options that are invalid with every scope.
func (c *serverConfig) validateOptions() error {
	if c.engine == nil { // which validates the policies
		return errors.New("interceptor: NewServer has no engine: make one with onlyonce.New")
	}

	errs := []error{c.policy.validate(c.engine, "policy of the server"), c.downstream.validate(), c.validateDeclared(), c.metadata.validate()}

	for _, service := range slices.Sorted(maps.Keys(c.services)) {
		if service == "" || strings.Contains(service, "/") {
			errs = append(errs, fmt.Errorf("interceptor: %q is not the full name of a service: write it as in %q", service, "package.Service"))
		}

		p := c.services[service].over(c.policy).over(c.declared.ofService(service))
		errs = append(errs, p.validate(c.engine, "policy of service "+service))
	}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		declared := c.declared.annotationsOf(name)
		p := c.chosen(name).over(declared.policy)
		errs = append(errs, checkMethodName(name), checkKeyUse(name, c.methods[name].Key), p.validate(c.engine, "policy of method "+name))

		if declared.streaming {
			errs = append(errs, c.judgeStream(name, &declared))
		}
	}

	return errors.Join(errs...)
}

// unkeyed calls the handler of a call that is not protected. If the client has sent a key, the answer must not have metadata of the
// contract. A handler may pass on the metadata of another service.
func (s *Server) unkeyed(ctx context.Context, req any, handler grpc.UnaryHandler) (any, error) {
	if len(metadata.ValueFromIncomingContext(ctx, KeyHeader)) > 0 {
		ctx = silent(ctx)
	}

	resp, err := handler(ctx, req)

	return resp, outwardOf(err)
}
