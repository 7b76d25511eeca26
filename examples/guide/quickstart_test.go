package guide

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

// Whoever has no key of the business gets one, and is retried with it, because the .proto says so.
func TestTheQuickStartsClientRetriesWhatTheProtoProtects(t *testing.T) {
	t.Parallel()

	var (
		keys  []string
		again = func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			keys = append(keys, metadata.ValueFromIncomingContext(ctx, "idempotency-key")...)
			if len(keys) < 2 {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("idempotency-status", "unknown")) // the server has the kit

				return nil, status.Error(codes.Unavailable, "again")
			}

			return &paymentsv1.PayResponse{}, nil
		}
	)

	server := grpc.NewServer(grpc.UnaryInterceptor(again))
	paymentsv1.RegisterPaymentServiceServer(server, paymentsv1.UnimplementedPaymentServiceServer{})

	client := paymentsv1.NewPaymentServiceClient(serve(t, server))
	if _, err := client.Pay(t.Context(), &paymentsv1.PayRequest{OrderId: "4711"}); err != nil {
		t.Fatal(err)
	}

	if len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("the attempts had the keys %q", keys)
	}
}

// serve starts a server and connects to it as the quick start does.
func serve(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()

	conn, err := Dial(listener.Addr().String(), insecure.NewCredentials())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		conn.Close()
		server.Stop()
	})

	return conn
}

func TestTheQuickStartChargesOnce(t *testing.T) {
	t.Parallel()

	server, engine, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}

	book := ledger.New()
	paymentsv1.RegisterPaymentServiceServer(server, ledger.NewService(book, 0))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	client := paymentsv1.NewPaymentServiceClient(serve(t, server))
	for range 3 {
		req := &paymentsv1.PayRequest{OrderId: "4711", Payer: "a", Payee: "b", AmountMinor: 1, Currency: "EUR"}
		if err := Pay(ctx, client, req); err != nil {
			t.Fatal(err)
		}
	}

	if book.Total() != 1 {
		t.Errorf("%d charges, want 1", book.Total())
	}

	if err := engine.Drain(ctx); err != nil {
		t.Error(err)
	}
}
