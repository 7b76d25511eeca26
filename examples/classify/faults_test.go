package classify

import (
	"testing"

	"google.golang.org/grpc"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
)

func TestPayLosesNoMoney(t *testing.T) {
	bank := &world{charged: map[string]string{}}

	table := interceptortest.Faults(t, interceptortest.Subject{
		NewServer: func(around interceptortest.Around) (*grpc.Server, error) {
			return newServer(around, &Service{accounts: bank, provider: bank})
		},
		Method:   paymentsv1.PaymentService_Pay_FullMethodName,
		Request:  &paymentsv1.PayRequest{OrderId: "7", AmountMinor: 100},
		Response: &paymentsv1.PayResponse{},
		Effects:  func() int { return len(bank.keys) },
	})

	if lost := table.Lost(); len(lost) > 0 {
		t.Errorf("money is lost:\n%v", lost)
	}
}

// newServer makes a server as the program does, with the store and the interceptors of a test.
func newServer(around interceptortest.Around, service *Service) (*grpc.Server, error) {
	engine, err := onlyonce.New(around.Store)
	if err != nil {
		return nil, err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, err
	}

	server := grpc.NewServer(grpc.ChainUnaryInterceptor(around.First, protect.Unary, around.Last))
	paymentsv1.RegisterPaymentServiceServer(server, service)

	return server, nil
}
