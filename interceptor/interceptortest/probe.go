package interceptortest

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const probeService = "onlyonce.interceptortest.v1.ProbeService"

// Full names of the methods that CheckOrder adds to a server and calls.
const (
	ProbeMethod       = "/" + probeService + "/Probe"
	ProbeStreamMethod = "/" + probeService + "/ProbeStream"
)

// runFunction is the function of package interceptor that calls the handler of a keyed call.
const runFunction = "github.com/onlyonce-go/onlyonce/interceptor.(*serverCall).run"

// probe is the implementation of the service.
type probe struct {
	runs    atomic.Int64 // of Probe
	astray  atomic.Bool  // a run was on another goroutine than the call of package interceptor
	streams atomic.Int64 // runs of ProbeStream
}

func (p *probe) register(server *grpc.Server) {
	declare()

	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: probeService,
		Methods:     []grpc.MethodDesc{{MethodName: "Probe", Handler: p.unary}},
		Streams:     []grpc.StreamDesc{{StreamName: "ProbeStream", ServerStreams: true, ClientStreams: true, Handler: p.stream}},
	}, nil)
}

//nolint:revive // gRPC's order of parameters
func (p *probe) unary(srv any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
	req := new(emptypb.Empty)
	if err := decode(req); err != nil {
		return nil, err
	}

	handle := func(context.Context, any) (any, error) {
		p.runs.Add(1)

		if !calledBy(runFunction) {
			p.astray.Store(true)
		}

		return new(emptypb.Empty), nil
	}

	if chain == nil {
		return handle(ctx, req)
	}

	return chain(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: ProbeMethod}, handle)
}

func (p *probe) stream(any, grpc.ServerStream) error {
	p.streams.Add(1)

	return nil
}

// calledBy reports whether a function is on the stack of this goroutine.
func calledBy(function string) bool {
	callers := make([]uintptr, 256)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])

	for {
		frame, more := frames.Next()
		if frame.Function == function {
			return true
		}

		if !more {
			return false
		}
	}
}

// declare registers the descriptor of the service, because only registered methods are protected.
var declare = sync.OnceFunc(func() {
	method := func(name string, streaming bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: new(name), InputType: new(".google.protobuf.Empty"), OutputType: new(".google.protobuf.Empty"),
			ClientStreaming: new(streaming), ServerStreaming: new(streaming),
		}
	}

	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("onlyonce/interceptortest/v1/probe.proto"), Package: new("onlyonce.interceptortest.v1"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/empty.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: new("ProbeService"), Method: []*descriptorpb.MethodDescriptorProto{method("Probe", false), method("ProbeStream", true)},
		}},
	}, protoregistry.GlobalFiles)
	if err == nil {
		err = protoregistry.GlobalFiles.RegisterFile(file)
	}

	if err != nil {
		panic(err) // not reached: the file is the one above
	}
})
