package interceptor_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// The streams of a declared bank.
func streams(options string) string {
	return strings.ReplaceAll(`
		method { name: "Watch" server_streaming: true input_type: ".PKG.Request" output_type: ".PKG.Response" options { OPTIONS } }
		method { name: "Send" client_streaming: true input_type: ".PKG.Request" output_type: ".PKG.Response" options { OPTIONS } }
		method { name: "Talk" server_streaming: true client_streaming: true
			input_type: ".PKG.Request" output_type: ".PKG.Response" options { OPTIONS } }`, "OPTIONS", options)
}

// serveStreams adds the streams of a declared service to a server. Each answers its first request.
func serveStreams(server *grpc.Server, service protoreflect.ServiceDescriptor, handle func(ctx context.Context) error) {
	desc := &grpc.ServiceDesc{ServiceName: string(service.FullName())}

	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		if !method.IsStreamingServer() && !method.IsStreamingClient() {
			continue
		}

		answer := func(stream grpc.ServerStream) error {
			if err := handle(stream.Context()); err != nil {
				return err
			}

			return stream.SendMsg(dynamicpb.NewMessage(method.Output()))
		}

		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: string(method.Name()), ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient(),
			Handler: func(_ any, stream grpc.ServerStream) error {
				// Like generated code, it receives a single request before it calls the handler.
				if !method.IsStreamingClient() {
					if err := stream.RecvMsg(dynamicpb.NewMessage(method.Input())); err != nil {
						return err
					}
				}

				return answer(stream)
			},
		})
	}

	server.RegisterService(desc, nil)
}

// callStream opens a stream, sends one request and reads to the end.
func callStream(ctx context.Context, conn grpc.ClientConnInterface, method string, req, resp any) answer {
	var (
		frame atomic.Bool
		a     answer
	)

	ctx, cancel := context.WithCancel(context.WithValue(ctx, headerFramesKey{}, &frame))
	defer cancel()

	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return answer{err: err}
	}

	_ = stream.SendMsg(req) // RecvMsg returns the error of the stream
	_ = stream.CloseSend()

	for a.err == nil {
		a.err = stream.RecvMsg(resp)
	}

	if errors.Is(a.err, io.EOF) {
		a.err = nil
	}

	a.header, _ = stream.Header()
	a.trailer, a.headerFrame = stream.Trailer(), frame.Load()

	return a
}

func TestF80_StreamsThatNeedProtectionAreRefusedAndRunNothing(t *testing.T) {
	keyField := str("request_id", 1, "key: true") + str("note", 2, "")
	ignored := interceptor.Policy{Key: interceptor.KeyIgnored}

	for name, test := range map[string]struct {
		declared declaration
		options  []interceptor.ServerOption
		keys     []string // in the metadata
		field    string   // the key in the request
		refused  []string // the methods that are refused
	}{
		"no key": {declaration{methods: streams("")}, nil, nil, "", nil},
		"a key":  {declaration{methods: streams("")}, nil, []string{"key"}, "", []string{"Watch", "Send", "Talk"}},
		"a bad key": {
			declaration{methods: streams("")}, nil, []string{"two words", "two"}, "", []string{"Watch", "Send", "Talk"},
		},
		"an empty key": {declaration{methods: streams("")}, nil, []string{""}, "", []string{"Watch", "Send", "Talk"}},
		"a key that the .proto requires": {
			declaration{methods: streams(method("key: KEY_USE_REQUIRED"))}, nil, nil, "", []string{"Watch", "Send", "Talk"},
		},
		"a key that the server requires": {declaration{methods: streams("")}, required(), nil, "", []string{"Watch", "Send", "Talk"}},
		"a key in the request": {
			declaration{request: keyField, methods: streams("")}, nil, nil, "key", []string{"Watch", "Send", "Talk"},
		},
		"no key in the request": {declaration{request: keyField, methods: streams("")}, nil, nil, "", []string{"Send", "Talk"}},
		"a request that cannot be understood": {
			declaration{request: keyField + str("second", 3, "key: true"), methods: streams("")}, nil, nil, "", []string{"Watch", "Send", "Talk"},
		},
		"keys that the .proto ignores": {
			declaration{request: keyField, methods: streams(method("key: KEY_USE_IGNORED"))}, nil, []string{"key"}, "key", nil,
		},
		"keys that the server ignores": {
			declaration{request: keyField, methods: streams("")}, keyPolicy(ignored), []string{"key"}, "key", nil,
		},
		"no side effects": {
			declaration{request: keyField, methods: streams("idempotency_level: NO_SIDE_EFFECTS")}, nil, []string{"key"}, "key", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int64

			watch := &ends{}
			_, service := test.declared.register(t)
			w := start(t, setup{
				server: test.options, engine: []onlyonce.Option{onlyonce.WithObserver(watch)},
				register: func(server *grpc.Server) {
					serveStreams(server, service, func(context.Context) error { runs.Add(1); return nil })
				},
			}, nil)

			passed, refused := 0, 0

			for _, stream := range []string{"Watch", "Send", "Talk"} {
				request := service.Methods().ByName(protoreflect.Name(stream)).Input()
				req, resp := dynamicpb.NewMessage(request), dynamicpb.NewMessage(service.Methods().Get(0).Output())

				if test.field != "" {
					set(req, "request_id", test.field)
				}

				full := "/" + string(service.FullName()) + "/" + stream
				a := callStream(withKey(t.Context(), test.keys...), w.conn, full, req, resp)

				if !slices.Contains(test.refused, stream) {
					passed++

					if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
						t.Errorf("%s: %v, trailer %v", stream, a.err, a.trailer)
					}

					continue
				}

				refused++

				a.mustBe(t, notSupported)

				if end := watch.last(t, refused); end.Reason != onlyonce.ReasonNotSupported || end.Status != onlyonce.StatusRejected ||
					end.Method != full {
					t.Errorf("%s: the observer saw %+v", stream, end)
				}
			}

			if n := runs.Load(); n != int64(passed) {
				t.Errorf("%d handlers ran, want %d", n, passed)
			}
		})
	}
}

func TestF80_StreamsOfGRPCItselfPassWhateverTheServerRequires(t *testing.T) {
	w := start(t, setup{server: required(), register: func(server *grpc.Server) {
		healthv1.RegisterHealthServer(server, health.NewServer())
	}}, nil)

	ctx, cancel := context.WithCancel(withKey(t.Context(), "key"))
	defer cancel()

	watch, err := healthv1.NewHealthClient(w.conn).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}

	if state, err := watch.Recv(); err != nil || state.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("the health is %v, %v", state, err)
	}
}

func TestF80_AStreamThatRequiresAKeyIsLoggedAsMisconfigured(t *testing.T) {
	_, service := declaration{methods: streams(method("key: KEY_USE_REQUIRED"))}.register(t)
	full := "/" + string(service.FullName()) + "/Watch"
	w := start(t, setup{register: func(server *grpc.Server) {
		serveStreams(server, service, func(context.Context) error { return nil })
	}}, nil)

	in, out := service.Methods().Get(0).Input(), service.Methods().Get(0).Output()
	lines := defaultLog(t, func() {
		callStream(t.Context(), w.conn, full, dynamicpb.NewMessage(in), dynamicpb.NewMessage(out)).mustBe(t, notSupported)
	})

	if len(lines) != 1 || lines[0].Method != full || !strings.Contains(lines[0].Cause, "set KEY_USE_IGNORED in its .proto") {
		t.Errorf("logged: %+v", lines)
	}
}

// A handler may pass on the metadata and the error of another service's call.
func TestStreamThatPassesHasNothingOfTheContract(t *testing.T) {
	foreign := metadata.Pairs(interceptor.StatusTrailer, "executed", "x", "1")
	rejected, err := status.New(codes.Unavailable, "busy").WithDetails(
		&errdetails.ErrorInfo{Reason: "IDEMPOTENCY_IN_PROGRESS", Domain: interceptor.Domain})
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{
		server: keyPolicy(interceptor.Policy{Key: interceptor.KeyIgnored}),
		register: func(server *grpc.Server) {
			server.RegisterService(&grpc.ServiceDesc{ServiceName: "stream.v1.Relay", Streams: []grpc.StreamDesc{{
				StreamName: "Relay", ServerStreams: true, ClientStreams: true,
				Handler: func(_ any, stream grpc.ServerStream) error {
					stream.SetTrailer(foreign)

					return errors.Join(
						stream.SetHeader(foreign), grpc.SetHeader(stream.Context(), foreign), grpc.SetTrailer(stream.Context(), foreign),
						stream.SendHeader(foreign), rejected.Err(),
					)
				},
			}}}, nil)
		},
	}, nil)

	a := callStream(withKey(t.Context(), "key"), w.conn, "/stream.v1.Relay/Relay", &pb.Empty{}, &pb.Empty{})
	if info := a.info(t); info.GetDomain() != interceptor.DownstreamDomain {
		t.Errorf("the domain is %q, want %q", info.GetDomain(), interceptor.DownstreamDomain)
	}

	for what, md := range map[string]metadata.MD{"header": a.header, "trailer": a.trailer} {
		if len(md.Get(interceptor.StatusTrailer)) != 0 || len(md.Get("x")) == 0 {
			t.Errorf("%s: %v", what, md)
		}
	}
}

func TestF80_OptionsThatNameAStreamAreRefusedAtConstruction(t *testing.T) {
	const stream = pb.TestService_FullDuplexCall_FullMethodName

	for name, option := range map[string]interceptor.ServerOption{
		"a method's policy":       interceptor.WithMethodPolicy(stream, interceptor.Policy{}),
		"a method that has a key": interceptor.WithMethodPolicy(stream, interceptor.Policy{Key: interceptor.KeyRequired}),
		"a method downstream":     interceptor.WithDownstream(0, stream),
	} {
		_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), option)
		if err == nil || !strings.Contains(err.Error(), stream) || !strings.Contains(err.Error(), "stream, ") {
			t.Errorf("%s: %v", name, err)
		}
	}

	ignored := interceptor.WithMethodPolicy(stream, interceptor.Policy{Key: interceptor.KeyIgnored})
	if _, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), ignored); err != nil {
		t.Errorf("a stream whose keys are ignored: %v", err)
	}

	_, err := interceptor.DialOptions(interceptor.WithMethods(stream))
	mustName(t, err, "WithMethods", stream, "stream")
}
