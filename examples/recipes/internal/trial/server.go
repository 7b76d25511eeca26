package trial

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Payments is a service that counts its payments.
type Payments struct {
	recipesv1.UnimplementedPaymentServiceServer

	// After is called after each payment with its number. Its error becomes the error of the call. Nil means no error.
	After func(number int) error

	made atomic.Int64
}

// Pay implements [recipesv1.PaymentServiceServer].
func (p *Payments) Pay(context.Context, *recipesv1.PayRequest) (*recipesv1.PayResponse, error) {
	number := int(p.made.Add(1))

	if p.After != nil {
		if err := p.After(number); err != nil {
			return nil, err
		}
	}

	return &recipesv1.PayResponse{Receipt: fmt.Sprint("receipt ", number)}, nil
}

// Made returns the number of payments.
func (p *Payments) Made() int { return int(p.made.Load()) }

// Serve serves payments in memory until the test ends. It returns a client with the kit.
func Serve(t *testing.T, server *grpc.Server, payments *Payments) recipesv1.PaymentServiceClient {
	t.Helper()

	dial, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	return ServePlain(t, server, payments, dial...)
}

// ServePlain is Serve with a client that has only these options.
func ServePlain(t *testing.T, server *grpc.Server, payments *Payments, dial ...grpc.DialOption) recipesv1.PaymentServiceClient {
	t.Helper()

	recipesv1.RegisterPaymentServiceServer(server, payments)

	listener, served := bufconn.Listen(1<<20), make(chan error, 1)

	go func() { served <- server.Serve(listener) }()

	dial = append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))

	conn, err := grpc.NewClient("passthrough:///memory", dial...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}

		server.Stop()

		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	return recipesv1.NewPaymentServiceClient(conn)
}
