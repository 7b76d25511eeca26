package guide

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestTheInterceptorsOfTheReadmeAreInTheRightOrder(t *testing.T) {
	t.Parallel()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	nothing := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return handler(ctx, req)
	}
	authenticate := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if len(metadata.ValueFromIncomingContext(ctx, "authorization")) == 0 {
			return nil, status.Error(codes.Unauthenticated, "who are you?")
		}

		return handler(ctx, req)
	}
	stream := func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, stream)
	}

	server := NewServerWithInterceptors(protect, nothing, nothing, authenticate, nothing, nothing, nothing, nothing, stream, stream)
	owner := interceptortest.Caller{Metadata: metadata.Pairs("authorization", "Bearer ann")}

	if err := interceptortest.CheckOrder(t.Context(), server, owner, interceptortest.Caller{}); err != nil {
		t.Error(err)
	}
}
