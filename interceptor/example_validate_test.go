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
		interceptor.WithServicePolicy("bank.v1.Payments", interceptor.Policy{Key: interceptor.KeyRequired}),
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), opts...)
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, pb.UnimplementedTestServiceServer{})

	if err := protect.Validate(server); err != nil {
		problem, advice, _ := strings.Cut(err.Error(), ": register ")
		fmt.Println(problem)
		fmt.Println(advice)
	}

	// Output:
	// interceptor: WithServicePolicy names service bank.v1.Payments, which is not registered on this server
	// it before Validate, or remove the option
}
