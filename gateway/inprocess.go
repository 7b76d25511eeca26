package oncegateway

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// InProcess is a channel to services in this process. It calls them through interceptors, without a connection. Make one with
// [NewInProcess]:
//
//	channel := oncegateway.NewInProcess(protect, authenticate)
//	paymentsv1.RegisterPaymentServiceServer(channel, payments)
//	err := protect.Validate(channel)
//	…
//	err = paymentsv1.RegisterPaymentServiceHandlerClient(ctx, mux, paymentsv1.NewPaymentServiceClient(channel))
//
// It is a grpc.ServiceRegistrar, a grpc.ClientConnInterface and an [interceptor.ServiceInfoProvider]. It is safe for concurrent use.
//
//   - Messages and metadata are copied. So neither side sees later changes of the other side.
//   - A handler's context has the values of the caller's context, the metadata of the call as incoming metadata, no outgoing metadata, and
//     a peer whose address is "in-process". There is no peer certificate, so take the scope from metadata or from a value of the context.
//   - A call returns when its handler returns, even if the caller's context ends earlier.
//   - If an interceptor in front replaces a response by an error, the status of the call is unknown.
//   - Streams fail with UNIMPLEMENTED, as with RegisterXHandlerServer.
//   - Only the call options grpc.Header, grpc.Trailer and grpc.Peer have an effect. There are no stats handlers and no size limits of
//     messages.
type InProcess struct {
	chain grpc.UnaryServerInterceptor // the kit's is the innermost

	mu       sync.RWMutex
	services map[string]service // by their full names
}

// service is a registered service.
type service struct {
	desc *grpc.ServiceDesc
	impl any
}

// NewInProcess returns a channel without services, whose calls all pass protect. Outer are the interceptors in front of protect, the
// outermost first. They recover, measure, authenticate, authorize or limit: see [interceptor.NewServer]. NewInProcess panics if protect is
// nil.
func NewInProcess(protect *interceptor.Server, outer ...grpc.UnaryServerInterceptor) *InProcess {
	if protect == nil {
		panic("oncegateway: NewInProcess needs the interceptor.Server that protects the services: make one with interceptor.NewServer")
	}

	return &InProcess{chain: chained(noting(protect.Unary), outer), services: make(map[string]service)}
}

// noting returns an interceptor that notes in the stream whether inner has returned a response.
func noting(inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := inner(ctx, req, info, handler)

		if stream, ok := ctx.Value(inProcessKey{}).(*inProcessStream); ok {
			stream.note(err == nil)
		}

		return resp, err
	}
}

// chained returns inner with the interceptors of outer in front of it.
func chained(inner grpc.UnaryServerInterceptor, outer []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if len(outer) == 0 {
		return inner
	}

	first, rest := outer[0], chained(inner, outer[1:])

	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return first(ctx, req, info, func(ctx context.Context, req any) (any, error) { return rest(ctx, req, info, handler) })
	}
}

// RegisterService registers a service, as a *grpc.Server does. Generated code calls it. It panics if the service is registered already, or
// if the implementation lacks a method.
func (p *InProcess) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if impl != nil && desc.HandlerType != nil {
		if want := reflect.TypeOf(desc.HandlerType).Elem(); !reflect.TypeOf(impl).Implements(want) {
			panic(fmt.Sprintf("oncegateway: %T does not implement %v, which %s needs", impl, want, desc.ServiceName))
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if _, ok := p.services[desc.ServiceName]; ok {
		panic(fmt.Sprintf("oncegateway: service %s is registered twice: register it once", desc.ServiceName))
	}

	p.services[desc.ServiceName] = service{desc, impl}
}

// GetServiceInfo lists the registered services, as a *grpc.Server does.
func (p *InProcess) GetServiceInfo() map[string]grpc.ServiceInfo {
	p.mu.RLock()
	defer p.mu.RUnlock()

	all := make(map[string]grpc.ServiceInfo, len(p.services))

	for name, s := range p.services {
		info := grpc.ServiceInfo{Metadata: s.desc.Metadata}

		for _, m := range s.desc.Methods {
			info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
		}

		for _, m := range s.desc.Streams {
			info.Methods = append(info.Methods, grpc.MethodInfo{
				Name: m.StreamName, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams,
			})
		}

		all[name] = info
	}

	return all
}

// Invoke implements grpc.ClientConnInterface. Every error is a gRPC status. A method that is not registered fails with UNIMPLEMENTED.
func (p *InProcess) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}

	impl, desc := p.method(method)
	if desc == nil {
		return status.Errorf(codes.Unimplemented, "oncegateway: no unary method %s is registered in this process", method)
	}

	caller, _ := metadata.FromOutgoingContext(ctx)
	stream := &inProcessStream{method: method}
	resp, err := desc.Handler(impl, stream.context(ctx, caller), func(req any) error { return copyMessage(req, args) }, p.chain)

	stream.answer(opts, err)

	if err != nil {
		return outward(err)
	}

	return copyMessage(reply, resp)
}

// NewStream implements grpc.ClientConnInterface. It fails with UNIMPLEMENTED.
func (p *InProcess) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "oncegateway: %s is a stream, and streams need a connection: register the service with "+
		"RegisterXHandler and a grpc.ClientConn", method)
}

// method returns a unary method and its implementation; nil if it is not registered.
func (p *InProcess) method(fullMethod string) (any, *grpc.MethodDesc) {
	name, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")

	p.mu.RLock()
	s, ok := p.services[name]
	p.mu.RUnlock()

	if !ok {
		return nil, nil
	}

	for i := range s.desc.Methods {
		if s.desc.Methods[i].MethodName == method {
			return s.impl, &s.desc.Methods[i]
		}
	}

	return nil, nil
}

// outward returns the error of a handler as a gRPC status, as a server sends it.
func outward(err error) error {
	if st, _ := statusOf(err); st.Code() != codes.OK {
		return st.Err()
	}

	return status.Error(codes.Unknown, err.Error()) // a status OK is no error
}

// copyMessage copies a message into another message of the same kind.
func copyMessage(to, from any) error {
	dst, src := asProto(to), asProto(from)
	if dst == nil || src == nil {
		return status.Errorf(codes.Internal, "oncegateway: a %T and a %T are not both protobuf messages", to, from)
	}

	if dst.ProtoReflect().Descriptor() == src.ProtoReflect().Descriptor() {
		proto.Reset(dst)
		proto.Merge(dst, src)

		return nil
	}

	wire, err := proto.Marshal(src)
	if err == nil {
		err = proto.Unmarshal(wire, dst)
	}

	if err != nil {
		return status.Errorf(codes.Internal, "oncegateway: copying a %T into a %T: %v", from, to, err)
	}

	return nil
}

// asProto returns a message as a proto.Message; nil if msg is no message.
func asProto(msg any) proto.Message {
	switch m := msg.(type) {
	case proto.Message:
		return m
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m)
	default:
		return nil
	}
}
