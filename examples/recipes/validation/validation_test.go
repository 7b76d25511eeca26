package validation_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/examples/recipes/validation"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRefusalIsAnAnswerOfTheKitAndPaysNothing(t *testing.T) {
	engine, err := onlyonce.New(memstore.New(), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	payments := new(trial.Payments)
	client := trial.Serve(t, validation.NewServer(protect, func(m proto.Message) error {
		if req, ok := m.(*recipesv1.PayRequest); ok && req.GetCents() <= 0 {
			return errors.New("cents: must be more than 0")
		}

		return nil
	}), payments)

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
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}
