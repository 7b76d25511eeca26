package recovery_test

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/examples/recipes/recovery"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHandlerThatPanicsAfterItsEffectPaysOnce(t *testing.T) {
	payments := &trial.Payments{After: func(int) error { panic("a bug") }}
	client := trial.Serve(t, recovery.NewServer(trial.NewServer(t)), payments)

	for _, want := range []codes.Code{codes.Internal, codes.Unknown} { // the second is OUTCOME_UNKNOWN
		_, err := client.Pay(t.Context(), &recipesv1.PayRequest{}, interceptor.WithKey("order-7"), interceptor.WithoutRetry())
		if status.Code(err) != want || onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("got %v, want %s", err, want)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}

	payments.After = nil

	if _, err := client.Pay(t.Context(), &recipesv1.PayRequest{}, interceptor.WithKey("order-8")); err != nil {
		t.Errorf("the server does not work any more: %v", err)
	}
}
