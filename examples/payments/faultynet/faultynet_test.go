package faultynet_test

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pay sends one payment through a proxy with the given faults.
func pay(t *testing.T, faults faultynet.Faults) (charges int, counts faultynet.Counts, err error) {
	t.Helper()

	book := ledger.New()
	server := grpc.NewServer()
	paymentsv1.RegisterPaymentServiceServer(server, ledger.NewService(book, 0))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()

	proxy, err := faultynet.Listen(listener.Addr().String(), faults, 1)
	if err != nil {
		t.Fatal(err)
	}

	conn, err := grpc.NewClient("passthrough:"+proxy.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	_, callErr := paymentsv1.NewPaymentServiceClient(conn).Pay(ctx, &paymentsv1.PayRequest{
		OrderId: "o", Payer: "a", Payee: "b", AmountMinor: 1, Currency: "EUR",
	})

	if err := conn.Close(); err != nil {
		t.Error(err)
	}

	if err := proxy.Close(); err != nil {
		t.Error(err)
	}

	server.GracefulStop()

	return book.Total(), proxy.Counts(), callErr
}

func TestWithoutFaultsACallGoesThrough(t *testing.T) {
	t.Parallel()

	charges, counts, err := pay(t, faultynet.Faults{})
	if err != nil || charges != 1 || counts != (faultynet.Counts{}) {
		t.Errorf("%d charges, %+v, error %v; want one charge, no fault, no error", charges, counts, err)
	}
}

func TestALostReplyComesAfterTheCharge(t *testing.T) {
	t.Parallel()

	charges, counts, err := pay(t, faultynet.Faults{LostReply: 1})
	if status.Code(err) != codes.Unavailable || charges != 1 || counts.LostReplies != 1 {
		t.Errorf("%d charges, %+v, error %v; want UNAVAILABLE and one charge all the same", charges, counts, err)
	}
}

func TestAResetComesBeforeTheCharge(t *testing.T) {
	t.Parallel()

	charges, counts, err := pay(t, faultynet.Faults{Reset: 1})
	if status.Code(err) != codes.Unavailable || charges != 0 || counts.Resets == 0 {
		t.Errorf("%d charges, %+v, error %v; want UNAVAILABLE and no charge", charges, counts, err)
	}
}

func TestALateReplyArrives(t *testing.T) {
	t.Parallel()

	charges, counts, err := pay(t, faultynet.Faults{Late: 1, Delay: 10 * time.Millisecond})
	if err != nil || charges != 1 || counts.LateReplies != 1 {
		t.Errorf("%d charges, %+v, error %v; want one charge and no error", charges, counts, err)
	}
}
