package adopting_test

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/recipes/adopting"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachStageAnswersARetryDifferently(t *testing.T) {
	for _, test := range []struct {
		stage      adopting.Stage
		withoutKey codes.Code
		duplicate  string // the receipt of a retry after a success
		afterError string // the receipt of a retry after an error that follows the payment
		payments   int
	}{
		{adopting.Shadow, codes.OK, "receipt 3", "receipt 5", 5},
		{adopting.Keys, codes.InvalidArgument, "receipt 1", "receipt 3", 3},
		{adopting.Strict, codes.InvalidArgument, "receipt 1", "receipt of the bank", 2},
	} {
		t.Run(string(test.stage), func(t *testing.T) {
			s := serve(t, test.stage)

			if _, err := s.pay(t, interceptor.WithKey("order-7")); err != nil {
				t.Fatal(err)
			}

			if _, err := s.pay(t); status.Code(err) != test.withoutKey {
				t.Errorf("without a key: %v", err)
			}

			if got, err := s.pay(t, interceptor.WithKey("order-7")); err != nil || got != test.duplicate {
				t.Errorf("a duplicate got %q, %v", got, err)
			}

			s.After = func(int) error { return status.Error(codes.Unavailable, "the bank's answer is lost") }

			if _, err := s.pay(t, interceptor.WithKey("order-8")); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}

			s.After = nil

			if got, err := s.pay(t, interceptor.WithKey("order-8")); err != nil || got != test.afterError {
				t.Errorf("after an error: %q, %v", got, err)
			}

			if n := s.Made(); n != test.payments {
				t.Errorf("%d payments, want %d", n, test.payments)
			}

			if test.stage == adopting.Shadow {
				s.checkReport(t)
			}
		})
	}
}

// checkReport expects what shadow mode has seen: a duplicate that ran twice, and an error that is ambiguous.
func (s *service) checkReport(t *testing.T) {
	t.Helper()

	methods := s.report.Methods()
	if len(methods) != 1 || methods[0].Calls != 5 || methods[0].WithoutKey != 1 || methods[0].Replayed != 1 || methods[0].Differed != 1 ||
		methods[0].Ambiguous["UNAVAILABLE"] != 1 {
		t.Errorf("the report is\n%s", &s.report)
	}
}
