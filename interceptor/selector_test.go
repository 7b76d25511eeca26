package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// only matches one method.
func only(fullMethod string) selector.Matcher {
	return selector.MatchFunc(func(_ context.Context, call interceptors.CallMeta) bool { return call.FullMethod() == fullMethod })
}

func TestSelectorChoosesTheMethodsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))))

		whole, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods())
		if err != nil {
			t.Fatal(err)
		}

		conn := w.dial(t, grpc.WithChainUnaryInterceptor(selector.UnaryClientInterceptor(whole, only(unaryCall))))
		callOn(t.Context(), conn, unaryCall, payment())
		callOn(t.Context(), conn, cacheableCall, payment())

		keys := seen.values(interceptor.KeyHeader)
		if len(keys) != 6 || keys[0] == "" || keys[0] != keys[4] || keys[5] != "" {
			t.Errorf("the attempts had the keys %q, want five with one and then one without", keys)
		}
	})
}

func TestSelectorChoosesTheMethodsOfAServer(t *testing.T) {
	protect, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), keyPolicy(interceptor.Policy{
		Key: interceptor.KeyRequired,
	})...)
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{
		unprotected: true, before: []grpc.UnaryServerInterceptor{selector.UnaryServerInterceptor(protect.Unary, only(unaryCall))},
	}, nil)

	w.call(t.Context(), payment()).mustBe(t, keyMissing)
	w.pay(t, "key").mustAnswer(t, "run 1")
	w.pay(t, "key").mustAnswer(t, "run 1")
	callOn(t.Context(), w.conn, cacheableCall, payment()).mustAnswer(t, "run 2")
}
