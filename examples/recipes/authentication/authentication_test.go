package authentication_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/recipes/authentication"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer returns a server whose tokens are "token of" and the caller.
func newServer(t *testing.T) *grpc.Server {
	t.Helper()

	server, err := authentication.NewServer(trial.NewEngine(t), func(token string) (string, error) {
		if caller, ok := strings.CutPrefix(token, "token-of-"); ok {
			return caller, nil
		}

		return "", errors.New("a forged token")
	})
	if err != nil {
		t.Fatal(err)
	}

	return server
}

func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "bearer "+token)
}

func TestAuthenticationStandsInFrontOfTheKit(t *testing.T) {
	owner := interceptortest.Caller{Metadata: metadata.Pairs("authorization", "bearer token-of-ann")}

	if err := interceptortest.CheckOrder(t.Context(), newServer(t), owner, interceptortest.Caller{}); err != nil {
		t.Error(err)
	}
}

func TestEachCallerPaysOnceUnderOneKey(t *testing.T) {
	payments := new(trial.Payments)
	client := trial.Serve(t, newServer(t), payments)

	for _, call := range []struct{ token, receipt string }{
		{"token-of-ann", "receipt 1"}, {"token-of-bob", "receipt 2"}, {"token-of-ann", "receipt 1"}, {"token-of-bob", "receipt 2"},
	} {
		answer, err := client.Pay(as(t.Context(), call.token), &recipesv1.PayRequest{}, interceptor.WithKey("order-7"))
		if err != nil || answer.GetReceipt() != call.receipt {
			t.Errorf("%s got %v, %v", call.token, answer, err)
		}
	}

	_, err := client.Pay(as(t.Context(), "forged"), &recipesv1.PayRequest{}, interceptor.WithKey("order-7"))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a forged token got %v", err)
	}

	if n := payments.Made(); n != 2 {
		t.Errorf("paid %d times", n)
	}
}
