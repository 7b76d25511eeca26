package interceptor_test

import (
	"fmt"
	"log"
	"strings"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A server that checks itself before it serves. The options are those of the interceptor.
func ExampleServer_Validate() {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	opts := []interceptor.ServerOption{
		interceptor.WithMethodPolicy(pb.TestService_StreamingInputCall_FullMethodName, interceptor.Policy{Key: interceptor.KeyRequired}),
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), opts...)
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, pb.UnimplementedTestServiceServer{})

	if err := protect.Validate(server); err != nil {
		problem, advice, _ := strings.Cut(err.Error(), ": set ")
		fmt.Println(problem)
		fmt.Println(advice)
	}

	// Output:
	// interceptor: /grpc.testing.TestService/StreamingInputCall requires a key and is a stream, which is never protected
	// KEY_USE_IGNORED in its .proto, or KeyIgnored in WithMethodPolicy
}
