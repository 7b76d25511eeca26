package main

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
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

// slow is a way to a ledger on which requests are held up until their runs have ended.
type slow struct {
	paymentsv1.PaymentServiceClient

	service *ledger.Service
}

func (s *slow) Pay(ctx context.Context, req *paymentsv1.PayRequest, _ ...grpc.CallOption) (*paymentsv1.PayResponse, error) {
	sent, _ := metadata.FromOutgoingContext(ctx)

	<-ctx.Done()
	time.Sleep(time.Millisecond)

	return s.service.Pay(metadata.NewIncomingContext(context.WithoutCancel(ctx), sent), req)
}

// A reconciler may have found by then that the payment did not happen.
func TestARequestThatArrivesAfterTheEndOfItsRunDoesNotPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(sharedPolicy()), onlyonce.WithObserver(nil))
		if err != nil {
			t.Fatal(err)
		}

		charged := ledger.New()
		service := &desk{provider: &slow{service: ledger.NewService(charged, 0)}}

		_, err = engine.Do(t.Context(), onlyonce.Call{Method: "pay", Key: "k"}, func(ctx context.Context) ([]byte, error) {
			_, err := service.Pay(ctx, payRequest(""))

			return nil, err
		})
		if err == nil || charged.Total() != 0 {
			t.Errorf("%d charges, %v; want none", charged.Total(), err)
		}

		if err := engine.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
