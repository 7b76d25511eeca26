package adopting_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/adopting"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachStageAnswersARetryDifferently(t *testing.T) {
	for _, test := range []struct {
		stage      adopting.Stage
		withoutKey codes.Code
		duplicate  string // the receipt of a retry after a success
		afterError string // the receipt of a retry after an error that came behind the payment
		payments   int
	}{
		{adopting.Shadow, codes.OK, "receipt 3", "receipt 5", 5},
		{adopting.Keys, codes.InvalidArgument, "receipt 1", "receipt 3", 3},
		{adopting.Strict, codes.InvalidArgument, "receipt 1", "receipt of the bank", 2},
	} {
		t.Run(string(test.stage), func(t *testing.T) {
			payments, report := new(trial.Payments), new(onlyonce.ShadowReport)
			observed := make(calls, 1)
			client := serve(t, test.stage, payments, report.With(observed))

			pay := func(opts ...grpc.CallOption) (string, error) {
				answer, err := client.Pay(t.Context(), &recipesv1.PayRequest{Account: "rent", Cents: 100}, opts...)
				if test.stage == adopting.Shadow {
					<-observed // shadow mode writes its record beside the call
				}

				return answer.GetReceipt(), err
			}

			if _, err := pay(interceptor.WithKey("order-7")); err != nil {
				t.Fatal(err)
			}

			if _, err := pay(); status.Code(err) != test.withoutKey {
				t.Errorf("without a key: %v", err)
			}

			if got, err := pay(interceptor.WithKey("order-7")); err != nil || got != test.duplicate {
				t.Errorf("a duplicate got %q, %v", got, err)
			}

			payments.After = func(int) error { return status.Error(codes.Unavailable, "the bank's answer is lost") }

			if _, err := pay(interceptor.WithKey("order-8")); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}

			payments.After = nil

			if got, err := pay(interceptor.WithKey("order-8")); err != nil || got != test.afterError {
				t.Errorf("after an error: %q, %v", got, err)
			}

			if n := payments.Made(); n != test.payments {
				t.Errorf("%d payments, want %d", n, test.payments)
			}

			if test.stage == adopting.Shadow {
				checkReport(t, report)
			}
		})
	}
}

// calls gets a value at the end of each call in shadow mode.
type calls chan struct{}

func (c calls) Observe(_ context.Context, event onlyonce.Event) {
	if event.Kind == onlyonce.EventShadow {
		c <- struct{}{}
	}
}

// serve serves a method in a stage. The bank knows of every payment.
func serve(t *testing.T, stage adopting.Stage, payments *trial.Payments, observer onlyonce.Observer) recipesv1.PaymentServiceClient {
	t.Helper()

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(observer))
	if err != nil {
		t.Fatal(err)
	}

	ask := func(context.Context, proto.Message, onlyonce.Record) (onlyonce.Finding, error) {
		return interceptor.FindingOf(&recipesv1.PayResponse{Receipt: "receipt of the bank"}, nil)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(),
		interceptor.WithMethodPolicy(recipesv1.PaymentService_Pay_FullMethodName, adopting.Policy(stage, ask)))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := engine.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})

	return trial.ServePlain(t, grpc.NewServer(protect.ServerOptions()...), payments)
}

// checkReport expects what shadow mode has seen: a duplicate that ran twice, and an error that is ambiguous.
func checkReport(t *testing.T, report *onlyonce.ShadowReport) {
	t.Helper()

	methods := report.Methods()
	if len(methods) != 1 || methods[0].Calls != 5 || methods[0].WithoutKey != 1 || methods[0].Replayed != 1 || methods[0].Differed != 1 ||
		methods[0].Ambiguous["UNAVAILABLE"] != 1 {
		t.Errorf("the report is\n%s", report)
	}
}
