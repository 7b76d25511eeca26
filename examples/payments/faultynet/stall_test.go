package faultynet

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

func TestAStallLosesAReplyAndTheRequestBehindIt(t *testing.T) {
	t.Parallel()

	book := ledger.New()
	server := grpc.NewServer()
	paymentsv1.RegisterPaymentServiceServer(server, ledger.NewService(book, 0))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	proxy, err := Listen(listener.Addr().String(), Faults{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()

	conn, err := grpc.NewClient("passthrough:"+proxy.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	client := paymentsv1.NewPaymentServiceClient(conn)
	pay := func(order string, opts ...grpc.CallOption) error {
		_, err := client.Pay(ctx, &paymentsv1.PayRequest{OrderId: order, Payer: "a", Payee: "b", AmountMinor: 1, Currency: "EUR"}, opts...)

		return err
	}

	first, second := make(chan error, 1), make(chan error, 1)
	s := proxy.beginStall()

	go func() { first <- pay("first") }()

	<-s.reply

	go func() { second <- pay("second") }()

	<-s.request
	proxy.Cut()

	for order, failed := range map[string]chan error{"first": first, "second": second} {
		if err := <-failed; status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v, want UNAVAILABLE", order, err)
		}
	}

	if len(book.Payments("first")) != 1 || len(book.Payments("second")) != 0 {
		t.Errorf("%d charges of the first, %d of the second; want one and none", len(book.Payments("first")), len(book.Payments("second")))
	}

	if err := pay("third", grpc.WaitForReady(true)); err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

func TestAStallWithoutCallsEndsWithItsContext(t *testing.T) {
	t.Parallel()

	proxy, err := Listen("127.0.0.1:1", Faults{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()

	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)

	if err := proxy.Stall(ctx, time.Minute); !errors.Is(err, reason) {
		t.Errorf("Stall: %v, want %v", err, reason)
	}
}
