package main

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// book is a ledger with a fixed answer.
type book struct {
	paymentsv1.PaymentServiceClient

	payments []*paymentsv1.PayResponse
	err      error
}

func (b *book) GetPayment(
	context.Context, *paymentsv1.GetPaymentRequest, ...grpc.CallOption,
) (*paymentsv1.GetPaymentResponse, error) {
	return &paymentsv1.GetPaymentResponse{Payments: b.payments}, b.err
}

func TestNothingHappenedOnlyOnceTheServerCannotBeAlive(t *testing.T) {
	charged := []*paymentsv1.PayResponse{{PaymentId: "pay-1"}}
	now := time.Now()

	receipt, err := interceptor.FindingOf(charged[0], nil)
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		ledger book
		alive  time.Time
		want   onlyonce.Finding
	}{
		"charged, and the server may be alive": {book{payments: charged}, now.Add(time.Second), receipt},
		"charged, and the server is dead":      {book{payments: charged}, now, receipt},
		"not charged, it may be alive":         {book{}, now.Add(time.Nanosecond), onlyonce.StillUnknown()},
		"not charged, it is dead":              {book{}, now, onlyonce.DidNotHappen()},
		"the ledger cannot be reached":         {book{err: errors.New("gone")}, now, onlyonce.StillUnknown()},
	} {
		t.Run(name, func(t *testing.T) {
			rec := onlyonce.Record{Record: store.Record{OwnerAliveUntil: c.alive}, LookedUpAt: now}

			got, err := (&desk{provider: &c.ledger}).recover(t.Context(), &paymentsv1.PayRequest{OrderId: "o"}, rec)
			if !reflect.DeepEqual(got, c.want) || (err != nil) != (c.ledger.err != nil) {
				t.Errorf("recover: %v, %v; want %v", got, err, c.want)
			}
		})
	}
}
