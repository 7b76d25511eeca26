package guide

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// noted notes what it is called with.
type noted struct {
	paymentsv1.PaymentServiceClient

	steps, keys []string
}

func (n *noted) Pay(ctx context.Context, _ *paymentsv1.PayRequest, _ ...grpc.CallOption) (*paymentsv1.PayResponse, error) {
	call, err := onlyonce.DeriveCall(ctx, paymentsv1.PaymentService_Pay_FullMethodName)
	if err != nil {
		return nil, err
	}
	defer call.End(nil)

	n.steps = append(n.steps, call.Key())

	return &paymentsv1.PayResponse{}, nil
}

func (n *noted) Refund(_ context.Context, key string) error {
	n.keys = append(n.keys, key)

	return nil
}

func TestTheHandlersOfTheReadmeCallWithKeysOfTheirOwn(t *testing.T) {
	t.Parallel()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	seen := &noted{}
	orders := Orders{payments: seen, provider: seen}

	_, err = engine.Do(t.Context(), onlyonce.Call{Method: "place", Key: "order-1"}, func(ctx context.Context) ([]byte, error) {
		if err := orders.Place(ctx, []*paymentsv1.PayRequest{{OrderId: "line-1"}, {OrderId: "line-2"}}); err != nil {
			return nil, err
		}

		return nil, orders.Cancel(ctx)
	})
	if err != nil || len(seen.steps) != 2 || seen.steps[0] == seen.steps[1] || len(seen.keys) != 1 {
		t.Errorf("the keys are %q and %q; %v", seen.steps, seen.keys, err)
	}

	if key, err := Daily("2025-01-15", "prf_abc123"); key != "fortune-2025-01-15-prf_abc123-daily" || err != nil {
		t.Errorf("the key is %q, %v", key, err)
	}
}
