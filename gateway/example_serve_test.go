package oncegateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
)

// strictTill refuses calls past the interceptor.
type strictTill struct {
	tillv1.UnimplementedTillServiceServer
}

func (s *strictTill) Charge(ctx context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
	if err := onlyonce.RequireRun(ctx); err != nil {
		return nil, err
	}

	return &tillv1.ChargeResponse{Number: 1, Cents: req.GetCents()}, nil
}

// A gateway and the gRPC server behind it on one port.
func ExampleServeGRPC() {
	grpcServer := grpc.NewServer()
	tillv1.RegisterTillServiceServer(grpcServer, &strictTill{})

	conn, err := grpc.NewClient("till:8443", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)

		return
	}
	defer conn.Close()

	mux, err := newMux(context.Background(), conn)
	fmt.Println(err)

	grpcHandler := oncegateway.ServeGRPC(grpcServer)

	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)

	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			grpcHandler.ServeHTTP(w, r)
		} else {
			mux.ServeHTTP(w, r)
		}
	})

	server := &http.Server{Handler: handler, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	fmt.Println(server.Protocols, server.Handler != nil, server.ReadHeaderTimeout)
	// Output:
	// <nil>
	// {HTTP1,UnencryptedHTTP2} true 1m0s
}

// newMux returns a gateway to a connection.
func newMux(ctx context.Context, conn *grpc.ClientConn, others ...runtime.ServeMuxOption) (*runtime.ServeMux, error) {
	mux := runtime.NewServeMux(append(oncegateway.Options(), others...)...)
	if err := tillv1.RegisterTillServiceHandler(ctx, mux, conn); err != nil {
		return nil, err
	}

	return mux, oncegateway.Validate(mux) //nolint:contextcheck // it sends nothing, and needs no context
}
