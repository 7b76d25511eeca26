package pages

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPayRequest(order string) *paymentsv1.PayRequest {
	return &paymentsv1.PayRequest{OrderId: order}
}

func TestRequestsAreStable(t *testing.T) {
	t.Parallel()

	order := "order-7"
	if err := fingerprint.Stable(func() proto.Message { return newPayRequest(order) }); err != nil {
		t.Error(err)
	}
}

func TestServersOfThePagesCanBeMade(t *testing.T) {
	t.Parallel()

	if _, _, err := Shadow(memstore.New(), interceptor.ScopeShared()); err != nil {
		t.Error(err)
	}

	if _, err := SealedEngine(memstore.New(), make([]byte, 32)); err != nil {
		t.Error(err)
	}

	if key, err := Daily(); err != nil || key != "fortune-2025-01-15-prf_abc123-daily" {
		t.Errorf("the key is %q, %v", key, err)
	}
}
