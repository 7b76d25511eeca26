// Command quickstart is a server and a client in one process. The reply to the second order is lost. The client retries, and the order is
// charged once.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func main() { run(context.Background(), os.Stdout) }

func run(ctx context.Context, out io.Writer) {
	// The server. All callers share one scope here; docs/security.md shows how to separate them.
	engine := must(onlyonce.New(memstore.New()))
	protect := must(interceptor.NewServer(engine, interceptor.ScopeShared()))
	server := grpc.NewServer(protect.ServerOptions()...)
	defer server.Stop()

	network := &network{Listener: must(net.Listen("tcp", "127.0.0.1:0")), conns: make(chan net.Conn, 1)}
	pb.RegisterGreeterServer(server, &shop{out: out, network: network})

	go func() { _ = server.Serve(network) }()

	// The client. It retries the methods named here, and methods marked in their .proto.
	dial := must(interceptor.DialOptions(interceptor.WithMethods(pb.Greeter_SayHello_FullMethodName)))
	dial = append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn := must(grpc.NewClient(network.Addr().String(), dial...))
	defer conn.Close()

	// The reply to the second call is lost. The third call repeats the second order.
	for _, order := range []string{"order-1", "order-2", "order-2"} {
		var trailer metadata.MD

		reply := must(pb.NewGreeterClient(conn).SayHello(ctx, &pb.HelloRequest{Name: order},
			interceptor.WithKey(order), grpc.Trailer(&trailer)))
		fmt.Fprintf(out, "client: %s %v\n", reply.GetMessage(), trailer["idempotency-status"])
	}
}

// shop has the handler, which needs no change.
type shop struct {
	pb.UnimplementedGreeterServer

	out     io.Writer
	network *network
	charges int
}

func (s *shop) SayHello(_ context.Context, req *pb.HelloRequest) (*pb.HelloReply, error) {
	s.charges++
	fmt.Fprintf(s.out, "server: charge %d for %s\n", s.charges, req.GetName())

	if req.GetName() == "order-2" {
		fmt.Fprintln(s.out, "        the connection breaks before the reply")
		(<-s.network.conns).Close()
	}

	return &pb.HelloReply{Message: fmt.Sprintf("%s is paid by charge %d", req.GetName(), s.charges)}, nil
}

// network is a listener whose connections can be broken.
type network struct {
	net.Listener

	conns chan net.Conn
}

func (n *network) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		n.conns <- conn
	}

	return conn, err
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}

	return value
}
