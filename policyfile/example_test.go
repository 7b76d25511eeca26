package policyfile_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/policyfile"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// payments counts its payments.
type payments struct {
	pb.UnimplementedTestServiceServer

	count int
}

// UnaryCall pays.
func (p *payments) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	p.count++

	return &pb.SimpleResponse{Username: fmt.Sprintf("payment %d", p.count)}, nil
}

func Example() {
	declared, err := policyfile.Read("testdata/policies.yaml")
	if err != nil {
		log.Fatal(err)
	}

	server := serve(declared)
	defer server.Stop()

	conn := connect(server.address, declared)
	defer func() { _ = conn.Close() }()

	for range 2 {
		var trailer metadata.MD

		paid, err := pb.NewTestServiceClient(conn).UnaryCall(context.Background(), &pb.SimpleRequest{},
			interceptor.WithKey("order-17"), grpc.Trailer(&trailer))
		fmt.Println(paid.GetUsername(), err, trailer.Get(interceptor.StatusTrailer))
	}
	// Output:
	// payment 1 <nil> [executed]
	// payment 1 <nil> [replayed]
}

type running struct {
	*grpc.Server

	address string
}

func serve(declared []interceptor.Declaration) running {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		log.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), interceptor.WithDeclarations(declared...))
	if err != nil {
		log.Fatal(err)
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	pb.RegisterTestServiceServer(server, new(payments))

	// Every problem at once, each with its line.
	if err := protect.Validate(server); err != nil {
		log.Fatal(err)
	}

	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()

	return running{Server: server, address: listener.Addr().String()}
}

// connect makes a client that reads the same file as the server: it knows which methods are protected, and for how long retries are safe.
func connect(address string, declared []interceptor.Declaration) *grpc.ClientConn {
	dial, err := interceptor.DialOptions(interceptor.WithClientDeclarations(declared...))
	if err != nil {
		log.Fatal(err)
	}

	conn, err := grpc.NewClient(address, append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		log.Fatal(err)
	}

	return conn
}

func ExampleParse() {
	_, err := policyfile.Parse("policies.yaml", []byte(`
methods:
  /payments.v1.PaymentService/Pay:
    retention: two days
    max_attempts: many
`))

	fmt.Println(strings.ReplaceAll(err.Error(), ": ", ":\n  "))
	// Output:
	// policyfile:
	//   policies.yaml:4:
	//   field retention of the policy of /payments.v1.PaymentService/Pay:
	//   invalid google.protobuf.Duration value "two days":
	//   give a duration, as in 90s or 48h
	// policyfile:
	//   policies.yaml:5:
	//   field max_attempts of the policy of /payments.v1.PaymentService/Pay:
	//   invalid value for uint32 field maxAttempts:
	//   "many":
	//   give a whole number
}
