package adopting_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/adopting"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// service is a method in a stage, with a client that does not use the kit.
type service struct {
	trial.Payments

	stage  adopting.Stage
	client recipesv1.PaymentServiceClient
	report onlyonce.ShadowReport
	ended  calls
}

// calls gets a value at the end of each call in shadow mode.
type calls chan struct{}

func (c calls) Observe(_ context.Context, event onlyonce.Event) {
	if event.Kind == onlyonce.EventShadow {
		c <- struct{}{}
	}
}

// serve serves a method in a stage. The bank knows every payment.
func serve(t *testing.T, stage adopting.Stage) *service {
	t.Helper()

	s := &service{stage: stage, ended: make(calls, 1)}
	engine := trial.NewEngine(t, onlyonce.WithObserver(s.report.With(s.ended)))

	find := func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
		return interceptor.FindingOf(&recipesv1.PayResponse{Receipt: "receipt of the bank"}, nil)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(),
		interceptor.WithMethodPolicy(recipesv1.PaymentService_Pay_FullMethodName, adopting.Policy(stage, find)))
	if err != nil {
		t.Fatal(err)
	}

	s.client = trial.ServePlain(t, grpc.NewServer(protect.ServerOptions()...), &s.Payments)

	return s
}

// pay pays, and waits for the end of the observation: shadow mode writes its record beside the call.
func (s *service) pay(t *testing.T, opts ...grpc.CallOption) (receipt string, err error) {
	t.Helper()

	answer, err := s.client.Pay(t.Context(), &recipesv1.PayRequest{Account: "rent", Cents: 100}, opts...)
	if s.stage == adopting.Shadow {
		<-s.ended
	}

	return answer.GetReceipt(), err
}
