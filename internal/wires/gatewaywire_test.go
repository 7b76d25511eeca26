package wires_test

import (
	"context"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	"github.com/onlyonce-go/onlyonce/interceptor"
	wiresv1 "github.com/onlyonce-go/onlyonce/internal/wires/proto/wires/v1"
)

// newGateway is a mux that lets the caller and the metadata of the handler through.
func newGateway(opts ...oncegateway.Option) *runtime.ServeMux {
	return runtime.NewServeMux(oncegateway.Options(append(opts,
		oncegateway.WithIncomingHeaderMatcher(only(callerName, "grpc-previous-rpc-attempts")),
		oncegateway.WithOutgoingHeaderMatcher(only(handlerHeader, handlerTrailer)),
		oncegateway.WithOutgoingTrailerMatcher(only(handlerHeader, handlerTrailer)),
	)...)...)
}

// only matches some names.
func only(names ...string) runtime.HeaderMatcherFunc {
	return func(name string) (string, bool) {
		for _, one := range names {
			if strings.EqualFold(one, name) {
				return one, true
			}
		}

		return "", false
	}
}

func startGateway(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	return dialHTTP(t, serveGateway(t, srv))
}

// serveGateway serves grpc-gateway in front of grpc-go, with a connection between, and returns its address.
func serveGateway(t *testing.T, srv *server) string {
	t.Helper()

	return serveMux(t, srv, newGateway(oncegateway.WithProblems()))
}

// servePlainGateway is the same with errors as grpc-gateway writes them.
func servePlainGateway(t *testing.T, srv *server) string {
	t.Helper()

	return serveMux(t, srv, newGateway())
}

func serveMux(t *testing.T, srv *server, mux *runtime.ServeMux) string {
	t.Helper()

	conn, err := grpc.NewClient(serveGRPC(t, newGRPCServer(t, srv), listen(t)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })

	if err := wiresv1.RegisterWireServiceHandler(t.Context(), mux, conn); err != nil {
		t.Fatal(err)
	}

	if err := oncegateway.Validate(mux); err != nil {
		t.Fatal(err)
	}

	return srv.serveHTTP(t, mux)
}

// startGatewayInProcess has grpc-gateway in the process of the service.
func startGatewayInProcess(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	scope, opts := srv.grpcOptions()

	protect, err := interceptor.NewServer(srv.engine, scope, opts...)
	if err != nil {
		t.Fatal(err)
	}

	channel := oncegateway.NewInProcess(protect, recovery)
	wiresv1.RegisterWireServiceServer(channel, &grpcService{srv: srv})

	mux := newGateway(oncegateway.WithProblems())
	if err := wiresv1.RegisterWireServiceHandlerClient(t.Context(), mux, wiresv1.NewWireServiceClient(channel)); err != nil {
		t.Fatal(err)
	}

	return dialHTTP(t, srv.serveHTTP(t, mux))
}
