package validation_test

import (
	"testing"

	rules "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/examples/recipes/validation"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRefusalIsAnAnswerOfTheKitAndPaysNothing(t *testing.T) {
	payments := new(trial.Payments)
	client := trial.Serve(t, validation.NewServer(trial.NewServer(t), newRuled(t)), payments)

	for _, call := range []struct {
		key    string
		cents  int64
		code   codes.Code
		status onlyonce.Status
	}{
		{"order-7", 0, codes.InvalidArgument, onlyonce.StatusExecuted},
		{"order-7", 0, codes.InvalidArgument, onlyonce.StatusReplayed},
		{"order-8", 100, codes.OK, onlyonce.StatusExecuted},
		{"order-8", 100, codes.OK, onlyonce.StatusReplayed},
	} {
		var trailer metadata.MD

		_, err := client.Pay(t.Context(), &recipesv1.PayRequest{Cents: call.cents}, interceptor.WithKey(call.key), grpc.Trailer(&trailer))
		if got := trailer.Get(interceptor.StatusTrailer); status.Code(err) != call.code || len(got) != 1 || got[0] != string(call.status) {
			t.Errorf("%s: %v, %v", call.key, err, got)
		}

		if call.code == codes.InvalidArgument && !violates(err, "cents") {
			t.Errorf("%s: the details of %v do not name the field", call.key, err)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

// violates reports whether an error has the violation of one field as a detail.
func violates(err error, field string) bool {
	for _, detail := range status.Convert(err).Details() {
		if v, ok := detail.(*rules.Violations); ok && len(v.GetViolations()) == 1 {
			return protovalidate.FieldPathString(v.GetViolations()[0].GetField()) == field
		}
	}

	return false
}
