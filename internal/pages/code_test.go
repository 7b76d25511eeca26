package pages

import (
	"context"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// selected is code of docs/retries.md that needs a module which the examples do not have.
func selected(whole grpc.UnaryClientInterceptor, match func(context.Context, interceptors.CallMeta) bool) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(selector.UnaryClientInterceptor(whole, selector.MatchFunc(match))),
	}
}

func TestSelectorOfThePageIsAnInterceptor(t *testing.T) {
	t.Parallel()

	whole, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods())
	if err != nil {
		t.Fatal(err)
	}

	if len(selected(whole, func(context.Context, interceptors.CallMeta) bool { return true })) != 1 {
		t.Error("there is no option")
	}
}
