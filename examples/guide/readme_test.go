package guide

import (
	"context"
	"net"
	"os"
	"regexp"
	"strings"
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

// lines returns the lines of a text without indentation and without empty ones.
func lines(text string) string {
	var kept []string

	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}

	return strings.Join(kept, "\n")
}

func TestTheCodeOfTheReadmeIsCompiled(t *testing.T) {
	t.Parallel()

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}

	var sources []byte

	for _, path := range []string{"quickstart.go", "chain.go", "order.go", "../transactions/single.go", "../transactions/joined.go"} {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		sources = append(sources, source...)
	}

	compiled := lines(string(sources))

	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 3 {
		t.Fatalf("the README has %d blocks of Go, want the server, the client and a handler at least", len(blocks))
	}

	// An ellipsis stands for what the reader knows, such as the handling of an error.
	for _, block := range blocks {
		for part := range strings.SplitSeq(block[1], "…") {
			if !strings.Contains(compiled, lines(part)) {
				t.Errorf("this is in no example:\n%s", part)
			}
		}
	}
}

func TestTheQuickStartSaysWhatTheProtoOfThePaymentsSays(t *testing.T) {
	t.Parallel()

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}

	proto, err := os.ReadFile("../payments/proto/payments/v1/payments.proto")
	if err != nil {
		t.Fatal(err)
	}

	block := regexp.MustCompile("(?s)```proto\n(.*?)```").FindStringSubmatch(string(readme))
	if block == nil {
		t.Fatal("the README has no block of a .proto")
	}

	for part := range strings.SplitSeq(block[1], "…") {
		if !strings.Contains(lines(string(proto)), lines(part)) {
			t.Errorf("this is not in payments.proto:\n%s", part)
		}
	}
}

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

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
