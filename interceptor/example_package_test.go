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
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// paymentService stands for a service of yours. It counts the payments that it makes.
type paymentService struct {
	pb.UnimplementedTestServiceServer

	payments int
}

func (s *paymentService) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.payments++

	return &pb.SimpleResponse{Username: fmt.Sprintf("payment %d", s.payments)}, nil
}

// loseFirstReply stands for a network: the first reply does not arrive.
func loseFirstReply() grpc.UnaryClientInterceptor {
	replies := 0

	return func(
		ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		err := invoker(ctx, method, req, reply, conn, opts...)

		replies++
		if replies == 1 {
			return status.Error(codes.Unavailable, "the connection broke")
		}

		return err
	}
}

// A payment is made, and its reply is lost. The client retries the call with the same key, and the server replays the answer.
func Example() {
	// The server: an engine on a store, and its interceptors.
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		log.Fatal(err)
	}

	service := new(paymentService)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(protect.Unary), grpc.ChainStreamInterceptor(protect.Stream))
	pb.RegisterTestServiceServer(server, service)

	if err := protect.Validate(server); err != nil {
		log.Fatal(err)
	}

	listener := bufconn.Listen(1 << 16) // a network in memory

	go func() { _ = server.Serve(listener) }()

	// The client: one key per call, and retries with that key.
	dial, err := interceptor.DialOptions(
		interceptor.WithMethods(pb.TestService_UnaryCall_FullMethodName),
		interceptor.WithAttemptObserver(func(_ context.Context, a interceptor.Attempt) {
			fmt.Println("attempt", a.Number, status.Code(a.Err), a.Status)
		}),
	)
	if err != nil {
		log.Fatal(err)
	}

	conn, err := grpc.NewClient("passthrough:///payments", append(dial,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithChainUnaryInterceptor(loseFirstReply()),
	)...)
	if err != nil {
		log.Fatal(err)
	}

	defer server.Stop()
	defer conn.Close()

	resp, err := pb.NewTestServiceClient(conn).UnaryCall(context.Background(), &pb.SimpleRequest{})
	fmt.Println(resp.GetUsername(), err)
	fmt.Println("payments made:", service.payments)

	// Output:
	// attempt 1 Unavailable executed
	// attempt 2 OK replayed
	// payment 1 <nil>
	// payments made: 1
}
