package interceptor_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// bank is any service of yours.
type bank struct {
	pb.UnimplementedTestServiceServer

	payments int
}

func (b *bank) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	b.payments++

	return &pb.SimpleResponse{Username: fmt.Sprintf("payment %d", b.payments)}, nil
}

func ExampleNewServer() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, &bank{})

	client, stop := serve(server)
	defer stop()

	// Any client in any language sends its key as metadata.
	ctx := metadata.AppendToOutgoingContext(context.Background(), "idempotency-key", "order-4711")

	for range 2 {
		var trailer metadata.MD

		resp, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 10}, grpc.Trailer(&trailer))
		fmt.Println(resp.GetUsername(), err, trailer.Get("idempotency-status"))
	}

	// The key is bound to its first request.
	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 99})
	fmt.Println(status.Code(err))

	// Output:
	// payment 1 <nil> [executed]
	// payment 1 <nil> [replayed]
	// FailedPrecondition
}

func ExampleDialOptions() {
	server := grpc.NewServer(protection(), grpc.ChainUnaryInterceptor(unreliable()))
	pb.RegisterTestServiceServer(server, &bank{})

	dial, err := interceptor.DialOptions(
		interceptor.WithMethods(pb.TestService_UnaryCall_FullMethodName),
		interceptor.WithAttemptObserver(func(_ context.Context, a interceptor.Attempt) {
			fmt.Println("attempt", a.Number, status.Code(a.Err), a.Status)
		}),
	)
	if err != nil {
		log.Fatal(err)
	}

	client, stop := serve(server, dial...)
	defer stop()

	resp, err := client.UnaryCall(context.Background(), &pb.SimpleRequest{}, interceptor.WithKey("order-4711"))
	fmt.Println(resp.GetUsername(), err, onlyonce.VerdictOf(err))

	// Output:
	// attempt 1 Unavailable released
	// attempt 2 OK executed
	// payment 1 <nil> final
}

func ExampleWithReplayCheck() {
	closed := false // whether the caller's account was closed

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(),
		interceptor.WithReplayCheck(func(context.Context, any) error {
			if closed {
				return status.Error(codes.PermissionDenied, "your account was closed")
			}

			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, &bank{})

	client, stop := serve(server)
	defer stop()

	ctx := metadata.AppendToOutgoingContext(context.Background(), "idempotency-key", "order-4711")

	for _, closed = range []bool{false, false, true} {
		resp, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		fmt.Printf("%v %q\n", status.Code(err), resp.GetUsername())
	}

	// Output:
	// OK "payment 1"
	// OK "payment 1"
	// PermissionDenied ""
}

// serve starts a server in memory and connects to it.
func serve(server *grpc.Server, opts ...grpc.DialOption) (client pb.TestServiceClient, stop func()) {
	listener := bufconn.Listen(1 << 16)

	go func() { _ = server.Serve(listener) }()

	conn, err := grpc.NewClient("passthrough:///bank", append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	)...)
	if err != nil {
		log.Fatal(err)
	}

	return pb.NewTestServiceClient(conn), func() {
		conn.Close()
		server.Stop()
	}
}

// protection is the interceptor on an engine of its own, as one option.
func protection(opts ...interceptor.ServerOption) grpc.ServerOption {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), opts...)
	if err != nil {
		log.Fatal(err)
	}

	return grpc.ChainUnaryInterceptor(protect.Unary)
}

// unreliable fails the first call before it reaches the handler.
func unreliable() grpc.UnaryServerInterceptor {
	calls := 0

	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		calls++
		if calls == 1 {
			return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, "no connection to the ledger"))
		}

		return handler(ctx, req)
	}
}
