package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// startPlain starts a protected server, and connects a client to it that has no interceptor.
func startPlain(t *testing.T) (paymentsv1.PaymentServiceClient, *ledger.Ledger) {
	t.Helper()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	book := ledger.New()

	server, err := newServer(engine, oneParty(), ledger.NewService(book, 0))
	if err != nil {
		t.Fatal(err)
	}

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()

	t.Cleanup(server.Stop)

	client, closeConn, err := dialProvider(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(closeConn)

	return client, book
}

func payRequest(key string) *paymentsv1.PayRequest {
	return &paymentsv1.PayRequest{OrderId: "o", Payer: "a", Payee: "b", AmountMinor: 1, Currency: "EUR", RequestId: key}
}

func TestPaymentWithoutAKeyIsRefusedAsTheProtoDeclares(t *testing.T) {
	client, book := startPlain(t)

	_, err := client.Pay(t.Context(), payRequest(""))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), "request_id") {
		t.Errorf("Pay: %v, want INVALID_ARGUMENT and where a key may be", err)
	}

	if _, err := client.GetPayment(t.Context(), &paymentsv1.GetPaymentRequest{OrderId: "o"}); err != nil {
		t.Errorf("GetPayment, which needs no key: %v", err)
	}

	if book.Total() != 0 {
		t.Errorf("%d charges, want none", book.Total())
	}
}

func TestKeyMayComeInTheRequestOrAsMetadata(t *testing.T) {
	client, book := startPlain(t)

	inMetadata := metadata.AppendToOutgoingContext(t.Context(), interceptor.KeyHeader, "key")

	for _, call := range []struct {
		ctx  context.Context
		key  string // in the request
		said onlyonce.Status
	}{
		{t.Context(), "key", onlyonce.StatusExecuted},
		{inMetadata, "", onlyonce.StatusReplayed},
		{inMetadata, "key", onlyonce.StatusReplayed},
	} {
		var trailer metadata.MD

		resp, err := client.Pay(call.ctx, payRequest(call.key), grpc.Trailer(&trailer))
		if err != nil || resp.GetChargeNumber() != 1 {
			t.Errorf("charge number %d, %v; want the first charge", resp.GetChargeNumber(), err)
		}

		if said := trailer.Get(interceptor.StatusTrailer); len(said) != 1 || said[0] != string(call.said) {
			t.Errorf("%s is %q, want %q", interceptor.StatusTrailer, said, call.said)
		}
	}

	if book.Total() != 1 {
		t.Errorf("%d charges, want 1", book.Total())
	}
}
