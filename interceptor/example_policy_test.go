package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A method that must not be called without a key, and whose handler may run again after an unknown outcome.
func ExampleWithMethodPolicy() {
	server := grpc.NewServer(protection(
		interceptor.WithMethodPolicy(pb.TestService_UnaryCall_FullMethodName, interceptor.Policy{
			Key:    interceptor.KeyRequired,
			Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Retention: 7 * 24 * time.Hour},
		}),
	))
	pb.RegisterTestServiceServer(server, &bank{})

	client, stop := serve(server)
	defer stop()

	_, err := client.UnaryCall(context.Background(), &pb.SimpleRequest{})
	fmt.Println(status.Convert(err).Message())

	// Output:
	// this method requires metadata idempotency-key; send one key per operation, the same on every retry
}

// The scope is the subject that an auth interceptor in front has put into the context.
func ExampleScopeFunc() {
	type subject struct{}

	auth := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		token := metadata.ValueFromIncomingContext(ctx, "authorization") // verify it here
		if len(token) != 1 {
			return nil, status.Error(codes.Unauthenticated, "who are you?")
		}

		return handler(context.WithValue(ctx, subject{}, token[0]), req)
	}

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeFunc(func(ctx context.Context) (string, error) {
		name, ok := ctx.Value(subject{}).(string)
		if !ok {
			return "", errors.New("the auth interceptor is missing")
		}

		return name, nil
	}))
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(grpc.ChainUnaryInterceptor(auth, protect.Unary))
	pb.RegisterTestServiceServer(server, &bank{})

	client, stop := serve(server)
	defer stop()

	for _, caller := range []string{"ann", "bob", "ann"} {
		ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", caller, "idempotency-key", "order-4711")
		resp, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		fmt.Println(caller, resp.GetUsername(), err)
	}

	// Output:
	// ann payment 1 <nil>
	// bob payment 2 <nil>
	// ann payment 1 <nil>
}

// A recovery function asks the books whether a payment of unknown outcome was made.
func ExampleHappened() {
	books := &bank{}

	server := grpc.NewServer(
		protection(interceptor.WithPolicy(interceptor.Policy{
			Recover: func(_ context.Context, _ proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
				if books.payments == 0 {
					return onlyonce.StillUnknown(), nil // still unknown
				}

				return interceptor.FindingOf(&pb.SimpleResponse{Username: "found for " + rec.ReadableKey}, nil)
			},
		})),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			_, _ = handler(ctx, req)

			return nil, status.Error(codes.Internal, "the answer was lost")
		}),
	)
	pb.RegisterTestServiceServer(server, books)

	client, stop := serve(server)
	defer stop()

	ctx := metadata.AppendToOutgoingContext(context.Background(), "idempotency-key", "order-4711")

	for range 2 {
		resp, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		fmt.Printf("%v %q\n", status.Code(err), resp.GetUsername())
	}

	// Output:
	// Internal ""
	// OK "found for order-4711"
}

// Retries with a bound on each attempt, and a budget that all calls of the connection share.
func ExampleWithRetry() {
	budget, err := retry.NewBudget(10, 0.1)
	if err != nil {
		log.Fatal(err)
	}

	dial, err := interceptor.DialOptions(
		interceptor.WithMethods(pb.TestService_UnaryCall_FullMethodName),
		interceptor.WithRetry(retry.Policy{MaxAttempts: 4, AttemptTimeout: 5 * time.Second, Budget: budget}),
	)
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protection(), grpc.ChainUnaryInterceptor(unreliable()))
	pb.RegisterTestServiceServer(server, &bank{})

	client, stop := serve(server, dial...)
	defer stop()

	// Each call gets a key of its own.
	resp, err := client.UnaryCall(context.Background(), &pb.SimpleRequest{})
	fmt.Println(resp.GetUsername(), err)

	// One call without retries.
	_, err = client.UnaryCall(context.Background(), &pb.SimpleRequest{}, interceptor.WithoutRetry())
	fmt.Println(err)

	// Output:
	// payment 1 <nil>
	// <nil>
}
